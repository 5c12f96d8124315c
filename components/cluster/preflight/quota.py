"""ResourceQuotas of existing namespaces, compared with the largest fleet."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from components.cluster.preflight.look import Look, dig
from components.cluster.preflight.pods import PodKind, kinds
from components.cluster.preflight.quantities import amount
from config.problem import Problem
from config.settings import Settings


def quota(settings: Settings, look: Look) -> Iterable[Problem]:
    """Refuse a quota that is too small for the smallest fleet, warn where the largest is larger."""
    by_namespace: defaultdict[str, list[PodKind]] = defaultdict(list)
    for kind in kinds(settings):
        by_namespace[kind.namespace].append(kind)
    for namespace, pods in by_namespace.items():
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        fewest, most = _asked(pods, "fewest"), _asked(pods, "most")
        for found in look.items(path, f"ResourceQuotas in {namespace}") or ():
            if dig(found, "spec", "scopes") or dig(found, "spec", "scopeSelector"):
                continue
            hard: dict[str, str] = dig(found, "spec", "hard") or {}
            short = {k: v for k, v in hard.items() if amount(v) < most.get(k, Decimal(0))}
            if not short:
                continue
            always = any(amount(v) < fewest[k] for k, v in short.items())
            asked = ", ".join(f"{k} {v} of {most[k].normalize():f}" for k, v in short.items())
            yield Problem(
                check="preflight",
                severity="refuse" if always or settings.tier == "prod" else "warn",
                keys={kind.key: namespace for kind in pods},
                reason=(
                    f"the ResourceQuota {found['metadata']['name']} of {namespace} is too small "
                    f"for the {'smallest' if always else 'largest'} fleet: it allows {asked} "
                    "asked for at most, and pods beyond it are refused"
                ),
                fix="have the quota raised, or lower autoscaler.maxReplicas",
            )


def _asked(pods: list[PodKind], count: str) -> dict[str, Decimal]:
    """Return what the pods count against a quota, by the quota's names."""
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for kind in pods:
        number: int = getattr(kind, count)
        for name in ("pods", "count/pods"):
            total[name] += number
        for container in kind.template["spec"]["containers"]:
            for side, values in container["resources"].items():
                for resource, value in values.items():
                    total[f"{side}.{resource}"] += number * amount(value)
                    if side == "requests" and resource in ("cpu", "memory", "ephemeral-storage"):
                        total[resource] += number * amount(value)
    return total
