"""Checks that the options of pods neither replace the stack's own settings nor rule out its nodes.

Nodes without GPUs are the platform team's: no parameter states their labels.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from config.base import PROJECT
from config.inventory import parts
from config.part import Part
from config.problem import Finding, refuse, warn
from config.sections.affinity import possible_values
from config.sections.gpu_nodes import GPU_LABEL
from config.sections.platform import LocalPlatform
from config.sections.pods import SAFE_TO_EVICT_VOLUMES, PodOptions
from config.selectors import COMPONENT_LABEL, INSTANCE_LABEL, NAME_LABEL, PART_OF_LABEL
from config.settings import Settings
from config.sizing.instances import ARCHITECTURE_LABEL, OS_LABEL

_PREFIXES = (f"{PROJECT}/", "kubemind.io/")

RESERVED_LABELS = (
    *_PREFIXES,
    NAME_LABEL,
    INSTANCE_LABEL,
    COMPONENT_LABEL,
    PART_OF_LABEL,
    # Kubernetes' controllers set these.
    "pod-template-hash",
    "pod-template-generation",
    "controller-revision-hash",
)
"""Labels of pods, or prefixes of them, that the stack or Kubernetes sets."""

RESERVED_ANNOTATIONS = (*_PREFIXES, "prometheus.io/", "pulumi.com/", SAFE_TO_EVICT_VOLUMES)
"""Annotations of pods, or prefixes of them, that the stack sets."""

_WELL_KNOWN = ("kubernetes.io", "k8s.io", "amazonaws.com", "karpenter.sh", "nvidia.com")
"""Domains of labels that kubelet, EKS, autoscalers or NVIDIA's agents set on nodes."""


class _PodsAt(NamedTuple):
    part: Part
    options: PodOptions

    def key(self, path: str) -> str:
        return f"{self.part.key}.pods.{path}"


def _pods(settings: Settings) -> Iterator[_PodsAt]:
    for part in parts(settings):
        if part.pods:
            yield _PodsAt(part, part.pods)


def is_reserved(key: str, reserved: tuple[str, ...]) -> bool:
    """Return True if a key is reserved, by itself or by its prefix."""
    return any(key == one or (one.endswith("/") and key.startswith(one)) for one in reserved)


@refuse
def pod_metadata(settings: Settings) -> Iterator[Finding]:
    """The stack alone sets the labels and annotations by which it and Kubernetes find pods."""
    for at in _pods(settings):
        for kind, stated, reserved in (
            ("label", at.options.labels, RESERVED_LABELS),
            ("annotation", at.options.annotations, RESERVED_ANNOTATIONS),
        ):
            taken = [key for key in stated if is_reserved(key, reserved)]
            if taken:
                key = at.key(f"{kind}s")
                yield Finding(
                    keys={key: dict(stated)},
                    reason=(
                        f"the stack or Kubernetes sets the {kind} {', '.join(taken)} itself: "
                        "selectors, scrapes or the autoscaler of nodes depend on it"
                    ),
                    change={key: {k: text for k, text in stated.items() if k not in taken}},
                )


@refuse
def pod_node_selector(settings: Settings) -> Iterator[Finding]:
    """The stack alone selects the operating system, the architecture and the GPU label."""
    for at in _pods(settings):
        stated = at.options.node_selector
        taken = [key for key in stated if key in (OS_LABEL, ARCHITECTURE_LABEL, GPU_LABEL[0])]
        if taken:
            key = at.key("nodeSelector")
            architecture = (
                f", from {at.part.key}.architecture" if ARCHITECTURE_LABEL in taken else ""
            )
            yield Finding(
                keys={key: dict(stated)},
                reason=f"the stack selects {', '.join(taken)} itself{architecture}",
                change={key: {k: text for k, text in stated.items() if k not in taken}},
            )


@refuse
def pod_nodes(settings: Settings) -> Iterator[Finding]:
    """Nodes can have the labels that the pods require."""
    # By kind: the check compares pods and platform.
    local = isinstance(settings.platform, LocalPlatform)
    for at in _pods(settings):
        gpu = at.part.on_gpu_nodes
        known = settings.gpu_nodes.known_labels if gpu else {}
        nodes = "GPU nodes" if gpu else "nodes without GPUs"

        def excluded(label: str, values: set[str], known: Mapping[str, frozenset[str]]) -> bool:
            # The platform team's nodes may have labels that no parameter states.
            closed = local and "kubernetes.io/" not in label
            return not values & known[label] if label in known else closed

        stated = at.options.node_selector
        wrong = {k: v for k, v in stated.items() if excluded(k, {v}, known) and k != GPU_LABEL[0]}
        if wrong:
            key = at.key("nodeSelector")
            yield Finding(
                keys={key: dict(stated), **_labels_key(settings, gpu=gpu)},
                reason=f"no pod is ever scheduled: {_spelled(wrong, known, nodes)}",
                change={key: {k: text for k, text in stated.items() if k not in wrong}},
            )
        terms = possible_values(at.options.affinity or {})
        if terms and all(any(excluded(k, v, known) for k, v in term.items()) for term in terms):
            yield Finding(
                keys={at.key("affinity"): at.options.affinity, **_labels_key(settings, gpu=gpu)},
                reason=f"no pod is ever scheduled: no {nodes} meet the required node affinity",
                fix="require values that the nodes have, or prefer them instead",
            )


def _labels_key(settings: Settings, *, gpu: bool) -> dict[str, object]:
    pools = settings.gpu_nodes.pools if gpu else ()
    return {pool.key("labels"): dict(pool.nodes.labels) for pool in pools}


def _spelled(wrong: Mapping[str, str], known: Mapping[str, frozenset[str]], nodes: str) -> str:
    return "; ".join(
        f"the {nodes} have {label} = {' or '.join(sorted(known[label]))}, not {value}"
        if label in known
        else f"the {nodes} of the embedded cluster have no label {label}"
        for label, value in wrong.items()
    )


@warn
def pod_unknown_labels(settings: Settings) -> Iterator[Finding]:
    """The parameters of the nodes state the labels that replicas select."""
    if not settings.gpu_nodes.created:
        return
    for at in _pods(settings):
        known = settings.gpu_nodes.known_labels
        unknown = [
            label
            for label in at.options.node_selector
            if at.part.on_gpu_nodes
            and label not in known
            and not label.partition("/")[0].endswith(_WELL_KNOWN)
        ]
        if unknown:
            yield Finding(
                keys={
                    at.key("nodeSelector"): dict(at.options.node_selector),
                    **_labels_key(settings, gpu=True),
                },
                reason=(
                    f"no parameter states that the GPU nodes have the label {', '.join(unknown)}: "
                    "if no other agent sets it, no replica is ever scheduled, and the autoscaler "
                    "adds no node to an empty group"
                ),
                fix=f"add the label to {' or '.join(_labels_key(settings, gpu=True))}",
            )


@refuse
def pod_tolerations(settings: Settings) -> Iterator[Finding]:
    """Only replicas with GPUs tolerate the GPU nodes' taint, and as the stack does."""
    taint = settings.gpu_nodes.pool.taint
    for at in _pods(settings):
        for toleration in at.options.tolerations:
            tolerates = toleration.tolerates(taint.key, taint.value, taint.effect)
            reason = ""
            if tolerates and not at.part.on_gpu_nodes:
                reason = (
                    "it tolerates the GPU nodes' taint, which keeps every pod without GPUs off "
                    "these nodes"
                )
            if not tolerates and at.part.on_gpu_nodes and toleration.key == taint.key:
                reason = "it contradicts the GPU nodes' taint, which the stack tolerates itself"
            if reason:
                kept = [
                    other.model_dump(mode="json", by_alias=True)
                    for other in at.options.tolerations
                    if other is not toleration
                ]
                key = at.key("tolerations")
                yield Finding(
                    keys={
                        key: [
                            each.model_dump(by_alias=True, exclude_none=True)
                            for each in at.options.tolerations
                        ],
                        **{
                            pool.key("taint"): taint.model_dump(by_alias=True)
                            for pool in settings.gpu_nodes.pools
                        },
                    },
                    reason=reason,
                    change={key: kept},
                )
