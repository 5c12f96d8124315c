"""The order in which a destroy deletes; that the engine keeps to it: tests/serving."""

from typing import Any

from ops.stack.teardown import delete_scalers_first

PREFIX = "urn:pulumi:dev::kubemind-inference"


def resource(kind: str, name: str, *dependencies: str) -> dict[str, Any]:
    urn = f"{PREFIX}::kubernetes:{kind}::{name}"
    return {"urn": urn, "type": f"kubernetes:{kind}", "dependencies": list(dependencies)}


def state() -> list[dict[str, Any]]:
    return [
        resource("keda.sh/v1alpha1:ScaledObject", "scaler", "release"),
        resource("apps/v1:Deployment", "triton"),
        resource("core/v1:Service", "service"),
        resource("apps/v1:Deployment", "gateway"),
    ]


def test_a_scaler_comes_after_every_deployment_and_depends_on_it() -> None:
    resources = state()
    deployments = {one["urn"] for one in resources if "Deployment" in one["type"]}
    assert delete_scalers_first(resources)
    assert resources[-1]["urn"].endswith("::scaler")
    assert set(resources[-1]["dependencies"]) == {"release", *deployments}
    assert [one["urn"] for one in resources[:3]] == [one["urn"] for one in state()[1:]]


def test_a_state_in_which_it_does_already_is_not_written_again() -> None:
    resources = state()
    delete_scalers_first(resources)
    assert not delete_scalers_first(resources)


def test_a_state_without_a_scaler_stays_as_it_is() -> None:
    resources = state()[1:]
    assert not delete_scalers_first(resources)
    assert resources == state()[1:]
