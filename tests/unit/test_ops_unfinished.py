"""Advice on what a killed run left in a backend that others use too."""

import pytest

from ops.stack.retain import needs_retaining
from ops.stack.unfinished import lock_advice, pending_advice

LOCKED = (
    "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to "
    "end or delete the lock file with `pulumi cancel`.",
    "error: [409] Conflict: Another update is currently in progress.",
)


@pytest.mark.parametrize("said", LOCKED)
def test_a_lock_is_explained_with_the_command_that_releases_it(said: str) -> None:
    advice = lock_advice("prod", said)
    assert advice is not None
    assert "pulumi cancel --stack prod" in advice


def test_any_other_failure_is_the_engines_to_explain() -> None:
    assert lock_advice("prod", "error: no stack named 'prod' found") is None


def test_pending_operations_are_named_with_the_command_that_clears_them() -> None:
    urn = "urn:pulumi:prod::kubemind-inference::kubernetes:core/v1:Service::the-service"
    state = {"pending_operations": [{"type": "creating", "resource": {"urn": urn}}]}
    advice = pending_advice("prod", state)
    assert advice is not None
    assert "creating the-service" in advice
    assert "pulumi refresh --clear-pending-creates --stack prod" in advice
    assert pending_advice("prod", {}) is None


def test_only_a_config_map_that_cannot_change_is_kept_by_the_state() -> None:
    models = {"type": "kubernetes:core/v1:ConfigMap", "inputs": {"immutable": True}}
    fixed = {"type": "kubernetes:core/v1:ConfigMap", "inputs": {}}
    other = {"type": "kubernetes:core/v1:Secret", "inputs": {"immutable": True}}
    assert needs_retaining([fixed, models])
    assert not needs_retaining([fixed, other, {**models, "retainOnDelete": True}])
