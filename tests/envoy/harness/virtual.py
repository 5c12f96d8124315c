"""Time that the test moves, and only while all calls rest: queues without a machine's noise."""

import asyncio
import http.client
import itertools
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from tests.envoy.harness.backend import INFER
from tests.envoy.harness.bed import Bed
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.gateway import LOOPBACK, Gateway

TICKS = 4
"""Ticks of a service time."""

_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.001


class Caller:
    """Calls on one connection to each gateway in turn, and the ticks of each answered one."""

    def __init__(
        self,
        clock: "VirtualTime",
        metadata: tuple[tuple[str, str], ...],
        gateways: Sequence[Gateway],
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._metadata = metadata
        self._infer = itertools.cycle(
            GrpcClient(gateway.port).channel.unary_unary(INFER) for gateway in gateways
        )
        self._ticks: list[int] = []
        self._since: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._issued = 0

    def call(self) -> None:
        """Issue a call."""
        self._issued += 1
        issued = self._clock.now
        call = next(self._infer).future(b"tensor", metadata=self._metadata)
        call.add_done_callback(lambda done: self._end(done, issued))

    def _end(self, call: Any, issued: int) -> None:
        with self._lock:
            if call.code() is grpc.StatusCode.OK:
                self._ticks.append(self._clock.now - issued)
            self._ended[call.code().name] += 1

    def forget(self) -> None:
        """Count from now on."""
        self._ticks.clear()
        self._since = self._ended.copy()

    @property
    def codes(self) -> Counter[str]:
        """Return the number of calls that have ended, by status."""
        with self._lock:
            return self._ended - self._since

    @property
    def answered(self) -> int:
        return self.codes["OK"]

    @property
    def ever_answered(self) -> int:
        return self._ended["OK"]

    @property
    def open(self) -> int:
        """Calls that have not ended."""
        with self._lock:
            return self._issued - self._ended.total()

    @property
    def share_ok(self) -> float:
        return self.answered / self.codes.total()

    @property
    def p99(self) -> int:
        """Ticks within which 99 % of the answered calls were."""
        return sorted(self._ticks)[math.ceil(0.99 * len(self._ticks)) - 1]


class VirtualTime:
    """The replicas' clock."""

    def __init__(self, bed: Bed, parallelism: int, *others: Gateway) -> None:
        self.bed = bed
        self._gateways = (bed.gateway, *others)
        self.now = 0
        self._callers: list[Caller] = []
        self._random = random.Random(1)
        self._parallelism = parallelism
        self._due: dict[int, list[asyncio.Future[None]]] = {}
        self._finished = 0
        # Connections that stay: they are asked often.
        self._admins = [
            http.client.HTTPConnection(LOOPBACK, gateway.stack.gateway.admin_port)
            for gateway in self._gateways
        ]
        for replica in bed.fleet.replicas:
            replica.work = self._work

    async def _work(self, _: float) -> None:
        end = asyncio.get_running_loop().create_future()
        self._due.setdefault(self.now + TICKS, []).append(end)
        await end

    def caller(self, metadata: tuple[tuple[str, str], ...], *gateways: Gateway) -> Caller:
        """Open a connection for a caller to each of some gateways, or to all."""
        made = Caller(self, metadata, gateways or self._gateways)
        self._callers.append(made)
        return made

    def _waiting(self) -> int:
        """Calls that wait in the gateways."""
        name = f"cluster.{self.bed.stack.envoy_cluster}.upstream_rq_pending_active"
        for admin in self._admins:
            admin.request("GET", f"/stats?filter=^{name}$")
        answers = [admin.getresponse().read().decode() for admin in self._admins]
        return sum(int(answer.split(": ")[1]) for answer in answers)

    def _rests(self) -> bool:
        """Return True if each open call waits, or is worked on, or queues in a replica."""
        replicas = self.bed.fleet.replicas
        working = sum(min(self._parallelism, replica.active) for replica in replicas)
        if working != sum(map(len, self._due.values())):
            return False
        if sum(caller.ever_answered for caller in self._callers) != self._finished:
            return False
        outside = sum(caller.open for caller in self._callers) - self.bed.fleet.active
        return outside >= 0 and outside == self._waiting()

    def _rest(self) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        # Twice: the gateway may be between an answer and the next call.
        while not (self._rests() and self._rests()):
            assert time.monotonic() < end, "the calls do not come to rest"
            time.sleep(_LOOK_SECONDS)

    def run(self, ticks: int, rates: Mapping[Caller, float]) -> None:
        """Let callers call at constant rates, in calls a tick, in a random order within one."""
        for _ in range(ticks):
            calls: list[Caller] = []
            for caller, rate in rates.items():
                first, last = (math.floor((self.now + add) * rate) for add in (0, 1))
                calls += [caller] * (last - first)
            self._random.shuffle(calls)
            for caller in calls:
                caller.call()
            self._rest()
            self.now += 1
            self.bed.fleet.run(self._finish())
            self._rest()

    async def _finish(self) -> None:
        for end in self._due.pop(self.now, []):
            self._finished += 1
            end.set_result(None)
