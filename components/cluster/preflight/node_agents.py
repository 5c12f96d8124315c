"""Resources by which another agent starts the GPU nodes, such as Karpenter's."""

from collections.abc import Iterable

from components.cluster.api import ClusterApi
from config.problem import Problem
from config.settings import Settings


def node_agents(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    """Refuse pools whose resources the cluster does not serve."""
    nodes = settings.gpu_nodes
    missing = [
        f"{resource} of {version}"
        for version, resource in nodes.needed_apis
        if not api.serves(version, resource)
    ]
    if missing:
        served = " and ".join(missing)
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"gpuNodes.kind": nodes.kind},
            reason=f"the cluster has no Karpenter for AWS: it does not serve {served}",
            fix="install Karpenter first (helm install karpenter "
            "oci://public.ecr.aws/karpenter/karpenter --namespace kube-system), or set "
            "gpuNodes.kind to eksNodeGroups",
        )
