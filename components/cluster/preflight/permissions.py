"""Permissions that the user of the kubeconfig lacks."""

from collections import defaultdict
from collections.abc import Iterable

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.permissions import required
from config.problem import Problem
from config.sections.keda import HelmKeda
from config.settings import Settings


def permissions(settings: Settings, api: ClusterApi, preview: bool) -> Iterable[Problem]:
    """Refuse missing permissions in `up`; warn of them in a preview."""
    # Most users have every permission: one request instead of six per namespace and kind.
    if api.may("*", "*", "*"):
        return
    # Without permissions the provider compares the stated fields only, which still previews.
    severity = "warn" if preview else "refuse"
    missing: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for (group, resource, namespace), needed in required(settings).items():
        verbs = tuple(v for v in needed if not api.may(v, group, resource, namespace))
        where = f" in {namespace}" if namespace else ""
        missing[verbs].append(f"{resource}{f'.{group}' if group else ''}{where}")
    missing.pop((), None)
    if missing:
        refused = "; nor ".join(f"{', '.join(v)} {', '.join(what)}" for v, what in missing.items())
        yield kubeconfig.problem(
            settings.platform,
            f"{'`up` would be refused: ' if preview else ''}the user of the kubeconfig may not "
            f"{refused}",
            "grant these permissions, or choose a platform.context whose user has them",
            severity,
        )
    if preview and not api.may("get", "", "namespaces"):
        yield kubeconfig.problem(
            settings.platform,
            "the user of the kubeconfig may not get namespaces, so a preview cannot detect "
            "namespaces that someone else owns",
            "grant this permission, or choose a platform.context whose user has it",
        )
    # By kind: only a chart has objects that the inventory does not list.
    if isinstance(settings.keda, HelmKeda):
        yield kubeconfig.problem(
            settings.platform,
            "the user of the kubeconfig may not do everything, and preflight does not check the "
            "permissions for KEDA's chart (cluster roles, resource definitions, Secrets)",
            "have a user with these permissions install it, and set keda.kind to existing, or "
            "continue",
            "warn",
        )
