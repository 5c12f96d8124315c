"""`make wait`, with stand-ins for Pulumi's preview and for the API server."""

from typing import Any

import pytest

from components.common.kubernetes_api import Answer
from components.rollout import watch
from config.settings import Settings
from ops.errors import OpsError
from ops.stack import rollouts
from ops.stack.environment import StackEnvironment
from tests.unit import rollout_objects as objects
from tests.unit.rollout_objects import snapshot, unplaced

SETTINGS = Settings.model_validate({"tier": "staging"})


class Api:
    """An API server on which every Deployment is rolled out, but those of a name."""

    def __init__(self, waiting: str = "", failing: str = "") -> None:
        self.waiting, self.failing = waiting, failing
        self.looks: list[str] = []
        self.paths: list[str] = []

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ask(self, _method: str, path: str, *_: object) -> dict[str, Any]:
        self.paths.append(path)
        name = path.rpartition("/")[2]
        if "/deployments/" not in path:
            return {}
        self.looks.append(name)
        self.now = snapshot(deployment=objects.rolled_out())
        if name == self.failing:
            looked = self.looks.count(name) > 1
            self.now = snapshot(objects.crashed(3)) if looked else snapshot()
        elif name == self.waiting and self.looks.count(name) == 1:
            self.now = snapshot(unplaced("0/3 nodes are available: 3 Insufficient nvidia.com/gpu."))
        return dict(self.now.deployment)

    def items(self, path: str) -> Any:
        if "/replicasets?" in path:
            return self.now.replica_sets
        return self.now.pods if "/pods?" in path else []

    def send(self, *_: object) -> Answer:
        return Answer(404, "")


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch):
    def run(api: Api, preview: int = 0, settings: Settings = SETTINGS) -> list[str]:
        said: list[str] = []
        environment = StackEnvironment(stack="staging")
        asked: list[tuple[object, ...]] = []

        def previewed(_: object, *arguments: object, check: bool) -> int:
            assert not check
            asked.append(arguments)
            return preview

        async def one_by_one(call: Any, *arguments: Any) -> Any:
            return call(*arguments)

        monkeypatch.setattr(rollouts.pulumi, "run", previewed)
        monkeypatch.setattr(rollouts, "ClusterApi", lambda _: api)
        monkeypatch.setattr(rollouts, "cluster_target", lambda *_: None)
        # The stand-in answers one look after another.
        monkeypatch.setattr(watch.asyncio, "to_thread", one_by_one)
        monkeypatch.setattr(watch, "POLL_SECONDS", 0)
        rollouts.wait(environment, settings, said.append)
        assert asked == [("preview", "--stack", "staging", "--expect-no-changes")]
        return said

    return run


(STACK,) = SETTINGS.inference


def test_success_is_that_every_deployment_of_the_parameters_is_rolled_out(wait):
    api = Api(waiting=STACK.deployment_name)
    said = wait(api)
    assert set(api.looks) == {STACK.deployment_name, STACK.gateway_name, "prometheus-server"}
    assert len(said) == 1
    assert said[0].startswith(f"{STACK.deployment_name}: 0 of 2 new pods ready; ")


def test_the_wait_includes_the_certificate_that_cert_manager_issues(wait):
    api = Api()
    wait(api)
    assert "certificates" not in str(api.paths)
    issuer = {"kind": "clusterIssuer", "name": "internal"}
    gateway = {"tls": {"kind": "certManager", "issuer": issuer}}
    wait(api, settings=Settings.model_validate({"inference": [{"gateway": gateway}]}))
    (path,) = {path for path in api.paths if "/certificates/" in path}
    assert path.endswith("/namespaces/ai-namespace/certificates/envoy-gateway")


def test_a_rollout_that_cannot_succeed_is_told_with_its_reason(wait):
    with pytest.raises(OpsError, match="container triton crashed 3 times"):
        wait(Api(failing=STACK.deployment_name))


def test_no_rollout_is_a_success_while_the_cluster_is_not_as_stated(wait):
    """A refused object fails `up` too, and the replicas may be ready all the same."""
    api = Api()
    with pytest.raises(OpsError, match="is not as the parameters of staging state it"):
        wait(api, preview=255)
    assert api.looks == []
