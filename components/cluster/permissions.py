"""What the user of a kubeconfig must be allowed, for the stack to be applied by it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

from components.gpus.device_plugin_workload import sharing
from components.monitoring.workload import RULES
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings

Thing = tuple[str, str, str]
"""API group, resource, namespace; the latter empty for what has none."""

VERBS = ("get", "list", "watch", "create", "patch", "delete")
"""What the stack does with everything that it makes, in its life; Pulumi watches it begin and end,
and without the right to watch waits until its time is over."""

WATCH_VERBS = ("list", "watch")
"""What Pulumi does with what others make of a workload."""

_WATCHED = {
    ("apps", "deployments"): (
        ("apps", "replicasets"),
        ("", "pods"),
        ("", "persistentvolumeclaims"),
    ),
    ("apps", "daemonsets"): (("", "pods"),),
}
"""What tells Pulumi that a workload is ready, by its kind."""

_WORKLOAD = (
    ("", "configmaps"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apps", "deployments"),
)
_NETWORK_POLICIES = ("networking.k8s.io", "networkpolicies")
_RBAC = "rbac.authorization.k8s.io"


def required(settings: Settings) -> dict[Thing, tuple[str, ...]]:
    """Return the verbs that are needed for each thing, a chart's parts aside."""
    needed: defaultdict[Thing, set[str]] = defaultdict(set)
    for thing in made(settings):
        needed[thing].update(VERBS)
    for thing in _watched(settings):
        needed[thing].update(WATCH_VERBS)
    for thing, verbs in _granted(settings):
        needed[thing].update(verbs)
    return {thing: tuple(v for v in VERBS if v in verbs) for thing, verbs in needed.items()}


def _granted(settings: Settings) -> Iterator[tuple[Thing, list[str]]]:
    """What the Roles that the stack makes allow: RBAC lets nobody grant what they may not do."""
    if not isinstance(settings.prometheus, ManagedPrometheus):
        return
    for stack in settings.inference:
        for rule in RULES:
            for group, resource in product(rule["apiGroups"], rule["resources"]):
                yield (group, resource, stack.namespace), rule["verbs"]


def made(settings: Settings) -> list[Thing]:
    """Return all that the stack makes, a chart's parts aside."""
    found = [("", "namespaces", "")]

    def make(namespace: str, *kinds: tuple[str, str]) -> None:
        found.extend((group, resource, namespace) for group, resource in kinds)

    prometheus, plugin = settings.prometheus, settings.device_plugin
    if isinstance(prometheus, ManagedPrometheus):
        make(prometheus.namespace, *_WORKLOAD, _NETWORK_POLICIES)
        if prometheus.persistent_volume:
            make(prometheus.namespace, ("", "persistentvolumeclaims"))
    if settings.device_plugin_enabled:
        make(plugin.namespace, ("", "serviceaccounts"), ("apps", "daemonsets"), _NETWORK_POLICIES)
        if sharing(plugin):
            make(plugin.namespace, ("", "configmaps"))
    if prometheus.authentication.authentication_spec:
        make("", ("keda.sh", "clustertriggerauthentications"))
    for namespace in sorted({stack.namespace for stack in settings.inference}):
        make(namespace, *_WORKLOAD, _NETWORK_POLICIES)
        make(namespace, ("policy", "poddisruptionbudgets"), ("keda.sh", "scaledobjects"))
        if isinstance(prometheus, ManagedPrometheus):
            make(namespace, (_RBAC, "roles"), (_RBAC, "rolebindings"))
        elif prometheus.pod_monitors:
            make(namespace, ("monitoring.coreos.com", "podmonitors"))
    return found


def _watched(settings: Settings) -> list[Thing]:
    """What Pulumi watches until all that is made is ready."""
    seen = {
        (*kind, namespace)
        for group, resource, namespace in made(settings)
        for kind in _WATCHED.get((group, resource), ())
    }
    # By Triton's Service and an exposed gateway's; for the others it is told not to wait.
    seen.update(("", "endpoints", stack.namespace) for stack in settings.inference)
    return sorted(seen)
