"""Options of a workload's pods: placement, priority, pull secrets, labels and annotations."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from config.base import LabelKey, LabelValue, ObjectName, Section
from config.sections.affinity import Affinity

SAFE_TO_EVICT_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
"""Pod annotation that names volumes which must not keep the Cluster Autoscaler from removing a
node: by default a pod with an emptyDir on disk does (`skip-nodes-with-local-storage`)."""

_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}
_ANNOTATION = re.compile(r"([^/]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.I)


def _annotation_key(value: str) -> str:
    domain = value.rpartition("/")[0]
    known = not domain or (len(domain) <= 253 and _DOMAIN.fullmatch(domain))
    if not known or not _ANNOTATION.fullmatch(value):
        raise ValueError("must be a Kubernetes annotation's key such as example.com/team")
    return value


AnnotationKey = Annotated[str, AfterValidator(_annotation_key)]
"""Key of a Kubernetes annotation: as a label's, but its domain may have capitals
(`ValidateAnnotations` in apimachinery)."""


def _no_name_twice(names: tuple[str, ...]) -> tuple[str, ...]:
    # The list is a map by name: a server-side apply of one name twice fails.
    if len(set(names)) < len(names):
        raise ValueError("must not name a Secret twice")
    return names


PullSecrets = Annotated[tuple[ObjectName, ...], AfterValidator(_no_name_twice)]
"""Names of Secrets with credentials for registries."""


class Toleration(Section):
    """A taint that the pods tolerate; the stack adds the GPU nodes' own."""

    key: LabelKey | None = None
    """Key of the taint; if unset, every taint (operator `Exists`)."""

    operator: Literal["Equal", "Exists"] = "Equal"
    """Comparison of the value: `Exists` tolerates every value."""

    value: LabelValue | None = None
    """Value of the taint, for operator `Equal`."""

    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; every effect if unset."""

    toleration_seconds: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Time that the pod stays on a node with the taint, only for effect `NoExecute`; if unset, for
    ever."""

    @model_validator(mode="after")
    def _as_the_api_server_requires(self) -> Self:
        # pkg/apis/core/validation, ValidateTolerations.
        if self.key is None and self.operator != "Exists":
            raise ValueError("without a key, operator must be Exists")
        if self.operator == "Exists" and self.value:
            raise ValueError("operator Exists has no value")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError("tolerationSeconds needs effect NoExecute")
        return self

    def tolerates(self, key: str, value: str, effect: str) -> bool:
        """Return True if it tolerates a taint."""
        return (
            self.key in (None, key)
            and self.effect in (None, effect)
            and (self.operator == "Exists" or (self.value or "") == value)
        )


class PodOptions(Section):
    """Options of a workload's pods, beside those that the stack sets itself."""

    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict, json_schema_extra=_CLOSED
    )
    """Further labels that a node must have."""

    tolerations: tuple[Toleration, ...] = ()
    """Further taints that the pods tolerate."""

    affinity: Affinity | None = None
    """Affinity to nodes and pods, in the spelling of a pod's `affinity`, without `matchFields`."""

    priority_class_name: ObjectName | None = None
    """Existing PriorityClass; the cluster's default if unset."""

    image_pull_secrets: PullSecrets = ()
    """Secrets with credentials for the registries, in the pods' namespace."""

    labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, json_schema_extra=_CLOSED)
    """Further labels of the pods."""

    annotations: dict[AnnotationKey, str] = Field(default_factory=dict)
    """Further annotations of the pods."""

    @property
    def spec(self) -> dict[str, Any]:
        """Fields of the pod's spec, but for the node selector and the tolerations."""
        secrets = [{"name": name} for name in self.image_pull_secrets]
        return {
            **({"affinity": self.affinity} if self.affinity else {}),
            **({"priorityClassName": self.priority_class_name} if self.priority_class_name else {}),
            **({"imagePullSecrets": secrets} if secrets else {}),
        }


class TritonPods(PodOptions):
    """Options of Triton's pods."""

    runtime_class_name: ObjectName | None = None
    """Existing RuntimeClass, such as the GPU operator's `nvidia`; the nodes' default if unset."""

    @property
    def spec(self) -> dict[str, Any]:
        """Fields of the pod's spec, but for the node selector and the tolerations."""
        runtime = self.runtime_class_name
        return {**super().spec, **({"runtimeClassName": runtime} if runtime else {})}
