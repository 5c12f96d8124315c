"""ConfigMaps named by their contents: created with the stack, deleted once unreferenced."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.kubernetes_api import MERGE_PATCH, ApiUnreachableError, KubernetesApi
from components.common.labels import PART_OF, PART_OF_LABEL
from components.common.pods import Manifest
from components.state.content_names import abandoned, owned_by, owner_reference, referenced
from config.selectors import INSTANCE_LABEL

# The annotations are strings: the SDK loads the modules that they name on first use, and a command
# that only asks a cluster need not pay for them (0.5 s).


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A Deployment whose pods mount ConfigMaps that are named by their contents."""

    namespace: str
    """Namespace of all of them."""

    name: str
    """Name of the Deployment, and value of their instance label."""

    mounted: frozenset[str]
    """Names of the ConfigMaps named by their contents that its pod template mounts; not of others,
    such as a user's CA bundle."""

    @classmethod
    def of(cls, namespace: str, name: str, spec: Manifest) -> Self:
        """Describe a Deployment by its `spec`, which mounts no other ConfigMaps."""
        return cls(namespace=namespace, name=name, mounted=frozenset(referenced([{"spec": spec}])))


def content_config_map(
    resource_name: str,
    *,
    metadata: "kubernetes.meta.v1.ObjectMetaArgs",
    data: Mapping[str, str],
    binary_data: Mapping[str, str] | None = None,
    parent: pulumi.Resource,
) -> "kubernetes.core.v1.ConfigMap":
    """Declare a ConfigMap that is named by its contents.

    The engine never deletes it. A rollout that failed or was stopped leaves a deletion in the
    state, and the next `up` would carry it out even if running pods need these contents again.
    `collect` deletes it instead.
    """
    return kubernetes.core.v1.ConfigMap(
        resource_name,
        metadata=metadata,
        data=data,
        binary_data=binary_data or None,
        immutable=True,
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=True),
    )


def collect(
    api: pulumi.Input[KubernetesApi | None],
    workload: Workload,
    deployment: "kubernetes.apps.v1.Deployment",
) -> None:
    """Delete unreferenced contents, once the Deployment is applied.

    The Deployment becomes the owner of the others, so that Kubernetes deletes them with it. A
    preview, or a run without an API server, changes nothing.
    """
    if pulumi.runtime.is_dry_run():
        return

    def run(known: tuple[KubernetesApi | None, str]) -> None:
        if known[0]:
            for message in collect_now(known[0], workload):
                pulumi.log.info(message, deployment)

    # An Output, so that the program waits for it.
    pulumi.Output.all(api, deployment.id).apply(lambda known: run((known[0], known[1])))


def contents_path(namespace: str, name: str) -> str:
    """Return the path of the ConfigMaps of a workload.

    Args:
        namespace: Namespace of the Deployment.
        name: Name of the Deployment.
    """
    labels = f"{INSTANCE_LABEL}={name},{PART_OF_LABEL}={PART_OF}"
    return f"/api/v1/namespaces/{namespace}/configmaps?labelSelector={labels}"


def collect_now(api: KubernetesApi, workload: Workload) -> list[str]:
    """Delete and adopt ConfigMaps; return a message for each deletion.

    Raises:
        pulumi.RunError: A ConfigMap that the pods mount is gone, or the API server does not answer.
    """
    try:
        return _collect(api, workload)
    except ApiUnreachableError as error:
        raise pulumi.RunError(f"old ConfigMaps cannot be deleted: {error}") from None


def _collect(api: KubernetesApi, workload: Workload) -> list[str]:
    namespace = workload.namespace
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    deployment = api.ask("GET", f"{apps}/deployments/{workload.name}")
    if not deployment:
        return []
    # In this order: an object created in the meantime refers to ConfigMaps that are not in the
    # list, or to those that the history already refers to.
    config_maps = api.items(contents_path(namespace, workload.name))
    replica_sets, pods = api.items(f"{apps}/replicasets"), api.items(f"{core}/pods")
    if config_maps is None or replica_sets is None or pods is None:
        return [
            f"old ConfigMaps of {workload.name} stay: the user may not list the pods and "
            "ReplicaSets that mount them"
        ]
    kept = workload.mounted | referenced([deployment, *replica_sets, *pods])
    done: list[str] = []
    for item in abandoned(config_maps, kept):
        metadata = item["metadata"]
        seen = {key: metadata[key] for key in ("uid", "resourceVersion")}
        path = f"{core}/configmaps/{metadata['name']}"
        # A ConfigMap that changed since then is in use.
        if api.send("DELETE", path, {"preconditions": seen}).ok:
            done.append(f"deleted ConfigMap {metadata['name']}: no pod or ReplicaSet refers to it")
    for item in config_maps:
        name = item["metadata"]["name"]
        if item.get("immutable") and name in kept and not owned_by(item, deployment):
            patch = {"metadata": {"ownerReferences": [owner_reference(deployment)]}}
            path = f"{core}/configmaps/{name}?fieldManager={PART_OF}"
            _require(api.send("PATCH", path, patch, MERGE_PATCH).status, name, workload)
    for name in workload.mounted - {item["metadata"]["name"] for item in config_maps}:
        _require(404, name, workload)
    return done


def _require(status: int, name: str, workload: Workload) -> None:
    if status == 404 and name in workload.mounted:
        raise pulumi.RunError(
            f"ConfigMap {workload.namespace}/{name}, which the pods of {workload.name} mount, was "
            "deleted during this run. Run `up` again to create it"
        )
