"""The real Prometheus finds exactly the stack's pods, with exactly the rights it is given.

On the real API server with simulated pods: nothing answers a scrape, so that is not shown.
"""

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml
from lightkube import Client, KubeConfig, codecs
from lightkube.config.models import User
from lightkube.core.exceptions import ApiError
from lightkube.models.authentication_v1 import TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod, Secret, ServiceAccountToken

from components.gateway.component import EnvoyGateway, EnvoyGatewayArgs
from components.monitoring.component import Prometheus, PrometheusArgs
from components.monitoring.workload import CONFIG_FILE
from components.network.namespaces import Namespaces, NamespacesArgs
from components.triton.component import Triton, TritonArgs
from config.inventory import parts
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from local_cluster import toolchain
from local_cluster.cluster import Cluster
from ops.stack.cluster_spec import cluster_spec
from tests import recording
from tests.envoy.harness.waiting import free_ports, wait_until

SETTINGS = Settings.model_validate(
    {
        "inference": [{}, {"namePrefix": "b-", "namespace": "vision"}],
        "devicePlugin": {"enabled": False},
    }
)
PROMETHEUS = ManagedPrometheus()
APPLIED_KINDS = ("Namespace", "ServiceAccount", "ConfigMap", "Role", "RoleBinding", "Deployment")


def program() -> None:
    Namespaces("namespaces", NamespacesArgs(parts=parts(SETTINGS)))
    Prometheus(
        "prometheus",
        PrometheusArgs(config=PROMETHEUS, stacks=SETTINGS.inference, keda=SETTINGS.keda),
    )
    for index, stack in enumerate(SETTINGS.inference):
        Triton(
            f"triton-{index}",
            TritonArgs(config=stack, nodes=SETTINGS.gpu_nodes.pool, prometheus=PROMETHEUS),
        )
        EnvoyGateway(f"gateway-{index}", EnvoyGatewayArgs(config=stack, prometheus=PROMETHEUS))


@pytest.fixture(scope="module")
def declared() -> recording.Declared:
    return recording.declare(program)


@pytest.fixture(scope="module")
def cluster(
    declared: recording.Declared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A cluster with the declared objects, their pods Ready, and other pods among them."""
    cluster = Cluster(tmp_path_factory.mktemp("state"), mode="simulated")
    try:
        cluster.up(cluster_spec(SETTINGS))
        client = cluster.client()
        found = [r.inputs for r in declared.resources if r.inputs.get("kind") in APPLIED_KINDS]
        for manifest in sorted(found, key=lambda m: APPLIED_KINDS.index(m["kind"])):
            client.create(codecs.from_dict(manifest))
        for other in other_pods(declared):
            client.create(codecs.from_dict(other))
        wait_until("every pod is Running", lambda: all_running(client), 120)
        yield cluster
    finally:
        cluster.down()


def other_pods(declared: recording.Declared) -> list[dict[str, Any]]:
    """Pods that look like the gateway's but for one thing each."""
    template = declared.one("apps/v1:Deployment", "envoy-gateway")["spec"]["template"]
    changes: list[tuple[str, dict[str, str]]] = [
        ("ai-namespace", {"app.kubernetes.io/instance": "another-gateway"}),
        ("ai-namespace", {"app.kubernetes.io/part-of": "another-product"}),
        ("ai-namespace", {"app.kubernetes.io/name": "another-proxy"}),
        ("observability", {}),
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"other-{index}",
                "namespace": namespace,
                "labels": {**template["metadata"]["labels"], **labels},
            },
            "spec": {**template["spec"], "serviceAccountName": "default"},
        }
        for index, (namespace, labels) in enumerate(changes)
    ]


def all_running(client: Client) -> bool:
    pods = list(client.list(Pod, namespace="*"))
    wanted = sum(d.spec.replicas or 1 for d in client.list(Deployment, namespace="*"))
    running = [p for p in pods if p.status and p.status.phase == "Running"]
    return len(running) >= wanted + 4


@pytest.fixture(scope="module")
def token(cluster: Cluster) -> str:
    """The files that Prometheus's pod would mount."""
    request = ServiceAccountToken(
        metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[], expirationSeconds=3600)
    )
    answer = cluster.client().create(request, PROMETHEUS.name, namespace=PROMETHEUS.namespace)
    return answer.status.token


@pytest.fixture(scope="module")
def targets(
    cluster: Cluster,
    declared: recording.Declared,
    token: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[dict[str, Any]]]:
    """Active targets of the real Prometheus, once it has found some of each job."""
    folder = tmp_path_factory.mktemp("prometheus")
    (port,) = free_ports(1)
    for name, text in declared.one("core/v1:ConfigMap", PROMETHEUS.name)["data"].items():
        (folder / name).write_text(text)
    file = folder / CONFIG_FILE
    file.write_text(outside_the_cluster(file.read_text(), cluster, token, folder))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                toolchain.ensure("prometheus")["prometheus"],
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield wait_until(
            f"both jobs have targets; {folder / 'log'}", lambda: active_targets(port), 60
        )
    finally:
        process.terminate()
        process.wait(30)


def outside_the_cluster(text: str, cluster: Cluster, token: str, folder: Path) -> str:
    """The configuration as declared, with the address and account that a pod finds mounted."""
    config = yaml.safe_load(text)
    known = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    (folder / "token").write_text(token)
    (folder / "ca.crt").write_bytes(base64.b64decode(known["certificate-authority-data"]))
    for job in config["scrape_configs"]:
        (discovery,) = job["kubernetes_sd_configs"]
        discovery["api_server"] = known["server"]
        discovery["authorization"] = {"credentials_file": str(folder / "token")}
        discovery["tls_config"] = {"ca_file": str(folder / "ca.crt")}
    return yaml.safe_dump(config)


def active_targets(port: int) -> list[dict[str, Any]]:
    """Of both jobs, or none yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/targets?state=active") as answer:
            found = json.load(answer)["data"]["activeTargets"]
    except (URLError, ConnectionError):
        return []
    return found if {target["labels"]["job"] for target in found} == {"envoy", "triton"} else []


def test_every_pod_is_one_target_and_other_pods_are_none(
    cluster: Cluster, targets: list[dict[str, Any]]
) -> None:
    scraped = {
        stack.gateway_name: (stack.gateway.ops_port, "/stats/prometheus")
        for stack in SETTINGS.inference
    } | {
        stack.deployment_name: (stack.triton.metrics_port, "/metrics")
        for stack in SETTINGS.inference
    }
    wanted = []
    for pod in cluster.client().list(Pod, namespace="*"):
        workload = pod.metadata.labels["app.kubernetes.io/instance"]
        if workload in scraped and not pod.metadata.name.startswith("other-"):
            port, path = scraped[workload]
            wanted.append(f"http://{pod.status.podIP}:{port}{path}")
    assert len(wanted) == 2 * (2 + 1)
    assert sorted(target["scrapeUrl"] for target in targets) == sorted(wanted)


def test_a_target_says_whose_it_is_and_leaves_the_querys_label_to_envoy(
    targets: list[dict[str, Any]],
) -> None:
    for target in targets:
        labels = target["labels"]
        assert set(labels) == {"instance", "job", "namespace", "pod", "workload"}
        assert labels["pod"].startswith(labels["workload"])


def test_prometheus_may_read_pods_of_the_inference_namespaces_alone(
    cluster: Cluster, token: str
) -> None:
    """Without these refusals the test above would say nothing of the Roles."""
    client = as_account(cluster, token)
    for stack in SETTINGS.inference:
        assert list(client.list(Pod, namespace=stack.namespace))
    for kind, namespace in ((Pod, "observability"), (Pod, "*"), (Secret, "ai-namespace")):
        with pytest.raises(ApiError) as caught:
            list(client.list(kind, namespace=namespace))
        assert caught.value.status.code == 403


def as_account(cluster: Cluster, token: str) -> Client:
    config = KubeConfig.from_file(cluster.kubeconfig)
    config.users[cluster.context] = User(token=token)
    return Client(config.get(cluster.context), trust_env=False)
