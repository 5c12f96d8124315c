"""Deprecated forms of parameters are read as the current ones, with a warning that names those."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.base import PROJECT_FOLDER
from config.deprecated import REMOVED_ON, rewrite
from config.load import Refused, parse, read_stack_file
from config.problem import Problem
from config.settings import Settings
from ops.stack import lifecycle
from ops.stack.environment import StackEnvironment
from ops.stack.lifecycle import read_settings

CLUSTER = {
    "kind": "kubeconfig",
    "path": "kubeconfig",
    "clusterName": "inference",
    "subnetIds": ["subnet-1"],
}


def autoscaler(**parameters: object) -> dict[str, Any]:
    return {"inference": [{}, {"namePrefix": "b-", "namespace": "b", "autoscaler": parameters}]}


ROOMY = {"kind": "existing", "maxSize": 20}

FORMS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a node group": (
        {"platform": CLUSTER, "gpuNodes": {"provision": "eks", "minSize": 2, "labels": {"a": "b"}}},
        {
            "platform": CLUSTER,
            "gpuNodes": {"kind": "eksNodeGroups", "groups": [{"minSize": 2, "labels": {"a": "b"}}]},
        },
        "set gpuNodes.kind to eksNodeGroups, and move the other keys to gpuNodes.groups[0]",
    ),
    "existing nodes": (
        {"gpuNodes": {"provision": "none", "maxSize": 8}},
        {"gpuNodes": {"kind": "existing", "maxSize": 8}},
        "set gpuNodes.kind to existing",
    ),
    "nodes without a kind": (
        {"gpuNodes": {"maxSize": 8, "maxUnavailable": 2}},
        {"gpuNodes": {"kind": "existing", "maxSize": 8}},
        "set gpuNodes.kind to existing, and delete maxUnavailable, without effect there",
    ),
    "a signal": (
        {"gpuNodes": ROOMY, **autoscaler(signal="inFlight")},
        {"gpuNodes": ROOMY, **autoscaler(signal={"kind": "inFlight"})},
        "set inference[1].autoscaler.signal.kind to inFlight",
    ),
    "a signal and its keys": (
        {
            "gpuNodes": ROOMY,
            **autoscaler(signal="demand", refusedSeconds=0.5, rateWindowSeconds=20),
        },
        {
            "gpuNodes": ROOMY,
            **autoscaler(signal={"kind": "demand", "refusedSeconds": 0.5, "rateWindowSeconds": 20}),
        },
        "set inference[1].autoscaler.signal.kind to demand, and move refusedSeconds and "
        "rateWindowSeconds into it",
    ),
    "keys of a signal that is not stated": (
        {"gpuNodes": ROOMY, **autoscaler(refusedSeconds=0.5)},
        {
            "gpuNodes": ROOMY,
            **autoscaler(signal={"kind": "demand", "refusedSeconds": 0.5}),
        },
        "move refusedSeconds into it",
    ),
    "time slices": (
        {"gpuNodes": ROOMY, "devicePlugin": {"timeSlices": 2}},
        {"gpuNodes": ROOMY, "gpuSharing": {"kind": "timeSlicing", "slices": 2}},
        "set gpuSharing to {kind: timeSlicing, slices: 2}, and delete devicePlugin.timeSlices",
    ),
    "one time slice": (
        {"gpuNodes": ROOMY, "devicePlugin": {"timeSlices": 1}},
        {"gpuNodes": ROOMY},
        "delete devicePlugin.timeSlices",
    ),
    "keys that a signal does not use": (
        {"gpuNodes": ROOMY, **autoscaler(signal="inFlight", refusedSeconds=0.5)},
        {"gpuNodes": ROOMY, **autoscaler(signal={"kind": "inFlight"})},
        "set inference[1].autoscaler.signal.kind to inFlight, and delete refusedSeconds, without "
        "effect",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_old_form_and_the_new_one_are_the_same_settings(form: str):
    old, new, _ = FORMS[form]
    assert parse(old) == parse(new)


@pytest.mark.parametrize("form", FORMS)
def test_the_old_form_warns_with_the_new_one_and_the_date_of_its_removal(form: str):
    old, new, fix = FORMS[form]
    (warning,) = rewrite(old).warnings
    assert warning.severity == "warn"
    assert warning.fix == fix
    assert REMOVED_ON in warning.reason
    assert rewrite(new).warnings == []


@pytest.mark.parametrize("form", FORMS)
def test_rewriting_leaves_the_users_values_alone(form: str):
    old = FORMS[form][0]
    before = json.dumps(old)
    rewrite(old)
    assert json.dumps(old) == before


@pytest.mark.parametrize("file", sorted(PROJECT_FOLDER.glob("Pulumi.*.yaml")), ids=lambda f: f.name)
def test_no_shipped_stack_file_has_a_deprecated_form(file: Path):
    assert rewrite(read_stack_file(file)).warnings == []


def test_make_warns_once_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  gpuNodes:\n    provision: none\n")
    env = StackEnvironment(stack="dev", project=tmp_path)
    for _ in range(2):
        assert read_settings(env) == Settings()
    printed = capsys.readouterr()
    assert printed.err.count("warning: deprecated:") == 1
    assert "fix: set gpuNodes.kind to existing" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("command", "warns"),
    [
        (lifecycle.up, False),
        (lifecycle.preview, False),
        (lifecycle.adopt, False),
        (lifecycle.refresh, True),
        (lifecycle.destroy, True),
    ],
)
def test_a_command_warns_unless_the_program_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[StackEnvironment], None],
    *,
    warns: bool,
):
    """Not shown: Pulumi runs the program for `up` and `preview` alone (its `--run-program`)."""

    class ReachedError(Exception):
        pass

    asked: list[bool] = []

    def read_settings(_: StackEnvironment, *, warns: bool) -> Settings:
        asked.append(warns)
        raise ReachedError

    monkeypatch.setattr(lifecycle, "read_settings", read_settings)
    with pytest.raises(ReachedError):
        command(StackEnvironment(stack="dev", project=tmp_path))
    assert asked == [warns]


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown provision": (
        {"gpuNodes": {"provision": "esk"}},
        'gpuNodes.provision = "esk"',
        "must be one of eks, none",
    ),
    "wrong value of a group": (
        {"gpuNodes": {"provision": "eks", "minSize": -1}},
        "gpuNodes.minSize = -1",
        "must be at least 0",
    ),
    "misspelt key of a group": (
        {"gpuNodes": {"provision": "eks", "maxSizes": 3}},
        "gpuNodes.maxSizes = 3",
        "did you mean maxSize?",
    ),
    "a node group on the local cluster": (
        {"gpuNodes": {"provision": "eks"}},
        "gpuNodes.provision = eks",
        "set gpuNodes.provision to none",
    ),
    "too few nodes": (
        {"platform": CLUSTER, "gpuNodes": {"provision": "eks", "maxSize": 2}},
        "gpuNodes.maxSize = 2",
        "set gpuNodes.maxSize to 6",
    ),
    "misspelt signal": (
        autoscaler(signal="in_flight"),
        'inference[1].autoscaler.signal = "in_flight"',
        "must be one of demand, inFlight",
    ),
    "wrong value of a signal's key": (
        autoscaler(refusedSeconds=0),
        "inference[1].autoscaler.refusedSeconds = 0",
        "must be at least 0.0001",
    ),
    "a signal that cannot reach": (
        {"gpuNodes": ROOMY, **autoscaler(signal="inFlight", threshold=40)},
        "inference[1].autoscaler.signal = inFlight",
        "above 40 x 2",
    ),
    "a short window": (
        {"gpuNodes": ROOMY, **autoscaler(rateWindowSeconds=10)},
        "inference[1].autoscaler.rateWindowSeconds = 10",
        "unset inference[1].autoscaler.rateWindowSeconds",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_the_keys_that_the_user_wrote(case: str):
    raw, now, says = REFUSED[case]
    with pytest.raises(Refused) as refused:
        parse(raw)
    text = " ".join(str(refused.value).split())
    assert now in text
    assert says in text
    assert "groups[0]" not in text
    assert "signal.kind" not in text


VALUES = st.none() | st.booleans() | st.integers() | st.sampled_from(["eks", "none", "demand"])


@given(
    nodes=st.dictionaries(
        st.sampled_from(["provision", "kind", "maxSize", "groups"]), VALUES | st.just([])
    ),
    scaler=st.dictionaries(
        st.sampled_from(["signal", "refusedSeconds", "rateWindowSeconds"]),
        VALUES | st.dictionaries(st.sampled_from(["kind", "refusedSeconds"]), VALUES),
    ),
)
def test_any_mixture_of_forms_is_accepted_or_refused_with_a_fix(
    nodes: dict[str, object], scaler: dict[str, object]
):
    problems: tuple[Problem, ...] = ()
    try:
        assert isinstance(
            parse({"gpuNodes": nodes, "inference": [{"autoscaler": scaler}]}), Settings
        )
    except Refused as refused:
        problems = refused.problems
    assert all(problem.fix or problem.change for problem in problems)
