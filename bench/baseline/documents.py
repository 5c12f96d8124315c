"""The seed's own two documents, and the only differences from them that a run needs.

`examples/seed/` holds them word for word. What is changed here is changed for a stated reason, and
nothing else is: what is wrong with them is to show.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from components.gateway.envoy.stats import CLUSTER_LABEL
from config.sections.autoscaler import Autoscaler
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from ops.stack.environment import PROJECT

FOLDER = PROJECT / "examples" / "seed"

PROXY = "proxy-config.yaml"
"""The gateway's configuration."""

SCALER = "keda-scaler.yaml"
"""The ScaledObject."""

ENVOY_CLUSTER_LABEL = "envoy_cluster_name"
"""Envoy's own name of the label; the baseline's query asks for another one."""

REPAIRED_BREAKER = 400
"""Enough for 20 replicas at 16 calls each and the HPA's tolerance: the number that lets the seed's
signal reach its own maximum."""

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
    """One value of a document that is not the seed's."""

    file: str
    place: Place
    """Keys and indices that lead to the value; keys that are not there are made."""
    value: Any
    why: str


def needed(stack: InferenceStack, prometheus: ManagedPrometheus) -> tuple[Difference, ...]:
    """Return the differences without which the baseline cannot run and be measured here.

    Args:
        stack: Names and ports of the bed, which are the seed's but for the namespace.
        prometheus: What the bed is scraped by.
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
            "the seed has no listener for statistics, without which nothing can be scraped",
        ),
    )


def repairs(stack: InferenceStack) -> tuple[Difference, ...]:
    """Return the changes of an operator who repairs the baseline's faults one at a time.

    Args:
        stack: Names and ports of the bed.
    """
    tags = [{"tag_name": CLUSTER_LABEL, "regex": r"^cluster\.((.+?)\.)"}]
    limit = REPAIRED_BREAKER
    grown = stack.autoscaler.max_replicas - stack.autoscaler.min_replicas
    return (
        Difference(PROXY, ("stats_config", "stats_tags"), tags, "the label that the query asks"),
        Difference(
            PROXY,
            (*_ENDPOINT, "port_value"),
            stack.triton.grpc_port,
            "a headless Service leads to the pods' own port",
        ),
        Difference(PROXY, (*_BREAKER, "max_requests"), limit, "100 can never ask for 20"),
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
    """One way to run the seed."""

    name: str
    title: str
    repaired: bool
    """With `repairs`, and with a headless Service; else as it is written, with a ClusterIP."""

    @property
    def cluster_label(self) -> str:
        """Prometheus's label of its Envoy's cluster: Envoy's own, or the one that is asked for."""
        return CLUSTER_LABEL if self.repaired else ENVOY_CLUSTER_LABEL


AS_WRITTEN = Variant("seed-as-written", "the seed as written", repaired=False)
REPAIRED = Variant("seed-repaired", "the seed, repaired naively", repaired=True)
VARIANTS = (AS_WRITTEN, REPAIRED)


def differences(
    variant: Variant, stack: InferenceStack, prometheus: ManagedPrometheus
) -> tuple[Difference, ...]:
    """All that a variant's documents differ in from the seed's.

    Args:
        variant: Which one.
        stack: Names and ports of the bed.
        prometheus: What the bed is scraped by.
    """
    return (*needed(stack, prometheus), *(repairs(stack) if variant.repaired else ()))


def read(file: str, changed: Sequence[Difference] = (), folder: Path = FOLDER) -> Document:
    """One of the seed's documents, with some values changed.

    Args:
        file: `PROXY` or `SCALER`.
        changed: Differences; those of other files are left alone.
        folder: Where the documents lie.

    Raises:
        LookupError: A difference's place is not in the document.
    """
    document = yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    for difference in changed:
        if difference.file == file:
            _put(document, difference.place, copy.deepcopy(difference.value))
    return document


def stated_autoscaler() -> Autoscaler:
    """The scaler as the seed states it, as the stack's own parameters."""
    spec = read(SCALER)["spec"]
    (trigger,) = spec["triggers"]
    return Autoscaler(
        min_replicas=spec["minReplicaCount"],
        max_replicas=spec["maxReplicaCount"],
        threshold=float(trigger["metadata"]["threshold"]),
        cooldown_seconds=spec["cooldownPeriod"],
        signal="inFlight",
    )


def _put(document: Any, place: Place, value: Any) -> None:
    *way, last = place
    for key in way:
        document = document[key] if isinstance(key, int) else document.setdefault(key, {})
    document[last] = value
