"""Add-ons of EKS: the Pod Identity agent, the network policy agent, the node monitoring agent.

They are known by their DaemonSets. EKS Auto Mode has the same within its own nodes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from components.cluster import kubeconfig
from components.cluster.preflight.reader import ClusterReader
from config.checks.stack_paths import stacks
from config.problem import Problem
from config.sections.platform import LocalPlatform
from config.sections.triton import S3Repository
from config.settings import Settings

_CNI = "aws-node"
_IDENTITY_AGENT = "eks-pod-identity-agent"
_MONITORING_AGENT = "eks-node-monitoring-agent"
_POLICIES_ON = "--enable-network-policy=true"
"""Argument of the network policy agent in the pods of the VPC CNI (EKS user guide, cni-network-
policy-configure)."""

_OTHER_POLICY_ENGINES = ("calico", "cilium")

_CREATE = "aws eks create-addon --cluster-name <cluster> --addon-name"


def eks(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse an identity that no agent would give, and warn of agents that are missing or off."""
    # By kind: the local cluster needs none of EKS's agents.
    if isinstance(settings.platform, LocalPlatform):
        return
    found = reader.items("/apis/apps/v1/daemonsets", "DaemonSets of all namespaces")
    if found is None:
        return
    daemon_sets = {one["metadata"]["name"]: one for one in found}
    yield from _pod_identity(settings, reader, daemon_sets)
    yield from _network_policies(settings, daemon_sets)
    yield from _node_monitoring(settings, daemon_sets)


def _pod_identity(
    settings: Settings, reader: ClusterReader, daemon_sets: dict[str, Any]
) -> Iterator[Problem]:
    # By kind: only models in S3 need an identity.
    keys: dict[str, object] = {
        at.key("triton.modelRepository.identity"): "podIdentity"
        for at in stacks(settings)
        if isinstance(at.stack.triton.model_repository, S3Repository)
        and at.stack.triton.model_repository.identity == "podIdentity"
    }
    if not keys or _IDENTITY_AGENT in daemon_sets:
        return
    # Auto Mode's nodes have the agent, and those that the stack creates beside them have not.
    if not settings.gpu_nodes.created and reader.api.serves("eks.amazonaws.com/v1", "nodeclasses"):
        return
    yield Problem(
        check="preflight",
        severity="refuse",
        keys=keys,
        reason=(
            f"the cluster has no EKS Pod Identity agent (DaemonSet {_IDENTITY_AGENT}): Triton's "
            "pods would get no credentials, and copy no models"
        ),
        fix=f"install it: {_CREATE} {_IDENTITY_AGENT}; or set the identity to irsa",
    )


def _network_policies(settings: Settings, daemon_sets: dict[str, Any]) -> Iterator[Problem]:
    cni = daemon_sets.get(_CNI)
    if not cni or any(engine in name for name in daemon_sets for engine in _OTHER_POLICY_ENGINES):
        return
    containers: list[dict[str, Any]] = cni["spec"]["template"]["spec"]["containers"]
    if any(_POLICIES_ON in (container.get("args") or ()) for container in containers):
        return
    yield kubeconfig.problem(
        settings.platform,
        "the VPC CNI enforces no NetworkPolicy (its agent does not run with "
        f"{_POLICIES_ON}): every pod of the cluster reaches the gateways, Triton and Prometheus",
        "turn it on: aws eks update-addon --cluster-name <cluster> --addon-name vpc-cni "
        """--configuration-values '{"enableNetworkPolicy": "true"}'; or use another engine""",
        "warn",
    )


def _node_monitoring(settings: Settings, daemon_sets: dict[str, Any]) -> Iterator[Problem]:
    if not settings.gpu_nodes.groups or _MONITORING_AGENT in daemon_sets:
        return
    yield Problem(
        check="preflight",
        severity="warn",
        keys={"gpuNodes.kind": settings.gpu_nodes.kind},
        reason=(
            f"the cluster has no EKS node monitoring agent (DaemonSet {_MONITORING_AGENT}): EKS "
            "repairs a node whose kubelet ends, and keeps one whose GPU fails"
        ),
        fix=f"install it: {_CREATE} {_MONITORING_AGENT}",
    )
