"""A gateway behind a load balancer, under the real CLI, engine, provider and API server.

A stand-in gives the Service its host name, as the AWS Load Balancer Controller does once it has
made the target group. Not shown: the controller's webhook, and that AWS balances.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from pulumi import automation

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from local_cluster import toolchain
from ops.stack.environment import DEV_STACK, StackEnvironment
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout

HOST = "gateway-0123456789.elb.eu-central-1.amazonaws.com"
NAMESPACE = "balanced"
STACK = InferenceStack.model_validate(
    {
        "namespace": NAMESPACE,
        "gateway": {
            "exposure": {
                "kind": "internalLoadBalancer",
                "sourceCidrs": ["10.0.0.0/8"],
                "subnetCidrs": ["10.0.0.0/16"],
            }
        },
    }
)


@pytest.fixture
def gateway(empty: Checkout, tmp_path: Path) -> Iterator[automation.Stack]:
    """A stack of one gateway alone, on the cluster that holds nothing else."""
    environment = StackEnvironment(stack=DEV_STACK, project=tmp_path)
    environment.backend_dir.mkdir(parents=True)
    variables = environment.variables()
    (tmp_path / "bin").symlink_to(toolchain.bin_dir("pulumi"))
    stack = automation.create_stack(
        DEV_STACK,
        project_name="gateway",
        program=lambda: program(empty.kubeconfig),
        work_dir=str(tmp_path),
        opts=automation.LocalWorkspaceOptions(
            env_vars=variables,
            pulumi_command=automation.PulumiCommand(root=str(tmp_path)),
        ),
    )
    yield stack
    stack.destroy()


def program(kubeconfig: Path) -> None:
    """Declare a namespace and the gateway in it."""
    cluster = kubernetes.Provider(
        "cluster", kubeconfig=str(kubeconfig), enable_config_map_mutable=True
    )
    namespace = kubernetes.core.v1.Namespace(
        NAMESPACE,
        metadata={"name": NAMESPACE},
        opts=pulumi.ResourceOptions(provider=cluster),
    )
    gateway = EnvoyGateway(
        "gateway",
        EnvoyGatewayArgs(config=STACK, prometheus=ManagedPrometheus()),
        pulumi.ResourceOptions(providers=[cluster], depends_on=[namespace]),
    )
    pulumi.export("endpoint", gateway.endpoint)


def balance(cluster: Checkout) -> str:
    """Give the Service its host name; returns the Deployments and pods that existed until then."""
    service = ("service", STACK.gateway_name)
    wait_until(
        "the Service",
        lambda: cluster.kubectl("-n", NAMESPACE, "get", *service).code == 0,
        120,
    )
    before = cluster.kubectl("-n", NAMESPACE, "get", "deployments,pods", "-o", "name").ok().stdout
    status: dict[str, Any] = {"status": {"loadBalancer": {"ingress": [{"hostname": HOST}]}}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
    cluster.kubectl("-n", NAMESPACE, "patch", *service, *patch).ok()
    return before


def test_a_gateways_pods_come_after_their_load_balancer(
    gateway: automation.Stack, empty: Checkout
) -> None:
    """The controller's webhook gives readiness gates only to pods whose target group exists."""
    with ThreadPoolExecutor() as executor:
        balanced = executor.submit(balance, empty)
        outputs = gateway.up().outputs
    assert balanced.result() == ""
    assert outputs["endpoint"].value == f"{HOST}:8080"
    kept = gateway.up(expect_no_changes=True)
    assert kept.outputs["endpoint"].value == f"{HOST}:8080"
