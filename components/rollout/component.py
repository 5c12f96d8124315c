"""The wait for rollouts: `up` succeeds only once the pods of its Deployments run."""

import functools
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.kubernetes_api import KubernetesApi
from components.rollout.watch import PROGRESS_SECONDS, Watch

_WAIT = "`make wait` waits for the rollout and alone reports its success; or run `up` again later."


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A Deployment whose pods `up` waits for."""

    deployment: kubernetes.apps.v1.Deployment

    start_seconds: float = PROGRESS_SECONDS
    """Longest time for the first pods to get ready."""

    rollout_seconds: float = PROGRESS_SECONDS
    """Longest time for all pods to be replaced."""

    least: int = 1
    """Fewest ready pods; more may be starting because a scaler wants them."""

    certificate: pulumi.Input[str] = ""
    """Name of the Certificate of cert-manager whose Secret the pods mount, in their namespace; `up`
    waits until it is issued as stated. Empty if they need none."""

    awaited: bool = True
    """False to end `up` before the rollout has ended, with a failure that says so."""


def await_rollouts(api: pulumi.Output[KubernetesApi | None], rollouts: Sequence[Rollout]) -> None:
    """Let `up` fail unless every rollout succeeds, whether or not this run changed it.

    The engine itself only creates or updates the Deployments, so that a failed rollout blocks no
    other object. A preview and a run under mocks wait for no pod.

    Args:
        api: The cluster.
        rollouts: All Deployments of the program.

    Raises:
        pulumi.RunError: Once all have ended, if one failed; with the last log lines of containers.
    """
    if pulumi.runtime.is_dry_run():
        return
    if threading.current_thread() is threading.main_thread():
        # Python's own reaction to Ctrl-C is a traceback.
        signal.signal(signal.SIGINT, _end)
    outcomes = [
        pulumi.Output.all(
            api,
            one.deployment.metadata.namespace,
            one.deployment.metadata.name,
            one.certificate,
        ).apply(functools.partial(_outcome, one))
        for one in rollouts
    ]

    def judge(found: Sequence[tuple[str, bool]]) -> None:
        failed = [text for text, may_succeed in found if text and not may_succeed]
        pending = [text for text, may_succeed in found if may_succeed]
        if failed:
            advice = (
                "Everything else is applied. Correct the parameters, or the objects that they "
                "name, and run `up` again."
            )
        elif pending:
            advice = f"not yet rolled out: everything is applied. {_WAIT}"
        else:
            return
        raise pulumi.RunError("\n\n".join([*failed, *pending, advice]))

    pulumi.Output.all(*outcomes).apply(judge)


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


async def _outcome(rollout: Rollout, known: Sequence[object]) -> tuple[str, bool]:
    """Return the failure as text, empty for a success, and whether the rollout may yet succeed."""
    api, namespace, name, certificate = known
    if api is None:
        return "", False

    def report(text: str) -> None:
        pulumi.log.info(text, resource=rollout.deployment, ephemeral=True)

    times = rollout.start_seconds, rollout.rollout_seconds
    watch = Watch(
        cast(KubernetesApi, api),
        str(namespace),
        str(name),
        rollout.least,
        times,
        report,
        str(certificate),
    )
    return (await watch.result(), False) if rollout.awaited else await watch.now()
