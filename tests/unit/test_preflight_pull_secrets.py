"""Preflight on pull secrets, by recorded answers of an API server.

Not shown: that kubelet pulls by a Secret.
"""

from typing import Any

import pytest

from components.cluster.preflight.pull_secrets import pull_secrets
from components.cluster.preflight.reader import ClusterReader
from config.inherited import inherited
from config.problem import Problem
from config.settings import Settings
from tests.unit.preflight_api import Api, Json

NAMESPACE = ("/namespaces/ai-namespace", (200, {"metadata": {"name": "ai-namespace"}}))
SHARED: Json = {
    "images": {"pullSecrets": ["registry"]},
    "devicePlugin": {"enabled": False},
    "prometheus": {"kind": "existing", "address": "http://prometheus", "namespace": "monitoring"},
}


def found(answers: dict[str, tuple[int, Json]], **raw: Any) -> tuple[list[Problem], ClusterReader]:
    reader = ClusterReader(Api(answers))  # pyright: ignore[reportArgumentType]
    settings = inherited(Settings.model_validate(raw))
    return list(pull_secrets(settings, "prod", reader)), reader


def secret(name: str, kind: str) -> tuple[str, tuple[int, Json]]:
    return f"/namespaces/ai-namespace/secrets/{name}", (200, {"type": kind})


def test_a_stack_without_pull_secrets_asks_for_none():
    assert found({})[0] == []


def test_a_secret_that_its_namespace_lacks_is_refused_with_the_command_that_makes_it():
    (problem,), _ = found(dict([NAMESPACE]), **SHARED)
    assert problem.severity == "refuse"
    assert problem.keys == {
        "inference[0].namespace": "ai-namespace",
        "images.pullSecrets": "registry",
    }
    assert "there is no Secret registry in ai-namespace" in problem.reason
    assert "kubectl --namespace ai-namespace create secret docker-registry registry" in problem.fix


@pytest.mark.parametrize("kind", ["kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"])
def test_a_secret_that_kubelet_reads_is_no_finding(kind):
    assert found(dict([NAMESPACE, secret("registry", kind)]), **SHARED)[0] == []


def test_a_secret_of_a_type_that_kubelet_ignores_is_refused():
    (problem,), _ = found(dict([NAMESPACE, secret("registry", "Opaque")]), **SHARED)
    assert problem.severity == "refuse"
    assert "has the type Opaque, which kubelet ignores" in problem.reason
    assert problem.fix.startswith("delete it, and create it: kubectl")


def test_a_namespace_that_up_creates_is_warned_of_with_the_steps_before_it():
    (problem,), _ = found({}, **SHARED)
    assert problem.severity == "warn"
    assert "the first `up` fails" in problem.reason
    steps = [
        "kubectl create namespace ai-namespace",
        "kubectl label namespace ai-namespace app.kubernetes.io/part-of=kubemind-inference",
        "kubectl --namespace ai-namespace create secret docker-registry registry",
    ]
    positions = [problem.fix.index(step) for step in steps]
    assert positions == sorted(positions)


def test_every_part_is_asked_for_in_its_own_namespace():
    stated = {
        "devicePlugin": {"enabled": True, "namespace": "plugin"},
        "keda": {"kind": "helm", "namespace": "scaler"},
        "prometheus": {"kind": "managed", "namespace": "watching"},
        "inference": [{"triton": {"pods": {"imagePullSecrets": ["own"]}}}],
    }
    problems, _ = found({}, images=SHARED["images"], **stated)
    assert [list(problem.keys.items()) for problem in problems] == [
        [("devicePlugin.namespace", "plugin"), ("images.pullSecrets", ["registry"])],
        [("prometheus.namespace", "watching"), ("images.pullSecrets", ["registry"])],
        [("keda.namespace", "scaler"), ("images.pullSecrets", ["registry"])],
        [
            ("inference[0].namespace", "ai-namespace"),
            ("inference[0].triton.pods.imagePullSecrets", ["own"]),
            ("images.pullSecrets", ["registry"]),
        ],
    ]


def test_secrets_that_the_user_may_not_read_are_no_finding_but_a_note():
    denied = ("/namespaces/ai-namespace/secrets/registry", (403, {}))
    problems, reader = found(dict([NAMESPACE, denied]), **SHARED)
    assert problems == []
    (note,) = reader.unreadable(Settings().platform)
    assert "Secrets in ai-namespace" in note.reason
