"""A server that breaks the rules of HTTP/2 loses its connection, and the account stays right."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounted_run import account
from eventflow.channel import Channel
from eventflow.errors import EndpointError
from eventflow.http2 import frames as h2
from eventflow.outcomes import Outcome
from eventflow.target import Target
from hostile_server import (
    ANSWER,
    WIDE,
    Peer,
    begin,
    block,
    end,
    finish,
    hang,
    hostile,
    ok,
    serving,
)

HEADERS_END = h2.END_HEADERS | h2.END_STREAM
BROKEN = {
    "push promise": (h2.frame(h2.PUSH_PROMISE, 4, 1, b"\0\0\0\2"), "PUSH_PROMISE"),
    "frame too large": (h2.frame(h2.DATA, 0, 1, bytes(16_385)), "over the agreed size"),
    "headers on a stream that was never opened": (begin(99), "idle stream 99"),
    "headers on an even stream": (begin(2), "idle stream 2"),
    "headers on the connection": (begin(0), "idle stream 0"),
    "data on a stream that was never opened": (h2.frame(h2.DATA, 0, 99, b"x"), "idle stream 99"),
    "reset of a stream that was never opened": (
        h2.rst_stream(99, h2.ErrorCode.CANCEL),
        "idle stream",
    ),
    "window of a stream that was never opened": (h2.window_update(99, 1), "idle stream 99"),
    "padding longer than the frame": (h2.frame(h2.DATA, h2.PADDED, 1, b"\5abc"), "padding"),
    "padding without a length": (h2.frame(h2.DATA, h2.PADDED, 1), "pad length"),
    "window update of 0": (h2.window_update(0, 0), "WINDOW_UPDATE of 0"),
    "window too large": (h2.window_update(0, 2**31 - 1), "over 2^31-1"),
    "window update of 3 bytes": (h2.frame(h2.WINDOW_UPDATE, 0, 0, b"abc"), "invalid length"),
    "settings of 5 bytes": (h2.frame(h2.SETTINGS, 0, 0, b"abcde"), "invalid length"),
    "a frame size below the minimum": (h2.settings({h2.MAX_FRAME_SIZE: 100}), "frame size of 100"),
    "an initial window too large": (h2.settings({h2.INITIAL_WINDOW_SIZE: 2**31}), "2^31-1"),
    "ping of 7 bytes": (h2.frame(h2.PING, 0, 0, b"1234567"), "8 bytes"),
    "goaway of 4 bytes": (h2.frame(h2.GOAWAY, 0, 0, b"1234"), "invalid length"),
    "continuation without headers": (
        h2.frame(h2.CONTINUATION, 4, 1, b""),
        "without HEADERS",
    ),
    "a header block with another frame in it": (
        h2.frame(h2.HEADERS, 0, 1, block(0)) + h2.frame(h2.PING, 0, 0, bytes(8)),
        "middle of a header block",
    ),
    "a header block with headers in it": (
        h2.frame(h2.HEADERS, 0, 1, block(0)) + end(1, 0),
        "middle of a header block",
    ),
    "a continuation of another stream": (
        h2.frame(h2.HEADERS, 0, 1, block(0)) + h2.frame(h2.CONTINUATION, 4, 3, b""),
        "do not fit",
    ),
    "a header block without end": (
        h2.frame(h2.HEADERS, 0, 1)
        + b"".join(h2.frame(h2.CONTINUATION, 0, 1, bytes(16_000)) for _ in range(5)),
        "do not fit",
    ),
    "a header block that is not hpack": (h2.frame(h2.HEADERS, 5, 1, b"\xff"), "decoded"),
    "an index into a forbidden table": (h2.frame(h2.HEADERS, 5, 1, b"\xbe"), "decoded"),
    "a forbidden table": (h2.frame(h2.HEADERS, 5, 1, b"\x3f\xe1\x1f" + block(0)), "decoded"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_protocol_violation_ends_only_the_connection_and_its_calls(name: str) -> None:
    data, why = BROKEN[name]

    async def behave(peer: Peer) -> None:
        await peer.greet()
        async for stream in peer.requests():
            if peer.number == 0 and stream == 5:
                peer.send(data)
            elif peer.number == 1:
                peer.reply(stream, ok(stream))

    async def main():
        async with hostile(behave) as server:
            from accounted_run import run

            first = await run(server, 3)
            return first, await run(server, 2)

    broken, good = asyncio.run(main())

    assert broken.counts == {Outcome.CONNECTION_LOST: 3}
    [record] = broken.channel.records
    assert record.killed
    assert why in record.why
    assert good.counts == {Outcome.OK: 2}
    goaways = [f for f in broken.server.peers[0].frames_seen if f.kind == h2.GOAWAY]
    assert all(int.from_bytes(f.payload[4:8], "big") != 0 for f in goaways)


def wire(stream: int) -> bytes:
    """A good response in the most unusual frames that are allowed."""
    block = begin(stream)[h2.FRAME_HEADER_BYTES :]
    padded = b"\4" + bytes(5) + block[:7] + bytes(4)
    headers = (
        h2.frame(h2.HEADERS, h2.PADDED | h2.PRIORITY_FLAG, stream, padded)
        + h2.frame(h2.CONTINUATION, 0, stream)
        + h2.frame(h2.CONTINUATION, h2.END_HEADERS, stream, block[7:])
    )
    data = (
        h2.frame(h2.DATA, h2.PADDED, stream, b"\3" + ANSWER[:2] + bytes(3))
        + h2.frame(h2.DATA, 0, stream)
        + h2.frame(h2.DATA, h2.PADDED, stream, b"\0" + ANSWER[2:])
    )
    unknown = h2.frame(0xBE, 0xFF, stream, b"whatever") + h2.frame(h2.PRIORITY, 0, stream, bytes(5))
    return unknown + headers + data + unknown + finish(stream)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(1, 60))
def test_padded_split_and_unknown_frames_are_read_wherever_they_are_cut(cut: int) -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        async for stream in peer.requests():
            data = wire(stream)
            for start in range(0, len(data), cut):
                peer.send(data[start : start + cut])
                await peer.writer.drain()

    result = account(behave, 4)

    assert result.counts == {Outcome.OK: 4}
    assert {call.reply for call in result.calls} == {ANSWER[5:]}


def test_a_table_size_update_to_zero_is_allowed() -> None:
    def answer(peer: Peer, stream: int) -> None:
        peer.reply(stream, h2.frame(h2.HEADERS, 5, stream, b"\x20" + block(14)))

    assert account(serving(answer), 2).counts == {Outcome.REFUSED: 2}


def test_pings_are_answered_and_end_no_call() -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        async for stream in peer.requests():
            for number in range(5):
                peer.send(h2.frame(h2.PING, 0, 0, bytes([number] * 8)))
            peer.send(h2.frame(h2.PING, h2.ACK, 0, b"\x7f\xf0\0\0\0\0\0\0"))
            peer.reply(stream, ok(stream))

    result = account(behave, 10)

    assert result.counts == {Outcome.OK: 10}
    assert result.channel.echoes == []
    acks = [f for f in result.server.peers[0].frames_seen if (f.kind, f.flags) == (h2.PING, 1)]
    assert len(acks) >= 45  # those of the last call may cross the client's GOAWAY
    assert {f.payload for f in acks} == {bytes([number] * 8) for number in range(5)}


def test_a_half_sent_stream_that_the_server_resets_or_disowns_is_not_reset() -> None:
    async def behave(peer: Peer) -> None:
        if peer.number > 0:
            await serving(lambda peer, s: peer.reply(s, ok(s)))(peer)
            return
        await peer.greet(WIDE | {h2.INITIAL_WINDOW_SIZE: 10})
        while len(peer.open_now) < 2:
            await peer.frame()
        reset = h2.rst_stream(1, h2.ErrorCode.INTERNAL_ERROR)
        peer.send(reset + h2.goaway(1, h2.ErrorCode.NO_ERROR))
        await peer.heard()

    result = account(behave, 2)

    assert result.details == {(Outcome.OTHER, "INTERNAL"): 1, (Outcome.OK, ""): 1}
    assert result.server.peers[0].resets() == set()


@settings(max_examples=80, deadline=None)
@given(junk=st.binary(min_size=1, max_size=200), whole_frame=st.booleans(), where=st.integers(1, 6))
def test_every_call_is_accounted_for_whatever_bytes_a_server_sends(
    junk: bytes, whole_frame: bool, where: int
) -> None:
    async def behave(peer: Peer) -> None:
        await peer.greet()
        count = 0
        async for stream in peer.requests():
            count += 1
            if count == where:
                peer.send(h2.frame(junk[0] % 10, junk[-1], stream, junk) if whole_frame else junk)
            peer.reply(stream, ok(stream))

    account(behave, 6, deadline=0.3)  # this checks the sum


async def _connect(port: int, **target: object) -> None:
    channel = Channel(Target(host="127.0.0.1", port=port, **target))  # type: ignore[arg-type]
    await channel.connect()
    await channel.close()


def refused_endpoint(behave, **target: object) -> str:
    """Connect to a server that fails, and return the message of the error."""

    async def main() -> str:
        async with hostile(behave) as server:
            with pytest.raises(EndpointError) as caught:
                await _connect(server.port, **target)
            return str(caught.value).replace(str(server.port), "PORT")

    return asyncio.run(main())


def sending(data: bytes, *, then_close: bool):
    async def behave(peer: Peer) -> None:
        peer.send(data)
        await peer.writer.drain()
        if then_close:
            peer.writer.close()

    return behave


def test_the_wait_for_an_endpoint_without_settings_ends() -> None:
    message = refused_endpoint(sending(b"", then_close=False), connect_seconds=0.2)
    assert message == "127.0.0.1:PORT: not ready for calls within 0.2 s"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it speaks HTTP/1, not gRPC; Triton's gRPC port"),
        (b"\x15\x03\x01\0\2\2\x46", "it speaks TLS; use --tls"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not speak HTTP/2: protocol error"),
        (h2.frame(h2.PING, 0, 0, bytes(8)), "its first frame was not SETTINGS"),
        (b"", "it ended the connection before speaking HTTP/2: "),
    ],
)
def test_the_error_names_the_protocol_of_an_endpoint_that_is_not_grpc(
    data: bytes, message: str
) -> None:
    assert message in refused_endpoint(sending(data, then_close=True))


def test_an_endpoint_that_sends_goaway_at_once_is_reported() -> None:
    goaway = h2.goaway(0, h2.ErrorCode.ENHANCE_YOUR_CALM)
    message = refused_endpoint(sending(h2.settings({}) + goaway, then_close=True))
    assert "it ended the connection at once: GOAWAY ENHANCE_YOUR_CALM" in message


def test_an_endpoint_without_a_listener_is_reported() -> None:
    async def main() -> None:
        async with hostile(serving(hang)) as server:
            port = server.port
        with pytest.raises(EndpointError, match=rf"127\.0\.0\.1:{port}: .*refused"):
            await _connect(port)

    asyncio.run(main())


def test_a_host_without_an_address_is_reported() -> None:
    async def main() -> None:
        with pytest.raises(EndpointError, match=r"nowhere\.invalid:1: "):
            await Channel(Target(host="nowhere.invalid", port=1)).connect()

    asyncio.run(main())
