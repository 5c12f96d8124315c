"""Permissions that the user of a kubeconfig needs to apply the stack."""

from collections import defaultdict

from config.inventory import managed_resources, parts
from config.part import ApiResource
from config.settings import Settings

VERBS = ("get", "list", "watch", "create", "patch", "delete")
"""Verbs that the stack uses on each of its objects. Pulumi watches objects begin and end; without
permission to watch, it waits until its timeout."""

WATCH_VERBS = ("list", "watch")
"""Verbs that Pulumi uses on the objects that controllers create for a workload."""

_WATCHED = {
    ("apps", "deployments"): (
        ("apps", "replicasets"),
        ("", "pods"),
        ("", "persistentvolumeclaims"),
    ),
    ("apps", "daemonsets"): (("", "pods"),),
}
"""Objects by which Pulumi sees that a workload is ready, by its kind."""


def required(settings: Settings) -> dict[ApiResource, tuple[str, ...]]:
    """Return the verbs that the user needs for each resource, except those of a chart."""
    needed: defaultdict[ApiResource, set[str]] = defaultdict(set)
    for resource in managed_resources(settings):
        needed[resource].update(VERBS)
    for resource in _watched(settings):
        needed[resource].update(WATCH_VERBS)
    for part in parts(settings):
        # RBAC lets users grant only verbs that they have.
        for resource, verbs in part.granted:
            needed[resource].update(verbs)
    return {resource: tuple(v for v in VERBS if v in verbs) for resource, verbs in needed.items()}


def _watched(settings: Settings) -> list[ApiResource]:
    """List the resources that Pulumi watches until all objects are ready."""
    found = {
        ApiResource(*kind, namespace)
        for group, resource, namespace in managed_resources(settings)
        for kind in _WATCHED.get((group, resource), ())
    }
    found.update(one for part in parts(settings) for one in part.watched)
    return sorted(found)
