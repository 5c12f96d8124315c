"""Checks that the watchdog can tell a dead replica from a busy one."""

from collections import Counter
from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, derived, number, refuse, warn
from config.settings import Settings


@refuse
def watchdog_patience(settings: Settings) -> Iterator[Finding]:
    """A saturated replica answers the watchdog in time."""
    for at in stacks(settings):
        stack, key = at.stack, at.key("triton.watchdog.patienceSeconds")
        stated = stack.triton.watchdog.patience_seconds
        busy_seconds = max(stack.traffic.deadline_seconds, stack.queue_seconds)
        if stated is not None and stated < busy_seconds:
            yield Finding(
                keys={
                    key: stated,
                    at.key("traffic.deadlineSeconds"): stack.traffic.deadline_seconds,
                    derived(at.key("triton.queueSeconds")): stack.queue_seconds,
                },
                reason=(
                    f"a busy replica may take {number(busy_seconds)} s for one answer, but would "
                    f"be restarted after {number(stated)} s"
                ),
                change={key: None},
            )


@refuse
def watchdog_requests(settings: Settings) -> Iterator[Finding]:
    """Each model has one inference, with complete inputs."""
    for at in stacks(settings):
        watchdog = at.stack.triton.watchdog
        models = Counter(request.model for request in watchdog.requests)
        models.update(set(watchdog.skipped_models))
        for index, request in enumerate(watchdog.requests):
            path = f"triton.watchdog.requests[{index}]"
            if models[request.model] > 1:
                yield Finding(
                    keys={
                        at.key(f"{path}.model"): request.model,
                        at.key("triton.watchdog.skippedModels"): list(watchdog.skipped_models),
                    },
                    reason=f"{request.model} is named {models[request.model]} times",
                    fix="name each model once, in requests or in skippedModels",
                )
            for place, stated in enumerate(request.inputs):
                room, values = stated.items, len(stated.data)
                if values not in (0, room):
                    yield Finding(
                        keys={
                            at.key(f"{path}.inputs[{place}].shape"): list(stated.shape),
                            at.key(f"{path}.inputs[{place}].data"): list(stated.data),
                        },
                        reason=f"the shape holds {room} values, but {values} are given",
                        fix="give as many values, or none for zeros",
                    )


@warn
def watchdog_off(settings: Settings) -> Iterator[Finding]:
    """In prod the watchdog restarts a replica with a dead model."""
    for at in stacks(settings):
        if settings.tier == "prod" and not at.stack.triton.watchdog.enabled:
            key = at.key("triton.watchdog.enabled")
            yield Finding(
                keys={"tier": "prod", key: False},
                reason=(
                    "Triton stays ready when a model hangs or its process dies: such a replica "
                    "fails its share of the calls until someone deletes it"
                ),
                change={key: True},
            )
