"""Prod's shape with nodes by Karpenter, as a stack: by the real CLI, engine and API server.

Karpenter's CRDs are real, and stand-ins answer for its controllers (karpenter_standin.py), for AWS
(tests/standin_aws) and for EKS's controllers (eks_standins.py). The nodes are simulated.
Not shown: that Karpenter, AWS or pulumi-aws accepts anything.
"""

from collections import Counter

import pytest
import yaml
from lightkube import Client
from lightkube.resources.core_v1 import Pod

from config.sections.gpu_nodes import GPU_LABEL, GPU_RESOURCE
from config.sections.inference import InferenceStack
from config.selectors import triton_selector
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from local_cluster.spec import Resources
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import CONFIG_PREFIX, Checkout
from tests.integration.eks_account import CLUSTER, UNATTENDED, Account, calls, steps
from tests.integration.karpenter_standin import NodeClass, NodePool, karpenter_standin, nodes_of

STACK = InferenceStack()
G6_12XLARGE = Resources(cpu=47, memory_gib=180, disk_gib=265, gpus=4)
"""Allocatable resources of a node with the example's disk of 300 GiB."""

POOLS = ("gpu-reserved", "gpu-on-demand")
"""The example's NodePools, the preferred one first; it holds two nodes."""

OIDC = "oidc.eks.eu-central-1.amazonaws.com/id/ABC"
EXAMPLE = "examples/karpenter/Pulumi.karpenter.yaml"
STEPS = {
    "kubernetes:karpenter.sh/v1:NodePool::gpu-on-demand-node-pool": "update",
    "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass::gpu-on-demand-node-class": "update",
}
"""Steps of another limit, another instance type and another disk."""


def prod_by_karpenter(account: Account) -> Checkout:
    """Prod with the example's nodes in place of its own, on the cluster of a kubeconfig."""
    prod = account.stack("prod")
    file = prod.env.stack_file
    document = yaml.safe_load(file.read_text())
    example = yaml.safe_load((prod.path / EXAMPLE).read_text())
    document["config"] |= example["config"]
    document["config"][CONFIG_PREFIX + "platform"] = {
        "kind": "kubeconfig",
        "path": str(prod.kubeconfig),
        "clusterName": CLUSTER,
        "oidcProviderArn": f"arn:aws:iam::123456789012:oidc-provider/{OIDC}",
        "oidcProviderUrl": f"https://{OIDC}",
    }
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    # Without the wait of 20 s for an association of Pod Identity, which other tests show.
    prod.set_config(inference=[{"triton": {"modelRepository": {"identity": "irsa"}}}])
    prod.pulumi("stack", "select", "prod", "--create").ok()
    return prod


def replicas_by_pool(client: Client) -> Counter[str]:
    """Count the replicas on nodes of each NodePool."""
    nodes = {node.metadata.name: pool for pool in POOLS for node in nodes_of(client, pool)}
    replicas = client.list(Pod, namespace=STACK.namespace, labels=triton_selector(STACK))
    return Counter(nodes.get(pod.spec.nodeName, "no pool's") for pod in replicas)


def grow(prod: Checkout, client: Client) -> None:
    """Let a scaler want more replicas than the preferred pool's two nodes of four GPUs hold."""
    (node,) = nodes_of(client, "gpu-reserved")
    assert node.metadata.labels["karpenter.sh/capacity-type"] == "reserved"
    assert [taint.key for taint in node.spec.taints] == [GPU_RESOURCE]
    assert replicas_by_pool(client) == {"gpu-reserved": 1}
    fleet = ("-n", STACK.namespace, "scale", "deployment", STACK.deployment_name)
    prod.kubectl(*fleet, "--replicas", "9").ok()
    # Of nodes that join at once the scheduler takes any.

    def run() -> bool:
        running = replicas_by_pool(client)
        return running.total() == 9 and running.keys() == {*POOLS}

    wait_until("they run", run, 240)
    assert [len(nodes_of(client, pool)) for pool in POOLS] == [2, 1]


@pytest.mark.timeout(900)
def test_prod_comes_up_changes_and_goes_with_nodes_by_karpenter(
    account: Account, bare_cluster: Cluster
) -> None:
    prod = prod_by_karpenter(account)
    said = prod.pulumi("preview").failed().output
    assert "1 problem, nothing was touched" in said
    assert "the cluster has no Karpenter for AWS" in said
    definitions = toolchain.ensure("nodepool-crd", "ec2nodeclass-crd")
    files = [flag for file in definitions.values() for flag in ("-f", str(file))]
    prod.kubectl("apply", "--server-side", *files).ok()
    names = [yaml.safe_load(file.read_text())["metadata"]["name"] for file in definitions.values()]
    prod.await_condition("Established", *(f"crd/{name}" for name in names))

    # The cluster's own GPU nodes; the fixture puts them back.
    prod.kubectl("delete", "node", "-l", "=".join(GPU_LABEL)).ok()
    client = bare_cluster.client()
    with karpenter_standin(client, G6_12XLARGE):
        prod.pulumi("up", *UNATTENDED).ok()
        grow(prod, client)
        before = calls(account)
        prod.pulumi("up", *UNATTENDED, "--expect-no-changes").ok()

        prod.set_config(
            gpuNodes={
                "nodePools": [
                    {},
                    {"maxSize": 6, "instanceTypes": ["g6.12xlarge", "g6.24xlarge"], "diskGib": 400},
                ]
            }
        )
        assert steps(prod) == STEPS
        prod.pulumi("up", *UNATTENDED).ok()
        assert calls(account) == before

        prod.pulumi("state", "unprotect", "--all", "--yes").ok()
        prod.pulumi("destroy", *UNATTENDED).ok()
        assert not list(client.list(NodePool)) + list(client.list(NodeClass))
    left = account.world.read()["resources"]
    assert not any(left.values()), left
