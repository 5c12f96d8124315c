"""The documented volumes of models, on a real API server and volume controller.

Not proved here: that a driver mounts them, and that a node caches what its replicas read.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from config.base import PROJECT_FOLDER
from config.sections.inference import InferenceStack
from tests.envoy.harness.waiting import wait_until
from tests.integration.preflights import Kubeconfig

SECTION = (PROJECT_FOLDER / "docs" / "eks.md").read_text().partition("## Models once per node")[2]
*DOCUMENTED, (STATED,) = (
    list(yaml.safe_load_all(block)) for block in re.findall(r"```yaml\n(.*?)```", SECTION, re.S)
)
STACK = {"namespace": "ai-namespace", "triton": STATED}


def driver_of(documented: list[dict[str, Any]]) -> str:
    return documented[0]["spec"]["csi"]["driver"]


@pytest.mark.parametrize("documented", DOCUMENTED, ids=driver_of)
def test_a_documented_claim_binds_and_preflight_asks_for_its_driver_alone(
    documented: list[dict[str, Any]],
    put: Callable[..., Any],
    api: Any,
    ai_namespace: str,
    found: Callable[..., list[str]],
    document: Kubeconfig,
) -> None:
    volume, claim = documented
    put("/api/v1/persistentvolumes", volume)
    claims = f"{ai_namespace}/persistentvolumeclaims"
    put(claims, claim)
    wait_until(
        "the claim has the volume",
        lambda: api.ask("GET", f"{claims}/models")["status"]["phase"] == "Bound",
    )
    (message,) = found(document, inference=[STACK])
    assert f"needs the driver {driver_of(documented)}, which the cluster does not have" in message
    assert "aws eks create-addon" in message
    driver = {"metadata": {"name": driver_of(documented)}, "spec": {"attachRequired": False}}
    put("/apis/storage.k8s.io/v1/csidrivers", driver, "storage.k8s.io/v1")
    assert found(document, inference=[STACK]) == []


def test_a_fleet_with_a_claim_copies_no_models() -> None:
    copied = {"kind": "s3", "uri": "s3://example-models-prod/repository", "revision": "r1"}
    claimed, copying = (
        InferenceStack.model_validate({"triton": {"modelRepository": repository}}).triton
        for repository in (STATED["modelRepository"], copied)
    )
    assert claimed.ready_seconds == claimed.load_seconds
    assert claimed.ready_seconds < copying.ready_seconds
    assert claimed.storage_mib < copying.storage_mib
