"""The client obeys the server's limits (streams, windows, frame size) and its own on responses."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounted_run import MESSAGE, account
from eventflow.http2 import frames as h2
from eventflow.load import MaxThroughput
from eventflow.outcomes import Outcome
from hostile_server import WIDE, Peer, begin, breaker, end, finish, hang, ok, serving

LARGE = b"\0" + (100_000).to_bytes(4, "big") + bytes(100_000)


@pytest.mark.parametrize("limit", [1, 7])
def test_no_more_streams_are_open_than_the_server_allows(limit: int) -> None:
    allowed = WIDE | {h2.MAX_CONCURRENT_STREAMS: limit}

    def answer_when_full(peer: Peer, _: int) -> None:
        if len(peer.open_now) == limit:
            for stream in list(peer.open_now):
                peer.reply(stream, ok(stream))

    result = account(serving(answer_when_full, allowed), 98)

    assert result.counts == {Outcome.OK: 98}
    assert result.server.peers[0].most_open == limit


def test_calls_beyond_the_stream_limit_spend_their_deadline_in_the_clients_queue() -> None:
    allowed = WIDE | {h2.MAX_CONCURRENT_STREAMS: 5}

    result = account(serving(hang, allowed), 12, deadline=0.2)

    # The deadline frees five streams, but the waiting calls have reached theirs, too.
    assert result.details == {
        (Outcome.DEADLINE, "by the client"): 5,
        (Outcome.DEADLINE, "by the client, before it was sent"): 7,
    }
    assert [call.attempts for call in result.calls] == [1] * 5 + [0] * 7


def test_a_changed_stream_limit_applies_from_then_on() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.MAX_CONCURRENT_STREAMS: 0})
        await peer.heard()
        assert peer.most_open == 0
        peer.send(h2.settings({h2.MAX_CONCURRENT_STREAMS: 3}))
        answered = 0
        async for stream in peer.requests():
            peer.reply(stream, ok(stream))
            answered += 1
            if answered == 20:
                peer.send(h2.settings({h2.MAX_CONCURRENT_STREAMS: 1}))
                peer.most_open = 0
                await peer.heard()
                peer.most_open = 0

    result = account(behave, 60)

    assert result.counts == {Outcome.OK: 60}
    assert result.server.peers[0].most_open <= 3


class Meter:
    """Tracks the client's windows, and fails if the client exceeds one."""

    def __init__(self, peer: Peer, stream_window: int, window: int, frame_size: int) -> None:
        self.peer, self.frame_size = peer, frame_size
        self.window, self.stream_window = window, stream_window
        self.credit: dict[int, int] = {}
        self.bodies: dict[int, bytes] = {}

    def grant(self, stream: int, amount: int) -> None:
        if stream:
            self.credit[stream] += amount
        else:
            self.window += amount
        self.peer.send(h2.window_update(stream, amount))

    def resize(self, stream_window: int) -> None:
        for stream in self.credit:
            self.credit[stream] += stream_window - self.stream_window
        self.stream_window = stream_window
        self.peer.send(h2.settings({h2.INITIAL_WINDOW_SIZE: stream_window}))

    def take(self, frame) -> None:
        if frame.kind == h2.HEADERS:
            self.credit[frame.stream_id] = self.stream_window
            self.bodies[frame.stream_id] = b""
        if frame.kind == h2.DATA:
            size = len(frame.payload)
            assert size <= self.frame_size
            self.credit[frame.stream_id] -= size
            self.window -= size
            assert self.window >= 0
            assert self.credit[frame.stream_id] >= 0
            self.bodies[frame.stream_id] += frame.payload


@settings(max_examples=25, deadline=None)
@given(
    stream_window=st.integers(0, 300),
    window=st.integers(0, 2000),
    grant=st.integers(1, 700),
    message=st.sampled_from([MESSAGE, LARGE[:5] + LARGE[5:]]),
)
def test_windows_of_any_size_are_respected_and_every_request_arrives_whole(
    stream_window: int, window: int, grant: int, message: bytes
) -> None:
    async def behave(peer: Peer) -> None:
        grant_now = grant if message is MESSAGE else grant * 100
        await peer.greet(WIDE | {h2.INITIAL_WINDOW_SIZE: stream_window}, window)
        meter = Meter(peer, stream_window, 65_535 + window, h2.DEFAULT_FRAME_BYTES)
        open_streams: set[int] = set()
        while True:
            frame = await peer.frame()
            meter.take(frame)
            stream = frame.stream_id
            if frame.kind == h2.HEADERS:
                open_streams.add(stream)
            if frame.kind == h2.DATA and frame.flags & h2.END_STREAM:
                assert meter.bodies[stream] == message
                open_streams.discard(stream)
                peer.reply(stream, ok(stream))
            for waiting in open_streams:
                if meter.credit[waiting] <= 0:
                    meter.grant(waiting, grant_now)
            if meter.window < 2 * h2.DEFAULT_FRAME_BYTES:
                meter.grant(0, grant_now)

    result = account(behave, 12, message=message, deadline=20.0)

    assert result.counts == {Outcome.OK: 12}


def test_the_connection_window_limits_calls_regardless_of_stream_windows() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(window=0)
        meter = Meter(peer, 2**31 - 1, 65_535, h2.DEFAULT_FRAME_BYTES)
        while True:
            frame = await peer.frame()
            meter.take(frame)
            if frame.kind == h2.DATA and frame.flags & h2.END_STREAM:
                assert meter.bodies[frame.stream_id] == MESSAGE
                peer.reply(frame.stream_id, ok(frame.stream_id))
            if meter.window == 0:
                # No further call begins without room in the window.
                assert len(meter.bodies) - 1 <= sum(map(len, meter.bodies.values())) / len(MESSAGE)
                meter.grant(0, 1_000)

    result = account(behave, 2000, deadline=30.0)

    assert result.counts == {Outcome.OK: 2000}


def test_a_window_enlarged_by_settings_lets_requests_continue() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.INITIAL_WINDOW_SIZE: 10})
        await peer.heard()
        peer.send(h2.settings({h2.INITIAL_WINDOW_SIZE: 2**20}))
        async for stream in peer.requests():
            peer.reply(stream, ok(stream))

    assert account(behave, 5, message=LARGE).counts == {Outcome.OK: 5}


def test_a_window_shrunk_below_the_bytes_sent_pauses_the_request() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.INITIAL_WINDOW_SIZE: 50_000}, 10**6)
        meter = Meter(peer, 50_000, 10**6 + 65_535, h2.DEFAULT_FRAME_BYTES)
        while meter.credit.get(1) != 0:
            meter.take(await peer.frame())
        meter.resize(10)  # a credit of 10 - 50,000
        meter.grant(1, 49_991)
        while meter.credit[1] != 0:
            meter.take(await peer.frame())
        assert len(meter.bodies[1]) == 50_001
        meter.grant(1, 60_000)
        async for stream in peer.requests():
            peer.reply(stream, ok(stream))

    assert account(behave, 1, message=LARGE).counts == {Outcome.OK: 1}


def test_a_larger_frame_size_is_used_only_when_the_server_allows_it() -> None:
    sizes: Counter[bool] = Counter()

    def behaviour(allowed: dict[int, int]):
        async def behave(peer: Peer) -> None:
            await peer.greet(WIDE | allowed)
            async for stream in peer.requests():
                largest = max(len(f.payload) for f in peer.frames_seen if f.kind == h2.DATA)
                sizes[largest > h2.DEFAULT_FRAME_BYTES] += 1
                peer.reply(stream, ok(stream))

        return behave

    account(behaviour({}), 1, message=LARGE)
    assert sizes == {False: 1}
    account(behaviour({h2.MAX_FRAME_SIZE: 2**20}), 1, message=LARGE)
    assert sizes == {False: 1, True: 1}


def test_a_refusal_before_the_request_is_fully_sent_ends_the_call_and_its_stream() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet(WIDE | {h2.INITIAL_WINDOW_SIZE: 10})
        while True:
            frame = await peer.frame()
            if frame.kind == h2.HEADERS:
                peer.send(breaker(frame.stream_id))

    result = account(behave, 20)

    assert result.counts == {Outcome.BREAKER: 20}
    # A stream stays open until both sides end it, so the client ends its side with a reset.
    assert len(result.server.peers[0].resets()) == 20
    assert all(call.sent_at != call.sent_at for call in result.calls)


def test_a_response_over_the_limit_ends_only_its_call() -> None:
    def answer(peer: Peer, stream: int) -> None:
        piece = bytes(h2.DEFAULT_FRAME_BYTES)
        if stream == 3:
            peer.send(begin(stream))
            for _ in range(20):
                peer.send(h2.frame(h2.DATA, 0, stream, piece))
        else:
            peer.reply(stream, ok(stream))

    result = account(serving(answer), 5, max_response_bytes=100_000)

    assert result.details == {
        (Outcome.OK, ""): 4,
        (Outcome.OTHER, "RESOURCE_EXHAUSTED"): 1,
    }
    assert result.server.peers[0].resets() == {3}


def test_many_large_responses_do_not_exhaust_the_clients_window() -> None:
    size = 3 * 1024 * 1024
    body = b"\0" + size.to_bytes(4, "big") + bytes(size)

    async def behave(peer: Peer) -> None:
        await peer.greet()
        async for stream in peer.requests():
            peer.send(begin(stream))
            for start in range(0, len(body), h2.DEFAULT_FRAME_BYTES):
                piece = body[start : start + h2.DEFAULT_FRAME_BYTES]
                peer.send(h2.frame(h2.DATA, 0, stream, piece))
            peer.reply(stream, finish(stream))
            await peer.writer.drain()

    result = account(behave, 20)

    assert result.counts == {Outcome.OK: 20}
    assert {len(call.reply) for call in result.calls} == {size}
    granted = sum(
        int.from_bytes(frame.payload, "big")
        for frame in result.server.peers[0].frames_seen
        if frame.kind == h2.WINDOW_UPDATE
    )
    to_begin_with = 2**31 - 1 - h2.DEFAULT_WINDOW_BYTES
    assert granted - to_begin_with > 20 * len(body) - 1024 * 1024


def test_a_run_ends_even_if_the_server_never_reads() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        peer.writer.transport.pause_reading()
        await asyncio.Event().wait()

    result = account(behave, 300, message=LARGE, deadline=0.2)

    assert set(result.details) == {
        (Outcome.DEADLINE, "by the client"),
        (Outcome.DEADLINE, "by the client, before it was sent"),
    }


def test_the_clock_of_calls_stands_still_while_the_server_does_not_read() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        peer.writer.transport.pause_reading()
        asyncio.get_running_loop().call_later(0.5, peer.writer.transport.resume_reading)
        async for stream in peer.requests():
            peer.reply(stream, end(stream, 14))

    result = account(behave, 300, message=LARGE, load=MaxThroughput(), deadline=10.0)

    # 30 MB do not fit into the kernel's buffers. While the socket is full, the generator makes no
    # calls, so that no clock runs.
    assert result.counts == {Outcome.REFUSED: 300}
    assert max(result.ledger.made_at) - min(result.ledger.made_at) > 0.3
