"""ResourceQuotas of existing namespaces, compared with the largest fleet."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from components.cluster.preflight.pods import PodKind, kinds
from components.cluster.preflight.quantities import amount
from components.cluster.preflight.reader import ClusterReader, dig
from config.problem import Problem
from config.settings import Settings


def quota(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse a quota below the smallest fleet; warn of one below the largest, refused in prod."""
    by_namespace: defaultdict[str, list[PodKind]] = defaultdict(list)
    for kind in kinds(settings):
        by_namespace[kind.namespace].append(kind)
    for namespace, pods in by_namespace.items():
        path = f"/api/v1/namespaces/{namespace}/resourcequotas"
        fewest, most = _requested(pods, "fewest"), _requested(pods, "most")
        for found in reader.items(path, f"ResourceQuotas in {namespace}") or ():
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
                    "requested at most, and the API server refuses pods beyond it"
                ),
                fix="have the quota raised, or lower autoscaler.maxReplicas",
            )


def _requested(pods: list[PodKind], count: str) -> dict[str, Decimal]:
    """Return the pods' use of a quota, by the names of its resources."""
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
