"""Every stack's manifests, as `make render` writes them, held against schemas and linters offline.

Not shown: that a cluster takes them (tests/integration does that for dev), CEL rules of CRDs, and
what a Helm chart makes of its values.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.stack.environment import PROJECT
from ops.validate.exceptions import (
    EXCEPTIONS_FILE,
    ExceptionsError,
    RuleException,
    judge,
    load_exceptions,
)
from ops.validate.linters import LinterError, checkov, kube_score
from ops.validate.schema import Finding, check_schemas, identity
from ops.validate.validate import as_json, object_files, validate

pytestmark = pytest.mark.tools


STACKS = ("dev", "staging", "prod")
GATEWAY = "ai-namespace/deployment-envoy-gateway.yaml"
SCALED_OBJECT = "ai-namespace/scaledobject-triton-inference-scaler.yaml"
RULES = "ai-namespace/prometheusrule-triton-inference-scaler.yaml"
POD_MONITOR = "ai-namespace/podmonitor-envoy-gateway.yaml"


def render(stack: str, out: Path) -> Path:
    command = [sys.executable, "-m", "ops", "render", "--stack", stack, "--out", out]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    return out


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each stack, made by the command itself."""
    root = tmp_path_factory.mktemp("rendered")
    return {stack: render(stack, root / stack) for stack in STACKS}


@pytest.fixture
def changed(rendered: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a stack's folder with one object changed."""

    def change(stack: str, path: str, edit: Callable[[dict[str, Any]], object]) -> Path:
        folder = tmp_path / stack
        shutil.copytree(rendered[stack], folder)
        document = read(folder / path)
        edit(document)
        (folder / path).write_text(yaml.safe_dump(document))
        return folder

    return change


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text())


def objects(folder: Path) -> list[dict[str, Any]]:
    return [read(file) for file in object_files(folder)]


def container(document: dict[str, Any]) -> dict[str, Any]:
    return document["spec"]["template"]["spec"]["containers"][0]


def test_every_stacks_manifests_pass_and_every_exception_is_needed(rendered):
    verdict = validate(list(rendered.values()))
    assert json.loads(as_json(verdict))["passed"], as_json(verdict)
    assert {stack for stack, _ in verdict.excepted} == set(STACKS)


def test_another_process_renders_the_same_to_the_byte(rendered, tmp_path):
    """Python orders sets differently from process to process."""
    again = render("staging", tmp_path / "again")
    files = [file for file in rendered["staging"].rglob("*") if file.is_file()]
    assert len(files) > 20
    for file in files:
        assert (again / file.relative_to(rendered["staging"])).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("stack", STACKS)
def test_no_workload_that_is_scaled_states_its_replicas(rendered, stack):
    found = {identity(item): item for item in objects(rendered[stack])}
    scalers = [item for item in found.values() if item["kind"] == "ScaledObject"]
    assert scalers
    for scaler in scalers:
        namespace, target = scaler["metadata"]["namespace"], scaler["spec"]["scaleTargetRef"]
        deployment = found[f"Deployment/{namespace}/{target['name']}"]
        assert "replicas" not in deployment["spec"]


def test_a_namespaced_object_states_its_namespace(rendered):
    assert not [folder for folder in rendered.values() if (folder / "default").exists()]


def test_a_container_without_a_security_context_is_found_by_both_linters(rendered, changed):
    folder = changed("dev", GATEWAY, lambda d: container(d).pop("securityContext"))

    def added(tool: Callable[[Path], list[Finding]]) -> set[tuple[str, str]]:
        before, after = set(tool(rendered["dev"])), set(tool(folder))
        return {(item.rule, item.resource) for item in after - before}

    gateway = "Deployment/ai-namespace/envoy-gateway"
    assert added(lambda where: kube_score(object_files(where))) == {
        ("container-security-context-readonlyrootfilesystem", gateway),
    }
    assert added(checkov) == {
        (rule, gateway)
        for rule in ("CKV_K8S_20", "CKV_K8S_22", "CKV_K8S_28", "CKV_K8S_30", "CKV_K8S_37")
    }


@pytest.mark.parametrize(
    ("stack", "path", "edit", "message"),
    [
        (
            "dev",
            GATEWAY,
            lambda d: container(d).update(imagePullPolcy="Always"),
            "spec.template.spec.containers.0: Additional properties are not allowed "
            "('imagePullPolcy' was unexpected)",
        ),
        (
            "dev",
            GATEWAY,
            lambda d: d["spec"].update(replicas="2"),
            "spec.replicas: '2' is not of type 'integer'",
        ),
        (
            "dev",
            GATEWAY,
            lambda d: d["spec"].pop("selector"),
            "spec: 'selector' is a required property",
        ),
        (
            "dev",
            SCALED_OBJECT,
            lambda d: d["spec"]["triggers"][0]["metadata"].update(threshold=16),
            "spec.triggers.0.metadata.threshold: 16 is not of type 'string'",
        ),
        (
            "dev",
            SCALED_OBJECT,
            lambda d: d["spec"].update(minReplicas=2),
            "spec: Additional properties are not allowed ('minReplicas' was unexpected)",
        ),
        (
            "prod",
            POD_MONITOR,
            lambda d: d["spec"]["podMetricsEndpoints"][0].update(interval="5 s"),
            "spec.podMetricsEndpoints.0.interval: '5 s' does not match",
        ),
        (
            "prod",
            RULES,
            lambda d: d["spec"]["groups"][0]["rules"][0].update({"for": "1 minute"}),
            "spec.groups.0.rules.0.for: '1 minute' does not match",
        ),
    ],
)
def test_each_field_that_no_schema_knows_is_found(changed, stack, path, edit, message):
    folder = changed(stack, path, edit)
    (found,) = check_schemas(objects(folder))
    assert (found.rule, found.resource) == ("schema", identity(read(folder / path)))
    assert found.message.startswith(message)


def test_an_object_of_a_kind_without_a_schema_is_found():
    (found,) = check_schemas([{"apiVersion": "a.b/v1", "kind": "X", "metadata": {"name": "x"}}])
    assert (found.rule, found.message) == ("no-schema", "no schema is known for a.b/v1 X")


def test_a_pod_without_a_network_policy_is_found(rendered):
    files = [file for file in object_files(rendered["dev"]) if "networkpolicy" not in file.name]
    found = {item.resource for item in kube_score(files) if item.rule == "pod-networkpolicy"}
    assert found == {
        identity(item) for item in objects(rendered["dev"]) if item["kind"] in {
            "Deployment", "DaemonSet"
        }
    }  # fmt: skip


def test_an_annotation_silences_neither_linter(rendered, changed):
    def silence(document: dict[str, Any]) -> None:
        annotations = {"kube-score/ignore": "container-resources", "checkov.io/skip1": "CKV_K8S_11"}
        document["metadata"]["annotations"] = annotations

    folder = changed("dev", GATEWAY, silence)
    assert kube_score(object_files(folder)) == kube_score(object_files(rendered["dev"]))
    with pytest.raises(LinterError, match="envoy-gateway silences CKV_K8S_11"):
        checkov(folder)


FOUND = Finding("checkov", "R1", "Deployment/a/x", "is wrong")
HELD = {"dev": ["Deployment/a/x", "Service/a/y"], "prod": ["Service/a/y"]}


def exception(**changes: Any) -> RuleException:
    stated = {"tool": "checkov", "rules": ["R1"], "resources": ["Deployment/a/x"]}
    return RuleException(**{**stated, "reason": "a reason of some length", **changes})


def test_an_exception_covers_its_tool_its_rule_and_its_object_alone():
    found = {"dev": [FOUND], "prod": []}
    assert judge(found, HELD, [exception()]).passed
    for change in ({"tool": "kube-score"}, {"rules": ["R2"]}, {"resources": ["Service/a/y"]}):
        assert judge(found, HELD, [exception(**change)]).failures == [("dev", FOUND)]
    assert judge(found, HELD, [exception(stacks=["prod"])]).failures == [("dev", FOUND)]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            exception(rules=["R1", "R2"]),
            "dev: Deployment/a/x no longer breaks R2 (checkov); delete the exception",
        ),
        (
            exception(resources=["Deployment/a/x", "Deployment/a/gone"]),
            "no stack has Deployment/a/gone; delete its exception from R1",
        ),
    ],
)
def test_an_exception_that_is_not_needed_fails(stated, message):
    found = {"dev": [FOUND], "prod": []}
    verdict = judge(found, HELD, [stated])
    assert (verdict.failures, verdict.unused) == ([], [message])
    assert not verdict.passed


def test_an_exception_for_another_stack_is_no_fault_if_one_stack_alone_is_validated():
    stated = [exception(), exception(resources=["Deployment/a/elsewhere"])]
    alone = {"dev": [FOUND]}, {"dev": HELD["dev"]}
    assert not judge(*alone, stated).passed
    assert judge(*alone, stated, partial=True).passed


def test_an_exception_that_one_stack_of_two_needs_must_say_so():
    held = {"dev": ["Deployment/a/x"], "prod": ["Deployment/a/x"]}
    found = {"dev": [FOUND], "prod": []}
    assert not judge(found, held, [exception()]).passed
    assert judge(found, held, [exception(stacks=["dev"])]).passed


def test_the_command_fails_and_says_why_on_an_unused_exception(rendered, tmp_path):
    """The whole way, with the real exceptions and one too many."""
    document = read(EXCEPTIONS_FILE)
    gateway = "Deployment/ai-namespace/envoy-gateway"
    document["exceptions"].append(
        exception(rules=["CKV_K8S_99"], resources=[gateway]).model_dump(mode="json")
    )
    file = tmp_path / "exceptions.yaml"
    file.write_text(yaml.safe_dump(document))
    result = subprocess.run(
        [
            *(sys.executable, "-m", "ops", "validate", rendered["dev"], "--partial"),
            *("--exceptions", file, "--json", tmp_path / "verdict.json"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert (verdict["passed"], verdict["failures"]) == (False, [])
    (message,) = verdict["unused"]
    assert message == f"dev: {gateway} no longer breaks CKV_K8S_99 (checkov); delete the exception"
    assert "1 unused exceptions" in result.stdout


@pytest.mark.parametrize(
    "change", [{"reason": ""}, {"resources": []}, {"tool": "hadolint"}, {"why": "x"}]
)
def test_an_exception_without_reason_object_or_known_tool_is_refused(tmp_path, change):
    file = tmp_path / "exceptions.yaml"
    stated = exception().model_dump(mode="json") | change
    file.write_text(yaml.safe_dump({"exceptions": [stated]}))
    with pytest.raises(ExceptionsError, match=next(iter(change))):
        load_exceptions(file)
