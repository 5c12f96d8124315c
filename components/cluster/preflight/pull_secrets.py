"""Secrets with credentials for registries, which the user or an operator creates."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from components.cluster.preflight.reader import ClusterReader
from components.common.labels import hand_over
from config.inventory import parts
from config.part import Part
from config.problem import Problem
from config.settings import Settings

_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
"""Types that kubelet reads; it ignores all others (kubernetes/kubernetes,
`pkg/credentialprovider/secrets/secrets.go`)."""


def pull_secrets(settings: Settings, stack: str, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse a Secret that pods name and that their namespace does not have.

    Kubelet pulls without it, and the registry then refuses the image. A namespace that the stack
    has yet to create cannot have it, and an operator may create it there: preflight warns.
    """
    by_namespace: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts(settings):
        if any(part.pull_secrets.values()):
            by_namespace[part.namespace].append(part)
    for namespace, needing in by_namespace.items():
        yield from _in_namespace(settings, stack, reader, namespace, needing)


def _in_namespace(
    settings: Settings, stack: str, reader: ClusterReader, namespace: str, needing: list[Part]
) -> Iterator[Problem]:
    named = _named(settings, needing)
    keys: dict[str, object] = {needing[0].namespace_key: namespace}
    secrets = f"Secrets in {namespace}"
    if reader.get(f"/api/v1/namespaces/{namespace}", f"the namespace {namespace}") == {}:
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys
            | {key: [n for n, at in named.items() if at == key] for key in named.values()},
            reason=(
                f"the namespace {namespace} does not exist yet, and so has no Secret "
                f"{' and '.join(named)}: unless an operator creates it at once, no image is "
                "pulled, and the first `up` fails"
            ),
            fix=(
                f"create both before `up`: kubectl create namespace {namespace}; kubectl label "
                f"namespace {namespace} {hand_over(stack)}; "
                + "; ".join(_command(namespace, name) for name in named)
            ),
        )
        return
    for name, key in named.items():
        found = reader.get(f"/api/v1/namespaces/{namespace}/secrets/{name}", secrets)
        if found is None or found.get("type") in _TYPES:
            continue
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={**keys, key: name},
            reason=(
                f"the Secret {name} in {namespace} has the type {found.get('type')}, which kubelet "
                "ignores: it pulls the images without credentials"
                if found
                else f"there is no Secret {name} in {namespace}: kubelet pulls the images without "
                "credentials"
            ),
            fix=f"{'delete it, and create' if found else 'create'} it: {_command(namespace, name)}",
        )


def _named(settings: Settings, needing: Iterable[Part]) -> dict[str, str]:
    """Return the names of Secrets, each with the YAML key that states it."""
    named: dict[str, str] = {}
    for part in needing:
        for key, names in part.pull_secrets.items():
            for name in names:
                shared = name in settings.images.pull_secrets
                named.setdefault(name, "images.pullSecrets" if shared else key)
    return named


def _command(namespace: str, name: str) -> str:
    # From a file: no password is in the shell's history.
    return (
        f"kubectl --namespace {namespace} create secret docker-registry {name} "
        "--from-file=.dockerconfigjson=<file>"
    )
