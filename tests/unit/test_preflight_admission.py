"""The pods that preflight tries, by an API server that looks up what a pod names.

Not shown: the words of a real API server (tests/integration/test_preflight_admission.py).
"""

import json
from typing import Any

import pytest

from components.cluster.preflight.admission import admission
from components.cluster.preflight.reader import ClusterReader
from components.common.kubernetes_api import Answer
from components.spare.workload import priority_class_name
from config.sections.inference import InferenceStack
from config.settings import Settings
from tests.unit.preflight_api import Api, Json

SPARES = {"inference": [{"triton": {"warmSpare": {"replicas": 1}}}]}
_BUILT_IN = "system-node-critical"
CLASS = priority_class_name(InferenceStack())
STATED = {"inference": [{"triton": {"pods": {"priorityClassName": "first"}}}]}


class Admitting(Api):
    """Refuses a pod whose account or PriorityClass does not exist, as the admission plugins do."""

    def __init__(self, *existing: str) -> None:
        super().__init__(
            {name: (200, {"metadata": {"name": name}}) for name in (_BUILT_IN, *existing)}
        )
        self.pods: list[Json] = []

    def namespace_labels(self, _name: str) -> Json:
        return {"team": "vision"}

    def may(self, *_question: str) -> bool:
        return True

    def send(self, method: str, path: str, body: Any = None, *_: Any, **__: Any) -> Answer:
        if method != "POST":
            return super().send(method, path)
        spec: Json = body["spec"]
        for key in ("serviceAccountName", "priorityClassName"):
            if key in spec and not self.ask("GET", f"/{spec[key]}"):
                return Answer(403, json.dumps({"message": f"no {key} {spec[key]}"}))
        self.pods.append(spec)
        return Answer(201, json.dumps(body))


def refusals(api: Admitting, parameters: Json) -> list[str]:
    found = admission(
        Settings.model_validate(parameters),
        "dev",
        ClusterReader(api),  # pyright: ignore[reportArgumentType]
    )
    # It sets none of the defaults, which is a change in its own right.
    return [problem.reason for problem in found if problem.severity == "refuse"]


@pytest.mark.parametrize("existing", [(), (CLASS,)])
def test_a_warm_spare_is_tried_without_the_priority_class_that_the_stack_creates(existing):
    api = Admitting(*existing)
    assert refusals(api, SPARES) == []
    (spare,) = [pod for pod in api.pods if pod["containers"][0]["name"] == "placeholder"]
    assert [spare[key] for key in ("priorityClassName",) if key in spare] == list(existing)


def test_a_stated_priority_class_that_is_missing_is_refused():
    assert "no priorityClassName first" in "".join(refusals(Admitting(), STATED))
    assert refusals(Admitting("first"), STATED) == []
