"""Permissions that the user of the kubeconfig lacks."""

from collections import defaultdict
from collections.abc import Iterable

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.permissions import required
from config.problem import Problem
from config.sections.keda import HelmKeda
from config.settings import Settings


def rights(settings: Settings, api: ClusterApi, preview: bool) -> Iterable[Problem]:
    """List missing permissions: `up` is refused, a preview warns."""
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
        lacking = "; nor ".join(f"{', '.join(v)} {', '.join(what)}" for v, what in missing.items())
        yield kubeconfig.problem(
            settings.platform,
            f"{'`up` would be refused: ' if preview else ''}the user of the kubeconfig may not "
            f"{lacking}",
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
