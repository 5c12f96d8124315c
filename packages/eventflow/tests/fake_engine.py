"""An engine for tests of the load generator and of retries."""

import asyncio
from collections.abc import Callable

from eventflow.call import Call
from eventflow.engine import ConnectionRecord
from eventflow.outcomes import Verdict


class FakeEngine:
    """An engine that calls a function of the test for each submitted call."""

    def __init__(self, on_submit: Callable[["FakeEngine", Call], None]) -> None:
        self.room_listeners: list[Callable[[], None]] = []
        self.writable = True
        self.batch = 16
        self.records: list[ConnectionRecord] = []
        self.reissued = 0
        self.echoes: list[float] = []
        self.submitted: list[Call] = []
        self._on_submit = on_submit

    def ping(self) -> None: ...

    async def connect(self) -> None: ...

    async def close(self) -> None: ...

    def submit(self, call: Call) -> None:
        self.submitted.append(call)
        self._on_submit(self, call)

    def give_up(self, call: Call, verdict: Verdict) -> None:
        call.settle(verdict, asyncio.get_running_loop().time())
