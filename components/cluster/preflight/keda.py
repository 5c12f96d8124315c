"""KEDA: installed if the parameters say so, new enough, and installed once."""

from collections.abc import Iterable

from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.keda import RELEASE_NAME, ExistingKeda
from config.settings import Settings
from config.versions import MIN_KEDA

SCALED_OBJECTS = "scaledobjects.keda.sh"
"""KEDA's resource for scalers."""

_KEDA_API = "keda.sh/v1alpha1"


def keda(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    """Refuse a missing or outdated KEDA, and a second one."""
    stated = settings.keda
    served = api.serves(_KEDA_API, "scaledobjects")
    # By kind: both findings compare the parameters with the cluster.
    if isinstance(stated, ExistingKeda):
        if not served:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={"keda.kind": "existing"},
                reason=f"the cluster has no KEDA: it does not serve {SCALED_OBJECTS}",
                fix="set keda.kind to helm, or install KEDA first",
            )
        elif not _keeps_fallback(api):
            wanted = ".".join(map(str, MIN_KEDA))
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={"keda.kind": "existing", "keda.namespace": stated.namespace},
                reason=(
                    f"the cluster's KEDA is older than {wanted}: its ScaledObjects drop "
                    "`fallback.behavior`, so that a fleet under load would shrink to its fewest "
                    "replicas whenever Prometheus does not answer"
                ),
                fix=f"have KEDA and its resource definitions upgraded to {wanted} or newer",
            )
        return
    owner = _helm_release(api) if served else None
    if owner is not None and owner != (stated.namespace, RELEASE_NAME):
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"keda.kind": "helm", "keda.namespace": stated.namespace},
            reason=(
                f"the cluster has a KEDA of another owner ({_owner(owner)}), and can run only one"
            ),
            fix="set keda.kind to existing, and keda.namespace to its namespace",
        )


def _keeps_fallback(api: ClusterApi) -> bool:
    fields = api.schema(_KEDA_API, "ScaledObject").get("properties", {})
    spec = fields.get("spec", {}).get("properties", {})
    # Without a schema, preflight cannot tell and allows it.
    return not spec or "behavior" in spec.get("fallback", {}).get("properties", {})


def _owner(owner: tuple[str, str]) -> str:
    namespace, release = owner
    return f"Helm release {release} in {namespace}" if release else "not from Helm"


def _helm_release(api: ClusterApi) -> tuple[str, str] | None:
    """Return (namespace, name) of the Helm release of KEDA's CRD; empty if it has none.

    None if the user cannot read the CRD; the stack itself does not need that permission.
    """
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{SCALED_OBJECTS}"
    answer = api.ask("GET", path)
    if not answer:
        return None
    notes: dict[str, str] = answer["metadata"].get("annotations") or {}
    owner = "meta.helm.sh/release"
    return notes.get(f"{owner}-namespace", ""), notes.get(f"{owner}-name", "")
