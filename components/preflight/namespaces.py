"""Namespaces that the stack makes, and that somebody else has made before."""

from collections import defaultdict
from collections.abc import Iterable

from components.cluster_api import ClusterApi
from components.labels import PART_OF, PART_OF_LABEL, STACK_LABEL, namespace_labels
from config.checks.names import made_namespaces
from config.checks.problem import Problem
from config.settings import Settings


def namespaces(settings: Settings, stack: str, api: ClusterApi) -> Iterable[Problem]:
    """Refuse namespaces that the stack would take from their owner."""
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
            f"--overwrite namespace {namespace} {marks(stack)}",
        )


def marks(stack: str) -> str:
    """Labels that hand a namespace over, as `kubectl label` takes them."""
    return " ".join(f"{label}={value}" for label, value in namespace_labels(stack).items())
