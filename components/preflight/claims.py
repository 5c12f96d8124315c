"""Claims that hold models, which the user makes."""

from collections.abc import Iterable

from components.cluster_api import ClusterApi
from components.preflight.namespaces import marks
from config.checks.places import stacks
from config.checks.problem import Problem
from config.settings import Settings


def claims(settings: Settings, stack: str, api: ClusterApi) -> Iterable[Problem]:
    """Refuse a claim that Triton's pods would wait for."""
    for at in stacks(settings):
        namespace, claim = at.stack.namespace, at.stack.triton.claim
        if not claim or not api.may("get", "", "persistentvolumeclaims", namespace):
            continue
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}"
        if not api.ask("GET", path):
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={at.key("triton.modelRepository.claim"): claim},
                reason=(
                    f"there is no PersistentVolumeClaim {claim} in {namespace}, and Triton's pods "
                    "would wait for it"
                ),
                fix="make it first, and where its namespace is not there yet: kubectl create "
                f"namespace {namespace}, kubectl label namespace {namespace} {marks(stack)}",
            )
