"""The engine on grpc.aio: the same account, at the rate of a gRPC channel in Python."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import grpc
import grpc.aio

from eventflow.call import Call
from eventflow.engine import ConnectionRecord
from eventflow.errors import EndpointError
from eventflow.kserve import grpc_message
from eventflow.outcomes import (
    DEADLINE_EXCEEDED_STATUS,
    UNAVAILABLE_STATUS,
    Outcome,
    Verdict,
    classify,
    connection_lost,
    own_deadline,
)
from eventflow.target import Target

_WATCH_ENDS_SECONDS = 1.0
"""Time that the state watch of a closed channel may take to end."""

_NO_CONNECTION_WORDS = ("failed to connect", "connection refused")
_TRANSPORT_WORDS = (
    *_NO_CONNECTION_WORDS,
    "goaway",
    "socket closed",
    "connection reset",
    "broken pipe",
    "transport closed",
    "too_many_pings",
)
"""Words that tell a failure of gRPC core's transport from a server's UNAVAILABLE."""


class GrpcioEngine:
    """An engine on one grpc.aio channel, with one connection.

    grpc.aio reports neither the time at which a request was written nor whose clock ended a call.
    `sent_at` is the time at which the call was handed over.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[Call, asyncio.Task[None]] = {}
        self._not_begun: set[Call] = set()
        self._watch: asyncio.Task[None] | None = None
        self._channel = self._make_channel()
        self._infer: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            target.method
        )
        # A larger batch starves grpc.aio's own events: 30,000 of 50,000 calls had no end in time.
        self.batch = 1
        """See `Engine`."""
        self.room_listeners: list[Callable[[], None]] = []
        """See `Engine`."""
        self.records: list[ConnectionRecord] = []
        """See `Engine`; a change of the channel's state shows the end of a connection.

        The channel becomes idle after a drained and after a cut connection alike. A connection that
        was cut with no call in flight therefore does not count as killed.
        """
        self.reissued = 0
        """See `Engine`; always 0, because grpc.aio does not report it."""
        self.echoes: list[float] = []
        """See `Engine`; always empty, because grpc.aio cannot ping."""

    @property
    def writable(self) -> bool:
        """See `Engine`; the engine has accepted a call once its task has begun."""
        return not self._not_begun

    def ping(self) -> None:
        """See `Engine`; grpc.aio cannot ping, so this does nothing."""

    async def connect(self) -> None:
        """See `Engine`."""
        seconds = self._target.connect_seconds
        try:
            await asyncio.wait_for(self._channel.channel_ready(), seconds)
        except TimeoutError:
            await self._channel.close()
            raise EndpointError(
                f"{self._target.authority}: not ready for calls within {seconds:g} s"
            ) from None
        self._watch = self._loop.create_task(self._watch_state())

    def submit(self, call: Call) -> None:
        """See `Engine`."""
        self._not_begun.add(call)
        self._tasks[call] = self._loop.create_task(self._run(call))

    def give_up(self, call: Call, verdict: Verdict) -> None:
        """See `Engine`."""
        call.settle(verdict, time.monotonic())
        task = self._tasks.pop(call, None)
        if task is not None:
            task.cancel()
            self._begin(call)  # a task cancelled before its first step never runs

    async def close(self) -> None:
        """See `Engine`."""
        tasks = self._tasks.copy()
        for call in tasks:
            self.give_up(call, Verdict(Outcome.CANCELLED, "by the client"))
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await self._channel.close()
        if self._watch is not None:
            # The closed channel ends the watch. If the watch ended after the event loop, its event
            # would fail in grpc.aio and hold up the events of the next loop.
            await asyncio.wait([self._watch], timeout=_WATCH_ENDS_SECONDS)
            self._watch.cancel()

    def _make_channel(self) -> grpc.aio.Channel:
        target, tls = self._target, self._target.tls
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", target.max_response_bytes),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
        ]
        if tls is None:
            return grpc.aio.insecure_channel(target.authority, options)
        if tls.server_name:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        ca, key, chain = (
            path.read_bytes() if path else None for path in (tls.ca, tls.key, tls.certificate)
        )
        credentials = grpc.ssl_channel_credentials(ca, key, chain)
        return grpc.aio.secure_channel(target.authority, credentials, options)

    def _begin(self, call: Call) -> None:
        if call in self._not_begun:
            self._not_begun.remove(call)
            if self.writable:
                for listener in self.room_listeners:
                    listener()

    async def _run(self, call: Call) -> None:
        self._begin(call)
        left = call.deadline_at - time.monotonic()
        if left <= 0:
            self._end(call, own_deadline(sent=False))
            return
        request, connection = call.message[5:], self._connection()
        rpc = self._infer(request, timeout=left, metadata=self._target.metadata or None)
        call.attempts += 1
        call.sent_at = time.monotonic()
        try:
            call.body = grpc_message(await rpc)
            self._end(call, classify(0, "", {}))
        except grpc.aio.AioRpcError as error:
            verdict = _judge(error, time.monotonic() >= call.deadline_at)
            if verdict.outcome is Outcome.CONNECTION_LOST:
                self._count_lost(verdict.detail, connection)
            self._end(call, verdict)
        except asyncio.CancelledError:
            rpc.cancel()
            self._end(call, Verdict(Outcome.CANCELLED, "by the client"))
            raise

    def _end(self, call: Call, verdict: Verdict) -> None:
        self._tasks.pop(call, None)
        call.settle(verdict, time.monotonic())

    def _connection(self) -> ConnectionRecord | None:
        """Return the current connection; None between two connections."""
        if not self.records or self.records[-1].ended_at is not None:
            return None
        return self.records[-1]

    def _count_lost(self, why: str, connection: ConnectionRecord | None) -> None:
        """Attribute the loss of a call to the connection to which it was handed.

        grpc.aio may report a loss when the next connection is already ready. If there was no
        connection at the handover, the call went to the newest one.
        """
        if connection is None and self.records:
            connection = self.records[-1]
        if connection is not None and why not in _NO_CONNECTION_WORDS:
            connection.calls_lost += 1
            connection.killed = True

    async def _watch_state(self) -> None:
        ready = grpc.ChannelConnectivity.READY
        with contextlib.suppress(grpc.aio.UsageError):
            while True:
                state = self._channel.get_state(try_to_connect=True)
                if state is ready:
                    record = ConnectionRecord(opened_at=time.monotonic())
                    self.records.append(record)
                await self._channel.wait_for_state_change(state)
                if state is ready:
                    now_state = self._channel.get_state()
                    record = self.records[-1]
                    record.ended_at = time.monotonic()
                    record.why = f"the channel became {now_state.name}"
                    record.killed |= now_state is grpc.ChannelConnectivity.TRANSIENT_FAILURE


def _judge(error: grpc.aio.AioRpcError, late: bool) -> Verdict:
    status, message = error.code().value[0], error.details() or ""
    metadata: dict[str, str] = {}
    for part in (error.initial_metadata(), error.trailing_metadata()):
        for key, value in part or ():
            metadata[key] = value if isinstance(value, str) else value.decode("latin-1")
    if status == DEADLINE_EXCEEDED_STATUS and late:
        return own_deadline(sent=True)
    if status == UNAVAILABLE_STATUS and not metadata:
        words = message.lower()
        kind = next((word for word in _TRANSPORT_WORDS if word in words), None)
        if kind is not None:
            return connection_lost(kind, message=message)
    return classify(status, message, metadata)
