"""The affinity of pods: a mapping in Kubernetes' own spelling, read by Kubernetes' own rules.

The rules are those of `pkg/apis/core/validation` (`validateAffinity` and the functions below it).
Field `matchFields` of a node's term is not supported: it names nodes one by one.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from config.base import DnsLabel, LabelKey, LabelValue

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

_Weight = Annotated[int, Field(ge=1, le=100)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, strict=True)


class _Requirement(_Model):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[LabelValue] = []

    @model_validator(mode="after")
    def _values_fit_the_operator(self) -> Self:
        count = len(self.values)
        fits = {"In": count > 0, "NotIn": count > 0, "Gt": count == 1, "Lt": count == 1}
        if not fits.get(self.operator, count == 0):
            raise ValueError(f"operator {self.operator} does not take {count} values")
        return self


class _LabelRequirement(_Requirement):
    @model_validator(mode="after")
    def _labels_have_no_order(self) -> Self:
        if self.operator in ("Gt", "Lt"):
            raise ValueError(f"operator {self.operator} is for nodes")
        return self


class _NodeTerm(_Model):
    # A term without expressions matches no node.
    match_expressions: list[_Requirement] = Field(min_length=1)


class _NodeSelector(_Model):
    node_selector_terms: list[_NodeTerm] = Field(min_length=1)


class _PreferredNodes(_Model):
    weight: _Weight
    preference: _NodeTerm


class _NodeAffinity(_Model):
    required: _NodeSelector | None = Field(default=None, alias=_REQUIRED)
    preferred: list[_PreferredNodes] = Field(default=[], alias=_PREFERRED)


class _LabelSelector(_Model):
    match_labels: dict[LabelKey, LabelValue] = {}
    match_expressions: list[_LabelRequirement] = []


class _PodTerm(_Model):
    topology_key: LabelKey
    label_selector: _LabelSelector | None = None
    namespaces: list[DnsLabel] = []
    namespace_selector: _LabelSelector | None = None
    match_label_keys: list[LabelKey] = []
    mismatch_label_keys: list[LabelKey] = []

    @model_validator(mode="after")
    def _label_keys_need_a_selector(self) -> Self:
        if (self.match_label_keys or self.mismatch_label_keys) and self.label_selector is None:
            raise ValueError("matchLabelKeys and mismatchLabelKeys need a labelSelector")
        return self


class _PreferredPods(_Model):
    weight: _Weight
    pod_affinity_term: _PodTerm


class _PodAffinity(_Model):
    required: list[_PodTerm] = Field(default=[], alias=_REQUIRED)
    preferred: list[_PreferredPods] = Field(default=[], alias=_PREFERRED)


class _Affinity(_Model):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


def _affinity(value: dict[str, Any]) -> dict[str, Any]:
    try:
        _Affinity.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        raise ValueError(f"must be a pod's affinity; {at.lstrip('.')}: {first['msg']}") from None
    return value


Affinity = Annotated[dict[str, Any], AfterValidator(_affinity)]
"""A pod's `affinity`, in Kubernetes' spelling."""


def possible_values(affinity: Mapping[str, Any]) -> list[dict[str, set[str]]]:
    """Return the terms of the required node affinity, any of which a node must meet.

    Each term holds the values that it allows, by label; expressions other than `In` are left out.
    """
    nodes = _Affinity.model_validate(affinity).node_affinity
    terms: list[dict[str, set[str]]] = []
    for term in nodes.required.node_selector_terms if nodes and nodes.required else ():
        allowed: dict[str, set[str]] = {}
        for rule in term.match_expressions:
            if rule.operator == "In":
                values = {*rule.values}
                allowed[rule.key] = allowed.get(rule.key, values) & values
        terms.append(allowed)
    return terms
