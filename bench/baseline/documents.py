"""The baseline's two documents, and the differences that a run needs.

`examples/seed/` holds the documents word for word. Each difference has a stated reason, and there
are no others, so that the faults of the documents show.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from components.gateway.envoy.stats import CLUSTER_LABEL
from config.sections.autoscaler import Autoscaler, InFlight
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from ops.stack.environment import PROJECT

FOLDER = PROJECT / "examples" / "seed"

PROXY = "proxy-config.yaml"
"""File of the gateway's configuration."""

SCALER = "keda-scaler.yaml"
"""File of the ScaledObject."""

ENVOY_CLUSTER_LABEL = "envoy_cluster_name"
"""Envoy's own name of the label; the baseline's query asks for another one."""

REPAIRED_BREAKER = 400
"""Requests that suffice for 20 replicas with 16 calls each and the HPA's tolerance, so that the
baseline's signal can reach its maximum."""

_CLUSTER = ("static_resources", "clusters", 0)
_BREAKER = (*_CLUSTER, "circuit_breakers", "thresholds", 0)
_ENDPOINT = (
    *_CLUSTER,
    *("load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint"),
    *("address", "socket_address"),
)

Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Difference:
    """A value that differs from the baseline's document."""

    file: str
    place: Place
    """Keys and indices that lead to the value; missing keys are created."""
    value: Any
    why: str


def needed(stack: InferenceStack, prometheus: ManagedPrometheus) -> tuple[Difference, ...]:
    """Return the differences without which the baseline cannot run and be measured here.

    Args:
        stack: Names and ports of the test bed, which are the baseline's except for the namespace.
        prometheus: The Prometheus that scrapes the test bed.
    """
    return (
        Difference(PROXY, (*_ENDPOINT, "address"), stack.service_host, "a namespace of its own"),
        Difference(SCALER, ("metadata", "namespace"), stack.namespace, "a namespace of its own"),
        Difference(
            SCALER,
            ("spec", "triggers", 0, "metadata", "serverAddress"),
            prometheus.address,
            "a Prometheus of its own, so that neither scaler sees the other's load",
        ),
        Difference(
            PROXY,
            ("admin", "address", "socket_address"),
            {"address": "0.0.0.0", "port_value": stack.gateway.ops_port},  # noqa: S104
            "the baseline has no listener for statistics, so nothing could be scraped",
        ),
    )


def repairs(stack: InferenceStack) -> tuple[Difference, ...]:
    """Return the changes of an operator who repairs the baseline's faults one at a time.

    Args:
        stack: Names and ports of the test bed.
    """
    tags = [{"tag_name": CLUSTER_LABEL, "regex": r"^cluster\.((.+?)\.)"}]
    limit = REPAIRED_BREAKER
    grown = stack.autoscaler.max_replicas - stack.autoscaler.min_replicas
    return (
        Difference(PROXY, ("stats_config", "stats_tags"), tags, "the label in the query"),
        Difference(
            PROXY,
            (*_ENDPOINT, "port_value"),
            stack.triton.grpc_port,
            "a headless Service leads to the pods' own port",
        ),
        Difference(PROXY, (*_BREAKER, "max_requests"), limit, "a signal of 100 cannot ask for 20"),
        Difference(PROXY, (*_BREAKER, "max_pending_requests"), limit, "as many"),
        Difference(
            SCALER,
            ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleUp"),
            {"policies": [{"type": "Pods", "value": grown, "periodSeconds": 15}]},
            "one step from min to max",
        ),
    )


@dataclass(frozen=True)
class Variant:
    """A variant of the baseline."""

    name: str
    title: str
    repaired: bool
    """True to run with `repairs` and a headless Service, instead of as written with a ClusterIP."""

    @property
    def cluster_label(self) -> str:
        """Label of Envoy's cluster in Prometheus: Envoy's own, or the one of the query."""
        return CLUSTER_LABEL if self.repaired else ENVOY_CLUSTER_LABEL


AS_WRITTEN = Variant("seed-as-written", "the baseline as written", repaired=False)
REPAIRED = Variant("seed-repaired", "the baseline, repaired fault by fault", repaired=True)
VARIANTS = (AS_WRITTEN, REPAIRED)


def differences(
    variant: Variant, stack: InferenceStack, prometheus: ManagedPrometheus
) -> tuple[Difference, ...]:
    """Return all differences of a variant's documents from the baseline's.

    Args:
        variant: The variant.
        stack: Names and ports of the test bed.
        prometheus: The Prometheus that scrapes the test bed.
    """
    return (*needed(stack, prometheus), *(repairs(stack) if variant.repaired else ()))


def read(file: str, changed: Sequence[Difference] = (), folder: Path = FOLDER) -> Document:
    """Read a document of the baseline, with some values changed.

    Args:
        file: `PROXY` or `SCALER`.
        changed: Differences; those of other files are ignored.
        folder: Folder of the documents.

    Raises:
        LookupError: The document has no place for a difference.
    """
    document = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    for difference in changed:
        if difference.file == file:
            _put(document, difference.place, copy.deepcopy(difference.value))
    return document


def stated_autoscaler() -> Autoscaler:
    """Return the baseline's autoscaler as parameters of the stack."""
    spec = read(SCALER)["spec"]
    (trigger,) = spec["triggers"]
    return Autoscaler(
        min_replicas=spec["minReplicaCount"],
        max_replicas=spec["maxReplicaCount"],
        threshold=float(trigger["metadata"]["threshold"]),
        cooldown_seconds=spec["cooldownPeriod"],
        signal=InFlight(kind="inFlight"),
    )


def _put(document: Any, place: Place, value: Any) -> None:
    *way, last = place
    for key in way:
        document = document[key] if isinstance(key, int) else document.setdefault(key, {})
    document[last] = value
