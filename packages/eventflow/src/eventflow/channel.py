"""The fast engine: one HTTP/2 connection at a time, replaced when the peer ends it."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable

from eventflow.call import Call
from eventflow.deadlines import Deadlines
from eventflow.engine import ConnectionRecord
from eventflow.errors import EndpointError
from eventflow.http2.dial import dial
from eventflow.http2.headers import HeadCache
from eventflow.http2.link import Link
from eventflow.outcomes import Outcome, Verdict, connection_lost, own_deadline
from eventflow.target import Target

FLUSH_CALLS = 128
"""Calls handed to the kernel in one write; the client reads responses in between."""

_BACKOFF_SECONDS = (0.05, 1.0)
"""First and longest wait between two connection attempts, before jitter."""

_GOODBYE_SECONDS = 0.2
"""Time that a closing connection may take to write its remaining bytes."""


class Channel:
    """An engine with one connection at a time; it settles every submitted call exactly once.

    While a connection drains (GOAWAY), its calls end on it and further calls use a new connection.
    If the peer reports that it did not process a call, the channel sends that call once more, as
    gRPC's transparent retry does. Without a connection, calls wait for one until their deadline.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self.batch = FLUSH_CALLS
        """See `Engine`."""
        self.room_listeners: list[Callable[[], None]] = []
        """Callbacks that run when the kernel has taken all bytes, or a connection is ready."""
        self._ssl = target.tls.context() if target.tls else None
        self._heads = HeadCache()
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Call] = deque()
        self._deadlines = Deadlines(self._expire, self._after_expiry)
        self._link: Link | None = None
        self._links: dict[Link, ConnectionRecord] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._flushing = False
        self._closing = False
        self.records: list[ConnectionRecord] = []
        """Records of all connections, in the order in which they were opened."""
        self.echoes: list[float] = []
        """Round-trip times of PINGs, seconds."""
        self.reissued = 0
        """Number of calls sent again because the peer had not processed them."""

    @property
    def writable(self) -> bool:
        """True if no written bytes wait for the kernel."""
        return self._link is None or not self._link.paused

    async def connect(self) -> None:
        """Open the connection.

        Raises:
            EndpointError: The endpoint cannot be reached, or does not speak HTTP/2.
        """
        self._link = await self._open()

    def submit(self, call: Call) -> None:
        """Queue a call; the next flush sends it together with others."""
        self._deadlines.add(call)
        self._queue.append(call)
        self._flush_soon()

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """End a call with a verdict of the caller's."""
        if call.verdict is None:
            self._abandon(call)
            call.settle(verdict, time.monotonic())

    async def close(self) -> None:
        """Close the channel; settle the calls in flight as cancelled."""
        self._closing = True
        now = time.monotonic()
        for call in self._deadlines:
            call.settle(Verdict(Outcome.CANCELLED, "by the client"), now)
        self._deadlines.clear()
        self._queue.clear()
        if self._connecting is not None:
            self._connecting.cancel()
        links = list(self._links)
        for link in links:
            link.close("closed by the client")
        if links:
            await asyncio.wait([link.gone for link in links], timeout=_GOODBYE_SECONDS)
        for link in links:
            link.abort("closed by the client")

    def ping(self) -> None:
        """Send a PING on the current connection; `echoes` gets its round-trip time."""
        if self._link is not None:
            self._link.ping()

    def flush(self) -> None:
        """Send queued calls, as far as the connection's limits and the kernel allow."""
        self._flushing = False
        if not self._calls_wait():
            return
        link, queue = self._link, self._queue
        if link is None or link.leaving or link.connection.exhausted:
            self._reconnect()
            return
        connection, block = link.connection, self._target.block
        while queue and not link.paused and connection.has_room:
            now = time.monotonic()
            for _ in range(FLUSH_CALLS):
                if not queue or not connection.has_room:
                    break
                call = queue.popleft()
                if call.verdict is None:
                    left = call.deadline_at - now
                    connection.open(call, block(math.ceil(left * 1000)))
            link.write()
        if queue and connection.exhausted:
            self._reconnect()

    def on_readable(self, link: Link) -> None:
        """See `LinkOwner`."""
        if link is self._link:
            self.flush()
        else:
            self._close_if_drained(link)

    def on_writable(self, link: Link) -> None:
        """See `LinkOwner`."""
        if link is self._link:
            self.flush()
            self._tell_room()

    def on_verdict(self, call: Call, verdict: Verdict) -> None:
        """See `LinkOwner`."""
        call.settle(verdict, time.monotonic())

    def on_unprocessed(self, call: Call, verdict: Verdict) -> None:
        """See `LinkOwner`."""
        if call.attempts > 1:
            call.settle(verdict, time.monotonic())
            return
        self.reissued += 1
        call.rewind()
        self._queue.appendleft(call)
        self._flush_soon()

    def on_echo(self, seconds: float) -> None:
        """See `LinkOwner`."""
        self.echoes.append(seconds)

    def on_leaving(self, link: Link, why: str) -> None:
        """See `LinkOwner`."""
        if link in self._links:
            self._links[link].why = why
        if link is self._link:
            self._link = None
            self._flush_soon()

    def on_closed(self, link: Link, why: str) -> None:
        """See `LinkOwner`."""
        record = self._links.pop(link, None)
        if record is None:  # the link never became ready
            return
        lost = list(link.connection.streams.values())
        link.connection.streams.clear()
        now = record.ended_at = time.monotonic()
        record.why = record.why or why
        record.calls_lost = len(lost)
        goaway = link.connection.goaway
        in_peace = self._closing or (goaway is not None and goaway[1] == 0) or why == "drained"
        record.killed = bool(lost) or not in_peace
        if link is self._link:
            self._link = None
        for call in lost:
            call.settle(connection_lost(record.why), now)
        self._flush_soon()

    def _calls_wait(self) -> bool:
        """Drop queued calls that have ended; return True if any are left."""
        while self._queue and self._queue[0].verdict is not None:
            self._queue.popleft()
        return bool(self._queue)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def _tell_room(self) -> None:
        if self.writable:
            for listener in self.room_listeners:
                listener()

    def _reconnect(self) -> None:
        if self._queue and self._connecting is None and not self._closing:
            if self._link is not None and not self._link.leaving:
                self._links[self._link].why = "out of stream ids"
                self._link.leaving = True
            self._link = None
            self._connecting = self._loop.create_task(self._keep_connecting())

    async def _keep_connecting(self) -> None:
        wait, longest = _BACKOFF_SECONDS
        while self._calls_wait():
            try:
                self._link = await self._open()
                break
            except EndpointError:
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(longest, wait * 2)
        self._connecting = None
        if self._link is not None:
            self.flush()
            self._tell_room()

    async def _open(self) -> Link:
        link = await dial(self._target, self._ssl, self, self._heads)
        record = ConnectionRecord(opened_at=time.monotonic())
        self.records.append(record)
        self._links[link] = record
        return link

    def _after_expiry(self) -> None:
        for link in self._links:
            link.write()
            self._close_if_drained(link)
        self.flush()  # streams were freed

    def _close_if_drained(self, link: Link) -> None:
        if link.leaving and not link.connection.streams:
            link.close("drained")

    def _abandon(self, call: Call) -> None:
        for link in self._links:
            if link.connection.streams.get(call.stream_id) is call:
                link.connection.reset(call)
                link.write()
                return

    def _expire(self, call: Call, now: float) -> None:
        for link in self._links:
            if link.connection.streams.get(call.stream_id) is call:
                link.connection.reset(call)
                call.settle(own_deadline(sent=True), now)
                return
        if self._link is None:
            call.settle(connection_lost("no connection", unprocessed=True), now)
        else:
            call.settle(own_deadline(sent=False), now)
