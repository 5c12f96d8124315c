"""Ways into a cluster that differ in one thing, and what preflight says of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.preflight import preflight
from config.problem import Problem
from config.sections.platform import ReferencePlatform
from config.settings import Settings
from local_cluster.cluster import Cluster

STACK = "dev"

MONITORED = {
    "prometheus": {
        "kind": "existing",
        "address": "http://prometheus:9090",
        "namespace": "monitoring",
        "podMonitors": True,
    }
}

Kubeconfig = dict[str, Any]


def unwrapped(problem: object) -> str:
    """A message on one line."""
    return " ".join(str(problem).split())


def api_of(document: Kubeconfig) -> ClusterApi:
    """Questions by way of the current context of a kubeconfig."""
    platform = ReferencePlatform(kind="stackReference", stack="x")
    return ClusterApi(kubeconfig.read(platform, document))


def look(settings: Settings, preview: bool = False) -> list[Problem]:
    """Return preflight's findings with these parameters."""
    try:
        target = kubeconfig.read(settings.platform)
    except kubeconfig.KubeconfigError as error:
        return [error.problem]
    with ClusterApi(target) as api:
        return preflight(settings, STACK, api, preview=preview)


def problems(
    file: Path,
    document: Kubeconfig | str,
    context: str | None = None,
    severity: str = "refuse",
    preview: bool = False,
    dnsAddresses: Sequence[str] = (),  # noqa: N803 - as in YAML
    **parameters: Any,
) -> list[str]:
    """Return preflight's findings with the kubeconfig of this file, one message each."""
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    at = {
        "kind": "kubeconfig",
        "path": str(file),
        "context": context,
        "dnsAddresses": list(dnsAddresses),
    }
    settings = Settings.model_validate({"platform": at, **parameters})
    found = look(settings, preview)
    return [unwrapped(problem) for problem in found if problem.severity == severity]


def with_user(document: Kubeconfig, **user: Any) -> Kubeconfig:
    """The kubeconfig with other credentials."""
    return {**document, "users": [{"name": document["users"][0]["name"], "user": user}]}


def with_server(document: Kubeconfig, server: str) -> Kubeconfig:
    """The kubeconfig with another address."""
    (named,) = document["clusters"]
    return {**document, "clusters": [{**named, "cluster": {**named["cluster"], "server": server}}]}


def token_of(cluster: Cluster, name: str) -> str:
    """A token of a service account, which is made where it is not there."""
    client = cluster.client()
    account = ServiceAccount(metadata=ObjectMeta(name=name, namespace="default"))
    client.apply(account, field_manager="test")
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    http: Any = client._client._client
    return http.post(path, json={"spec": {}}).json()["status"]["token"]
