"""Protection of tier prod. Not shown: that the engine deletes nothing that is protected."""

from typing import Any

import pytest

from config.load import parse
from ops.errors import OpsError
from ops.stack import lifecycle, pulumi
from ops.stack.environment import StackEnvironment
from ops.stack.protection import require_unprotected
from tests.declared import Declared
from tests.unit.whole_program import config_of, declared_by, kubernetes_objects, run


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:prod::kubemind-inference::{kind}::{name}", **more}


def state(count: int) -> dict[str, Any]:
    plain = resource("kubernetes:apps/v1:Deployment", "gateway")
    namespaces = [
        resource("kubernetes:core/v1:Namespace", f"namespace-{index}", protect=True)
        for index in range(count)
    ]
    return {"resources": [plain, *namespaces]}


def test_a_stack_without_protected_resources_passes():
    require_unprotected("dev", state(0))
    require_unprotected("dev", {})


def test_the_message_names_the_resources_and_the_steps():
    with pytest.raises(OpsError) as refused:
        require_unprotected("prod", state(14))
    message = str(refused.value)
    assert "nothing was touched" in message
    assert "kubernetes:core/v1:Namespace namespace-0\n" in message
    assert "namespace-12" not in message
    assert "and 2 more" in message
    assert "gateway" not in message
    assert "pulumi state unprotect --all --stack prod" in message
    assert "make destroy STACK=prod" in message


def test_destroy_refuses_before_it_changes_the_state_or_asks_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
):
    def touched(*_: object, **__: object) -> None:
        pytest.fail("something was touched")

    monkeypatch.setattr(lifecycle, "prepare", lambda _: parse({}))
    monkeypatch.setattr(pulumi, "deployment", lambda _: state(1))
    monkeypatch.setattr(lifecycle.teardown, "open_on", touched)
    monkeypatch.setattr(pulumi, "change", touched)
    with pytest.raises(OpsError, match="prod is protected"):
        lifecycle.destroy(StackEnvironment(stack="prod"))


def protected_objects(declared: Declared) -> set[str]:
    return {
        f"{r.typ.rpartition(':')[2]} {r.name}" for r in kubernetes_objects(declared) if r.protect
    }


def test_prod_protects_its_namespaces_and_the_services_that_callers_know_and_no_more():
    assert (
        protected_objects(declared_by("dev")) == protected_objects(declared_by("staging")) == set()
    )
    assert protected_objects(declared_by("prod")) == {
        "Namespace namespaces-ai-namespace",
        "Service inference-gateway-service",
    }


def test_prod_protects_the_volume_of_its_own_prometheus():
    watch = {"kind": "managed", "persistentVolume": {"sizeGib": 20, "storageClass": "gp3"}}
    declared = run({**config_of("prod"), "prometheus": watch}, "prod")
    assert "PersistentVolumeClaim prometheus-volume" in protected_objects(declared)
