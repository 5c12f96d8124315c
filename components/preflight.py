"""A look at the cluster before anything is touched: can this stack be applied there at all?"""

import re
from collections import defaultdict
from collections.abc import Iterable

from components import kubeconfig
from components.cluster_api import ApiRefusedError, ApiUnreachableError, ClusterApi
from components.labels import PART_OF, PART_OF_LABEL, STACK_LABEL, namespace_labels
from components.rights import required
from config.checks.names import made_namespaces
from config.checks.places import stacks
from config.checks.problem import Problem
from config.keda import RELEASE_NAME, ExistingKeda, HelmKeda
from config.platform import LocalPlatform, Platform
from config.prometheus import ExistingPrometheus
from config.settings import Settings
from config.versions import MIN_KEDA, MIN_KUBERNETES

SCALED_OBJECTS = "scaledobjects.keda.sh"
"""The resource of KEDA's that the scaler is."""

_KEDA_API = "keda.sh/v1alpha1"


def preflight(
    settings: Settings, stack: str, contents: str | None = None, *, preview: bool = False
) -> list[Problem]:
    """Ask the API server for all that the stack needs of it.

    Some dozen short requests; a hundred and more for a user that may not do everything.

    Args:
        settings: the stack's parameters.
        stack: name of the Pulumi stack.
        contents: the kubeconfig itself, for a platform that has it from another stack.
        preview: whether nothing is to be applied: rights that are missing are warned of then, so
            that who may only read can preview.

    Returns:
        Everything that stands in the way, and what is to be warned of.
    """
    platform = settings.platform
    try:
        target = kubeconfig.read(platform, contents)
    except kubeconfig.KubeconfigError as error:
        return [error.problem]
    server = target.cluster.server
    try:
        with ClusterApi(target) as api:
            return [
                *_version(platform, api),
                *_namespaces(settings, stack, api),
                *_keda(settings, api),
                *_pod_monitors(settings, api),
                *_claims(settings, stack, api),
                *_rights(settings, api, preview),
            ]
    except ApiUnreachableError as error:
        reason = f"the API server {server} (context {target.context_name}) does not answer: {error}"
        return [kubeconfig.problem(platform, reason, _reach_fix(platform))]
    except ApiRefusedError as error:
        reason = (
            f"the API server {server} refuses the credentials of {target.context_name}: {error}"
        )
        return [kubeconfig.problem(platform, reason, _login_fix(platform))]


def _reach_fix(platform: Platform) -> str:
    if isinstance(platform, LocalPlatform):
        return "start the local cluster: make up"
    return "start the cluster, connect to its network, or name another one under platform"


def _login_fix(platform: Platform) -> str:
    if isinstance(platform, LocalPlatform):
        return "make the local cluster anew: make down, then make up"
    return "renew the credentials in the kubeconfig, or choose another platform.context"


def _version(platform: Platform, api: ClusterApi) -> Iterable[Problem]:
    version = api.version()
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if found and found < MIN_KUBERNETES:
        wanted = ".".join(map(str, MIN_KUBERNETES))
        yield kubeconfig.problem(
            platform,
            f"the API server is Kubernetes {version}; pods need {wanted} (preStop sleep)",
            f"upgrade the cluster to {wanted} or newer, or name another one under platform",
        )


def _namespaces(settings: Settings, stack: str, api: ClusterApi) -> Iterable[Problem]:
    # Pulumi's provider takes over what it finds under a name that it is to create.
    users: defaultdict[str, list[str]] = defaultdict(list)
    for key, namespace in made_namespaces(settings).items():
        users[namespace].append(key)
    ours = namespace_labels(stack)
    for namespace, keys in sorted(users.items()):
        found = api.namespace_labels(namespace)
        if found is None:
            continue
        part_of, owner = found.get(PART_OF_LABEL), found.get(STACK_LABEL)
        if part_of == PART_OF and owner in (None, ours[STACK_LABEL]):
            continue
        whose = f"of the Pulumi stack {owner}" if part_of == PART_OF else "not made by this stack"
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=dict.fromkeys(keys, namespace),
            reason=(
                f"the cluster has a namespace {namespace} that is {whose}: `up` would set its pod "
                "security and network policies, and `destroy` delete it with all that it holds"
            ),
            fix=f"name another namespace; or hand this one over for good: kubectl label "
            f"--overwrite namespace {namespace} {_marks(stack)}",
        )


def _marks(stack: str) -> str:
    """Labels that hand a namespace over, as `kubectl label` takes them."""
    return " ".join(f"{label}={value}" for label, value in namespace_labels(stack).items())


def _keda(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    keda = settings.keda
    served = api.serves(_KEDA_API, "scaledobjects")
    if isinstance(keda, ExistingKeda):
        if not served:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={"keda.kind": "existing"},
                reason=f"the cluster has no KEDA: it does not serve {SCALED_OBJECTS}",
                fix="set keda.kind to helm, or have KEDA installed first",
            )
        elif not _keeps_fallback(api):
            wanted = ".".join(map(str, MIN_KEDA))
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={"keda.kind": "existing", "keda.namespace": keda.namespace},
                reason=(
                    f"the cluster's KEDA is older than {wanted}: its ScaledObjects drop "
                    "`fallback.behavior`, so that a fleet under load would shrink to its fewest "
                    "replicas whenever Prometheus does not answer"
                ),
                fix=f"have KEDA and its resource definitions upgraded to {wanted} or newer",
            )
        return
    owner = api.helm_release(SCALED_OBJECTS) if served else None
    if owner is not None and owner != (keda.namespace, RELEASE_NAME):
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"keda.kind": "helm", "keda.namespace": keda.namespace},
            reason=f"the cluster has a KEDA that is not ours ({_owner(owner)}), and can hold one",
            fix="set keda.kind to existing, and keda.namespace to where it runs",
        )


def _keeps_fallback(api: ClusterApi) -> bool:
    fields = api.schema(_KEDA_API, "ScaledObject").get("properties", {})
    spec = fields.get("spec", {}).get("properties", {})
    # Without a schema nothing can be said.
    return not spec or "behavior" in spec.get("fallback", {}).get("properties", {})


def _owner(owner: tuple[str, str]) -> str:
    namespace, release = owner
    return f"Helm release {release} in {namespace}" if release else "not from Helm"


def _pod_monitors(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    prometheus = settings.prometheus
    if not isinstance(prometheus, ExistingPrometheus) or not prometheus.pod_monitors:
        return
    if not api.serves("monitoring.coreos.com/v1", "podmonitors"):
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"prometheus.podMonitors": True},
            reason="the cluster does not serve monitoring.coreos.com/v1 PodMonitors",
            fix="set prometheus.podMonitors to false (pods then carry scrape annotations), "
            "or have the Prometheus operator installed first",
        )


def _claims(settings: Settings, stack: str, api: ClusterApi) -> Iterable[Problem]:
    for at in stacks(settings):
        namespace, claim = at.stack.namespace, at.stack.triton.claim
        if not claim or not api.may("get", "", "persistentvolumeclaims", namespace):
            continue
        if not api.has_claim(namespace, claim):
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={at.key("triton.modelRepository.claim"): claim},
                reason=(
                    f"there is no PersistentVolumeClaim {claim} in {namespace}, and Triton's pods "
                    "would wait for it"
                ),
                fix="make it first, and where its namespace is not there yet: kubectl create "
                f"namespace {namespace}, kubectl label namespace {namespace} {_marks(stack)}",
            )


def _rights(settings: Settings, api: ClusterApi, preview: bool) -> Iterable[Problem]:
    # Most callers may do everything: one question in place of six per namespace and kind.
    if api.may("*", "*", "*"):
        return
    # Without them the provider compares what is stated alone, which is a preview all the same.
    severity = "warn" if preview else "refuse"
    missing: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for (group, resource, namespace), needed in required(settings).items():
        verbs = tuple(v for v in needed if not api.may(v, group, resource, namespace))
        where = f" in {namespace}" if namespace else ""
        missing[verbs].append(f"{resource}{f'.{group}' if group else ''}{where}")
    missing.pop((), None)
    if missing:
        rights = "; nor ".join(f"{', '.join(v)} {', '.join(what)}" for v, what in missing.items())
        yield kubeconfig.problem(
            settings.platform,
            f"{'`up` would be refused: ' if preview else ''}the user of the kubeconfig may not "
            f"{rights}",
            "grant it these rights, or choose a platform.context whose user has them",
            severity,
        )
    if preview and not api.may("get", "", "namespaces"):
        yield kubeconfig.problem(
            settings.platform,
            "the user of the kubeconfig may not get namespaces, so a preview cannot see which of "
            "them others made",
            "grant it that right, or choose a platform.context whose user has it",
        )
    if isinstance(settings.keda, HelmKeda):
        yield kubeconfig.problem(
            settings.platform,
            "the user of the kubeconfig may not do everything, and what KEDA's chart makes (roles "
            "of the whole cluster, resource definitions, Secrets) is not looked at",
            "let somebody who may install it, and set keda.kind to existing, or go on",
            "warn",
        )
