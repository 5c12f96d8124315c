"""Examples of an existing Prometheus, each in place of prod's own; no such server answers here."""

import json
from typing import Any

import pytest

from config.base import PROJECT_FOLDER
from config.checks import run as run_checks
from config.load import parse, read_stack_file
from ops.validate.schema import check_schemas
from tests.recording import Declared
from tests.unit.whole_program import config_of, kubernetes_objects, run

FOLDER = PROJECT_FOLDER / "examples/prometheus"
EXAMPLES = ("amp", "mimir", "thanos")

TRIGGERS: dict[str, dict[str, Any]] = {
    "amp": {"awsRegion": "eu-central-1", "authModes": None, "customHeaders": None},
    "mimir": {"authModes": "basic", "customHeaders": "X-Scope-OrgID=inference"},
    "thanos": {"authModes": None, "customHeaders": None},
}
AUTHENTICATION: dict[str, list[dict[str, Any]]] = {
    "amp": [{"podIdentity": {"provider": "aws"}}],
    "mimir": [
        {
            "secretTargetRef": [
                {"parameter": "username", "name": "mimir-reader", "key": "username"},
                {"parameter": "password", "name": "mimir-reader", "key": "password"},
            ]
        }
    ],
    "thanos": [],
}


@pytest.fixture(params=EXAMPLES)
def example(request) -> str:
    return request.param


def stack_file(example: str) -> dict[str, Any]:
    return {**config_of("prod"), **read_stack_file(FOLDER / f"Pulumi.{example}.yaml")}


@pytest.fixture(scope="module")
def declared() -> dict[str, Declared]:
    return {example: run(stack_file(example), "prod") for example in EXAMPLES}


def test_every_example_is_tried():
    assert {f"Pulumi.{name}.yaml" for name in EXAMPLES} == {file.name for file in FOLDER.iterdir()}


def test_no_check_has_more_to_say_than_of_prod(example):
    assert {problem.check for problem in run_checks(parse(stack_file(example)))} == {
        problem.check for problem in run_checks(parse(config_of("prod")))
    }


def test_keda_asks_with_what_the_server_requires(declared, example):
    scaler = declared[example].one("kubernetes:keda.sh/v1alpha1:ScaledObject")
    (trigger,) = scaler["spec"]["triggers"]
    metadata = trigger["metadata"]
    assert {key: metadata.get(key) for key in TRIGGERS[example]} == TRIGGERS[example]
    assert 'cluster="prod-eu"' in metadata["query"]
    made = declared[example].all("kubernetes:keda.sh/v1alpha1:ClusterTriggerAuthentication")
    assert [one.inputs["spec"] for one in made] == AUTHENTICATION[example]


def test_kedas_and_the_operators_own_schemas_know_every_field(declared, example):
    groups = ("kubernetes:keda.sh/", "kubernetes:monitoring.coreos.com/")
    custom = [r for r in kubernetes_objects(declared[example]) if r.typ.startswith(groups)]
    kinds = {resource.inputs["kind"] for resource in custom}
    assert {"ScaledObject", "PodMonitor", "PrometheusRule"} <= kinds
    assert check_schemas([resource.inputs for resource in custom]) == []


def test_no_output_names_a_secret_or_a_header(declared, example):
    """There is no secret to show: an example names a Secret, or an identity."""
    outputs = json.dumps(declared[example].exports, default=str)
    assert "loadQuery" in outputs
    for word in ("mimir-reader", "password", "X-Scope-OrgID", "authentication"):
        assert word not in outputs
