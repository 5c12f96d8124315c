"""Rollouts that cannot succeed, with the words of the real kubelet, containerd and Triton.

Not shown here: a registry that answers, as nothing of the node leaves the machine.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.overload.burst_process import BurstProcess
from components.cluster.api import ClusterApi
from components.rollout.watch import Watch
from local_cluster.serving.images import PAUSE
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address
from tests.integration.checkout import Checkout
from tests.integration.preflights import api_of
from tests.serving.accounts import WINDOW, none_failed

SPACE = "rollouts"
ENVOY_PORT = "admin: {address: {socket_address: {address: 0.0.0.0, port_value: 90}}}"
BROKEN = """\
name: "broken"
backend: "python"
max_batch_size: 0
input [{name: "TEXT", data_type: TYPE_STRING, dims: [1]}]
output [{name: "TEXT", data_type: TYPE_STRING, dims: [1]}]
"""
RAISES = """\
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("the weights of this model are of another version")
"""


def workload(name: str, image: str = PAUSE.name, **container: Any) -> dict[str, Any]:
    """A Deployment of one pod; `init`, `volumes` and `mounts` are put where they belong."""
    labels = {"app": name}
    pod: dict[str, Any] = {
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
    }
    if init := container.pop("init", None):
        pod["initContainers"] = [{"name": "sync", "image": PAUSE.name, "command": init}]
    if volumes := container.pop("volumes", None):
        pod["volumes"] = volumes
    # A container without a probe is ready for the moment between its start and its end.
    ready = {"exec": {"command": ["test", "-e", "/d/second"]}, "periodSeconds": 1}
    pod["containers"] = [{"name": "main", "image": image, "readinessProbe": ready, **container}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def bash(script: str) -> list[str]:
    return ["bash", "-c", script]


def broken(envoy: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Deployments that cannot be rolled out, each with the words that must be told."""
    missing = [{"name": "models", "configMap": {"name": "no-such-models"}}]
    secret = {"secretKeyRef": {"name": "no-such-secret", "key": "token"}}
    return {
        "crash": (
            workload("crash", command=bash("echo the model is of another version >&2; exit 3")),
            "the model is of another version",
        ),
        "init": (
            workload("init", init=bash("echo nothing found in s3://models; exit 1")),
            "nothing found in s3://models",
        ),
        "memory": (
            workload(
                "memory",
                command=bash("echo loading; a=x; while :; do a=$a$a; done"),
                resources={"limits": {"memory": "32Mi"}},
            ),
            "OOMKilled",
        ),
        "executable": (workload("executable", command=["/no/such/program"]), "/no/such/program"),
        "port": (
            workload("port", envoy, command=["envoy", "--config-yaml", ENVOY_PORT]),
            "Permission denied",
        ),
        "volume": (
            workload(
                "volume",
                volumes=missing,
                volumeMounts=[{"name": "models", "mountPath": "/models"}],
            ),
            'configmap "no-such-models" not found',
        ),
        "secret": (
            workload("secret", env=[{"name": "TOKEN", "valueFrom": secret}]),
            'secret "no-such-secret" not found',
        ),
        "name": (workload("name", "Not An Image"), "InvalidImageName"),
    }


RECOVERS = workload(
    "recovers",
    command=bash(
        "if [ -e /d/second ]; then exec sleep infinity; fi; "
        "if [ -e /d/first ]; then touch /d/second; else touch /d/first; fi; exit 1"
    ),
    volumes=[{"name": "d", "emptyDir": {}}],
    volumeMounts=[{"name": "d", "mountPath": "/d"}],
)
"""Crashes twice, and then runs."""


@pytest.fixture
def api(served: Checkout) -> Iterator[ClusterApi]:
    with api_of(yaml.safe_load(served.kubeconfig.read_text())) as found:
        yield found


def outcome(api: ClusterApi, name: str) -> Watch:
    return Watch(api, SPACE, name, 1, (900, 900), lambda _: None)


def test_each_rollout_that_cannot_succeed_fails_soon_with_the_words_of_its_cause(
    served: Checkout, api: ClusterApi, tmp_path: Path
) -> None:
    """And one that recovers after two crashes succeeds."""
    envoy = read_settings(served.env).inference[0].gateway.image
    cases = broken(envoy)
    made = [deployment for deployment, _ in cases.values()]
    file = tmp_path / "workloads.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [*made, RECOVERS]}))
    served.kubectl("create", "namespace", SPACE).ok()
    try:
        served.kubectl("apply", "-f", str(file)).ok()

        async def watch() -> list[str]:
            names = (*cases, "recovers")
            return await asyncio.gather(*(outcome(api, name).result() for name in names))

        *failures, recovered = asyncio.run(watch())
    finally:
        served.kubectl("delete", "namespace", SPACE, "--wait=false").ok()
    assert recovered == ""
    for (_, words), said in zip(cases.values(), failures, strict=True):
        assert words in said, said
        assert "cannot be rolled out" in said, said


def test_a_model_that_triton_refuses_fails_up_with_tritons_words_while_the_old_replicas_serve(
    served: Checkout, tmp_path: Path
) -> None:
    """And the next good parameters are rolled out at once."""
    settings = read_settings(served.env)
    folder = served.path / "models-broken"
    (folder / "broken/1").mkdir(parents=True)
    (folder / "broken/config.pbtxt").write_text(BROKEN)
    (folder / "broken/1/model.py").write_text(RAISES)
    repository = {"kind": "configMap", "folder": folder.name}
    served.set_config(inference=[{"triton": {"modelRepository": repository}}])
    try:
        address = gateway_address(served.env)
        with BurstProcess.start(address, window=WINDOW, folder=tmp_path) as client:
            ran = served.up().failed()
            report = client.stop()
    finally:
        served.reset_config()
        shutil.rmtree(folder)
    (stack,) = settings.inference
    assert f"Deployment {stack.namespace}/{stack.deployment_name} cannot be rolled" in ran.output
    assert "the weights of this model are of another version" in ran.output, ran.output
    assert (
        f"{stack.autoscaler.min_replicas} pods of the previous version keep serving" in ran.output
    )
    none_failed(report)
    served.up().ok()
    assert "echo 1 answered in" in served.ops("infer").ok().stdout
