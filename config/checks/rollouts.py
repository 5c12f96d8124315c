"""Checks of rollouts: how many replicas one starts at once, and how long it takes."""

from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.problem import Finding, derived, refuse, warn
from config.settings import Settings
from config.sizing.rollout import rollout_seconds

SESSION_SECONDS = 3600
"""Default of AssumeRole's DurationSeconds (STS API reference), and of GitHub's action."""

LONGEST_SESSION_SECONDS = 12 * 3600
"""Longest session of a role (IAM: MaxSessionDuration); an hour if one role assumes another."""


def surge_keys(at: StackAt) -> dict[str, object]:
    """Return the key that decides how many replicas a rollout starts at once."""
    triton = at.stack.triton
    if triton.max_surge_percent:
        return {at.key("triton.maxSurgePercent"): triton.max_surge_percent}
    key = at.key("triton.maxSurge")
    return {key if triton.max_surge else derived(key): triton.surge}


@refuse
def surge(settings: Settings) -> Iterator[Finding]:
    """A rollout's surge is stated once."""
    for at in stacks(settings):
        triton = at.stack.triton
        if triton.max_surge and triton.max_surge_percent:
            number, share = at.key("triton.maxSurge"), at.key("triton.maxSurgePercent")
            yield Finding(
                keys={number: triton.max_surge, share: triton.max_surge_percent},
                reason="a Deployment has one maxSurge, a number of replicas or a share of them",
                change={number: None},
            )


@warn
def rollout_session(settings: Settings) -> Iterator[Finding]:
    """`up` does not wait longer for a rollout than the credentials of its session last."""
    # A person applies a dev stack, and may renew the session meanwhile.
    if settings.tier == "dev":
        return
    nodes = settings.gpu_nodes.pool
    for at in stacks(settings):
        seconds = rollout_seconds(at.stack, nodes)
        if not at.stack.triton.await_rollout or seconds <= SESSION_SECONDS:
            continue
        yield Finding(
            keys={
                at.key("triton.awaitRollout"): True,
                at.key("autoscaler.maxReplicas"): at.stack.autoscaler.max_replicas,
                **surge_keys(at),
                derived(at.key("rolloutSeconds")): seconds,
            },
            reason=(
                f"`up` waits up to {seconds} s for a rollout of the largest fleet, and the "
                f"credentials of an IAM role last {SESSION_SECONDS} s by default: after them `up` "
                "cannot see the cluster any more and fails"
            ),
            fix=(
                f"give the job credentials for {seconds} s (the role's maximum session duration "
                f"and role-duration-seconds; at most {LONGEST_SESSION_SECONDS}), raise the surge, "
                f"or set {at.key('triton.awaitRollout')} to false and run `make wait` in a session "
                "of its own"
            ),
        )
