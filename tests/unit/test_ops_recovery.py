"""Repairs of dev's state before it is used, file by file; with a real engine: integration."""

import json
from pathlib import Path

import pytest

from ops.errors import OpsError
from ops.stack import pulumi, recovery
from ops.stack.environment import StackEnvironment


@pytest.fixture
def env(tmp_path: Path) -> StackEnvironment:
    """Dev, with a state of its own."""
    return StackEnvironment(stack="dev", project=tmp_path)


def test_state_stays_with_its_cluster_and_goes_with_another(env: StackEnvironment) -> None:
    env.backend_dir.mkdir(parents=True)
    # State without a marker is of a cluster that nobody knows.
    assert recovery.match_cluster(env, "first")
    env.backend_dir.mkdir(parents=True)
    assert not recovery.match_cluster(env, "first")
    assert env.backend_dir.exists()
    assert recovery.match_cluster(env, "second")
    assert not env.backend_dir.exists()


_PROVIDER = "urn:pulumi:dev::p::pulumi:providers:kubernetes::cluster"


def _provider(cluster: str, number: int = 1) -> dict[str, object]:
    """The program's provider in the state; of another cluster than the local one by its address."""
    return {
        "urn": _PROVIDER,
        "id": str(number),
        "custom": True,
        "type": "pulumi:providers:kubernetes",
        "inputs": {"clusterIdentifier": cluster},
    }


def _made(kind: str, provider: str = f"{_PROVIDER}::1") -> dict[str, object]:
    """A resource as the state holds it."""
    urn = f"urn:pulumi:dev::p::{kind}::one"
    return {"urn": urn, "custom": True, "type": kind, "provider": provider}


_COMPONENT = {"urn": "urn:pulumi:dev::p::t:i:C::c", "custom": False, "type": "t:i:C"}
_REFERENCE = _made("pulumi:pulumi:StackReference", "")
_NAMESPACE = "kubernetes:core/v1:Namespace"
_THEIRS = _provider("https://one.example.com")
ELSEWHERE: dict[str, dict[str, object]] = {
    "another cluster": {"resources": [_THEIRS, _COMPONENT, _made(_NAMESPACE)]},
    "half moved here": {
        "resources": [
            _provider("local", 2),
            _THEIRS,
            _made("kubernetes:core/v1:Service", f"{_PROVIDER}::2"),
            _made(_NAMESPACE),
        ]
    },
    "being made there": {
        "resources": [_THEIRS],
        "pending_operations": [{"type": "creating", "resource": _made(_NAMESPACE)}],
    },
    "no cluster yet, but a role": {"resources": [_made("aws:iam/role:Role", "aws::1")]},
}
"""States that describe what is not on the local cluster: one resource each."""


@pytest.mark.parametrize("latest", ELSEWHERE.values(), ids=ELSEWHERE)
def test_state_of_another_cluster_is_never_dropped(
    env: StackEnvironment, latest: dict[str, object]
) -> None:
    held = _state(**latest)
    file = _checkpoint(env, held)
    said: set[str] = set()
    for drop in (
        recovery.require_local,
        recovery.require_droppable,
        recovery.drop_state,
        recovery.forget,
        lambda env: recovery.match_cluster(env, "first"),
    ):
        with pytest.raises(OpsError) as refused:
            drop(env)
        said.add(str(refused.value))
    [text] = said
    assert "the state of dev holds 1 resources on another cluster than the local one" in text
    assert ("(https://one.example.com)" in text) == (_THEIRS in latest["resources"])
    assert "`make destroy` with `platform` in Pulumi.dev.yaml as it was" in text
    assert "delete .state/pulumi/.pulumi/stacks/kubemind-inference/dev.json" in text
    assert file.read_text() == held
    # Of half a checkpoint the whole one beside it counts.
    file.with_name("dev.json.bak").write_text(held)
    file.write_text(held[:20])
    with pytest.raises(OpsError):
        recovery.match_cluster(env, "first")
    assert file.exists()


@pytest.mark.parametrize(
    "resources",
    [
        [],
        None,
        [_THEIRS, _COMPONENT, _REFERENCE],
        [_provider("local"), _COMPONENT, _made(_NAMESPACE)],
    ],
    ids=["empty", "none", "only-pulumi's-own", "local"],
)
def test_state_that_leaves_nothing_behind_elsewhere_is_dropped(
    env: StackEnvironment, resources: list[object] | None
) -> None:
    file = _checkpoint(env, _state(resources=resources))
    recovery.require_local(env)
    assert recovery.match_cluster(env, "first")
    assert not file.exists()


def test_a_second_stack_in_devs_backend_is_not_dropped_but_hinders_no_dev(
    env: StackEnvironment,
) -> None:
    file = _checkpoint(env, _state()).with_name("second.json")
    file.write_text(_state(resources=[_THEIRS, _made(_NAMESPACE)]))
    recovery.require_local(env)
    with pytest.raises(OpsError, match=r"of second .*`pulumi destroy --stack second`"):
        recovery.drop_state(env)
    assert file.exists()
    # What Pulumi leaves of a stack that was removed describes nothing.
    file.rename(file.with_name("second.json.bak"))
    recovery.drop_state(env)
    assert not env.backend_dir.exists()


def test_a_marker_that_is_right_is_not_written(env: StackEnvironment) -> None:
    recovery.match_cluster(env, "first")
    marker = env.state_dir / "pulumi-cluster"
    before = marker.stat()
    recovery.match_cluster(env, "first")
    after = marker.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_marker_is_replaced_whole(env: StackEnvironment) -> None:
    recovery.match_cluster(env, "first")
    marker = env.state_dir / "pulumi-cluster"
    with marker.open() as open_since_before:
        recovery.match_cluster(env, "second")
        # A reader of the old one still reads all of it: it was never truncated.
        assert open_since_before.read() == "first"
    assert marker.read_text() == "second"


def test_nothing_is_left_where_dev_is_forgotten(env: StackEnvironment) -> None:
    recovery.match_cluster(env, "first")
    # What every command of make leaves that first looks after .venv.
    (env.state_dir / "bootstrap.lock").touch()
    with recovery.exclusive(env, lambda _: None):
        recovery.forget(env)
    assert list(env.project.iterdir()) == []


def _checkpoint(env: StackEnvironment, text: str) -> Path:
    env.checkpoint.parent.mkdir(parents=True)
    env.checkpoint.write_text(text)
    return env.checkpoint


def _state(**latest: object) -> str:
    """A checkpoint as Pulumi's file backend writes it."""
    return json.dumps({"version": 3, "checkpoint": {"latest": {"resources": [], **latest}}})


def test_half_a_checkpoint_gives_way_to_the_last_whole_one(env: StackEnvironment) -> None:
    file = _checkpoint(env, _state()[:20])
    file.with_name("dev.json.bak").write_text(_state())
    assert recovery.restore_checkpoint(env)
    assert file.read_text() == _state()
    assert not recovery.restore_checkpoint(env)


def test_half_a_checkpoint_without_another_is_dropped(env: StackEnvironment) -> None:
    file = _checkpoint(env, _state()[:20])
    assert recovery.restore_checkpoint(env)
    assert not file.exists()
    assert not recovery.restore_checkpoint(env)


@pytest.mark.parametrize(
    ("latest", "settled"),
    [({}, False), ({"pending_operations": []}, False), ({"pending_operations": [{}]}, True)],
)
def test_pulumi_is_asked_only_where_an_operation_was_left_open(
    env: StackEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    latest: dict[str, object],
    settled: bool,
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(pulumi, "capture", lambda _, *arguments: asked.append(arguments))
    _checkpoint(env, _state(**latest))
    assert recovery.clear_pending(env) is settled
    assert [arguments[0] for arguments in asked] == ["refresh"] * settled


def test_a_stack_that_was_never_made_has_nothing_open(env: StackEnvironment) -> None:
    assert not recovery.clear_pending(env)
    _checkpoint(env, json.dumps({"version": 3, "checkpoint": {"latest": None}}))
    assert not recovery.clear_pending(env)


@pytest.mark.parametrize("left", ["", '{"user.cache_con'])
def test_half_of_what_lies_beside_a_whole_checkpoint_is_dropped(
    env: StackEnvironment, left: str
) -> None:
    file = _checkpoint(env, _state())
    half = file.with_name("dev.json.attrs")
    half.write_text(left)
    whole = file.with_name("dev.json.bak.attrs")
    whole.write_text('{"user.content_type": "application/json"}')
    assert recovery.restore_checkpoint(env)
    assert not half.exists()
    assert whole.exists()
    assert file.read_text() == _state()
    assert not recovery.restore_checkpoint(env)
