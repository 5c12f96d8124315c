"""Course of a fleet: replicas that the HPA wants, that the Deployment states, and ready ones."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from lightkube import AsyncClient
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.types import OnErrorAction, OnErrorResult

from ops.errors import OpsError

_FIRST_SECONDS = 10.0
"""Longest wait for the first state of both objects."""

_PATIENCE = 50
_PAUSE_SECONDS = 0.2
"""Retries of a failed watch, and the pause before each: an API server may be busy or restart."""


@dataclass(frozen=True)
class FleetStep:
    """State of a fleet until the next step."""

    at: float
    """Time of observation, `time.time` seconds."""
    wanted: int
    """Desired replicas: the HPA's `status.desiredReplicas`."""
    replicas: int
    """Stated replicas: the Deployment's `spec.replicas`."""
    ready: int
    """Ready replicas: the Deployment's `status.readyReplicas`."""


class FleetWatch:
    """Watches one Deployment and its HPA in a thread, within its block.

    A missing or deleted object counts as 0 replicas.
    """

    def __init__(self, client: Any, namespace: str, deployment: str, hpa: str) -> None:
        """Store the names; the watch starts with the block.

        Args:
            client: A `lightkube.Client`; its connection is not shared, its configuration is.
            namespace: Namespace of both objects.
            deployment: Name of the Deployment.
            hpa: Name of the HorizontalPodAutoscaler.
        """
        self.steps: list[FleetStep] = []
        """All steps so far; the first is the state at the beginning of the watch."""
        self._config = client.config
        self._namespace, self._deployment, self._hpa = namespace, deployment, hpa
        self._wanted = self._replicas = self._ready = 0
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def until(self, predicate: Callable[[FleetStep], bool], timeout_seconds: float) -> FleetStep:
        """Wait until the current or a later step fulfils a predicate; return the step.

        Raises:
            TimeoutError: No step did in time; the message has the steps.
            OpsError: The watch failed.
        """
        with self._changed:
            seen = max(0, len(self.steps) - 1)
            deadline = time.monotonic() + timeout_seconds
            while True:
                for step in self.steps[seen:]:
                    if predicate(step):
                        return step
                seen = len(self.steps)
                if self._failure:
                    raise OpsError(
                        f"the watch of the fleet failed: {self._failure}"
                    ) from self._failure
                if not self._changed.wait_for(
                    lambda seen=seen: len(self.steps) > seen or self._failure,
                    deadline - time.monotonic(),
                ):
                    raise TimeoutError(f"not within {timeout_seconds:g} s; seen: {self.steps}")

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.until(lambda _: True, _FIRST_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The thread and its loop may have ended by themselves.
        with suppress(RuntimeError):
            if self._loop and self._task:
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def _run(self) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._watch())
        except Exception as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    async def _watch(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        # The machine's proxies do not lead to a local cluster.
        client: Any = AsyncClient(self._config, trust_env=False)
        try:
            versions = [
                await self._look(client, Deployment, self._deployment),
                await self._look(client, HorizontalPodAutoscaler, self._hpa),
            ]
            self._add()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._follow(client, Deployment, self._deployment, versions[0]))
                both.create_task(
                    self._follow(client, HorizontalPodAutoscaler, self._hpa, versions[1])
                )
        finally:
            await client.close()

    async def _look(self, client: Any, kind: Any, name: str) -> str:
        """Read the current state; return its version, at which the watch starts."""
        found = client.list(kind, namespace=self._namespace, fields={"metadata.name": name})
        async for thing in found:
            self._take(thing)
        return found.resourceVersion

    async def _follow(self, client: Any, kind: Any, name: str, version: str) -> None:
        events = client.watch(
            kind,
            namespace=self._namespace,
            fields={"metadata.name": name},
            resource_version=version,
            on_error=_again,
        )
        async for event, thing in events:
            self._take(thing, gone=event == "DELETED")
            self._add()

    def _take(self, thing: Any, *, gone: bool = False) -> None:
        status = None if gone else thing.status
        if isinstance(thing, Deployment):
            self._replicas = 0 if gone or not thing.spec else thing.spec.replicas or 0
            self._ready = (status and status.readyReplicas) or 0
        else:
            self._wanted = (status and status.desiredReplicas) or 0

    def _add(self) -> None:
        step = FleetStep(time.time(), self._wanted, self._replicas, self._ready)
        last = self.steps[-1] if self.steps else None
        if last and (last.wanted, last.replicas, last.ready) == (
            step.wanted,
            step.replicas,
            step.ready,
        ):
            return
        with self._changed:
            self.steps.append(step)
            self._changed.notify_all()


def _again(_: Exception, count: int) -> OnErrorResult:
    action = OnErrorAction.RETRY if count < _PATIENCE else OnErrorAction.RAISE
    return OnErrorResult(action, sleep=_PAUSE_SECONDS)
