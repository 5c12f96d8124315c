"""Connections that end during their calls."""

import asyncio
import time

import pytest

from accounted_run import MESSAGE, Account, account, run
from eventflow.call import Call
from eventflow.channel import Channel
from eventflow.http2 import frames as h2
from eventflow.load import ClosedLoop, OpenLoop
from eventflow.outcomes import Outcome, Verdict
from eventflow.target import Target
from hostile_server import Peer, breaker, gather, hang, hostile, ok, serving

GRACEFUL = h2.goaway(h2.MAX_STREAM_ID, h2.ErrorCode.NO_ERROR)


def first_connection_then_good(first):
    """A server whose first connection has a behaviour, and whose others answer."""

    async def behave(peer: Peer) -> None:
        if peer.number == 0:
            await first(peer)
        else:
            await serving(lambda peer, s: peer.reply(s, ok(s)))(peer)

    return behave


def test_calls_in_flight_are_lost_when_the_connection_is_cut() -> None:
    async def cut(peer: Peer) -> None:
        streams = await gather(peer, 10)
        for stream in streams[:4]:
            peer.send(ok(stream))
        await peer.heard()
        peer.abort()

    result = account(first_connection_then_good(cut), 10)

    assert result.counts == {Outcome.OK: 4, Outcome.CONNECTION_LOST: 6}
    [record] = result.channel.records
    assert (record.killed, record.calls_lost, record.why) == (True, 6, "reset by the peer")


def test_calls_written_to_a_closing_connection_end_once_and_count_as_unsent() -> None:
    def cut_before_the_first_is_sent(channel: Channel) -> None:
        [link] = channel._links
        channel._flush_soon()  # before the link learns that it is closed
        link._transport.abort()

    result = account(
        serving(lambda peer, s: peer.reply(s, ok(s))), 10, prepare=cut_before_the_first_is_sent
    )

    assert result.counts == {Outcome.CONNECTION_LOST: 10}
    assert all(call.sent_at != call.sent_at for call in result.calls)


def test_a_frame_cut_by_the_end_of_the_connection_is_not_a_response() -> None:
    async def cut(peer: Peer) -> None:
        streams = await gather(peer, 2)
        peer.send(ok(streams[0]) + ok(streams[1])[:-3])
        peer.writer.close()

    result = account(first_connection_then_good(cut), 2)

    assert result.counts == {Outcome.OK: 1, Outcome.CONNECTION_LOST: 1}
    assert result.channel.records[0].why == "closed by the peer"


def test_calls_above_the_last_stream_of_a_goaway_are_sent_again_and_others_are_lost() -> None:
    async def goaway(peer: Peer) -> None:
        streams = await gather(peer, 10)
        peer.send(ok(streams[0]) + h2.goaway(streams[3], h2.ErrorCode.ENHANCE_YOUR_CALM, b"calm"))
        peer.writer.close()

    result = account(first_connection_then_good(goaway), 10)

    assert [result.ledger.outcome(i) for i in range(4)] == [Outcome.OK] + [
        Outcome.CONNECTION_LOST
    ] * 3
    assert result.counts == {Outcome.OK: 7, Outcome.CONNECTION_LOST: 3}
    assert result.channel.reissued == 6
    assert len(result.server.peers[1].frames_seen) >= 6
    first, second = result.channel.records
    assert (first.killed, first.calls_lost) == (True, 3)
    assert first.why == "GOAWAY ENHANCE_YOUR_CALM (calm)"
    assert not second.killed


def test_a_call_that_every_connection_refuses_is_sent_again_only_once() -> None:
    async def turn_away(peer: Peer) -> None:
        await peer.greet()
        async for _ in peer.requests():
            peer.send(h2.goaway(0, h2.ErrorCode.NO_ERROR))

    result = account(turn_away, 5)

    assert result.details == {(Outcome.CONNECTION_LOST, "GOAWAY NO_ERROR"): 5}
    assert all(call.end.unprocessed for call in result.calls)
    assert {call.attempts for call in result.calls} == {2}


def test_a_refused_stream_is_sent_again() -> None:
    refused: set[int] = set()

    def answer(peer: Peer, stream: int) -> None:
        if len(refused) < 3:
            refused.add(stream)
            peer.reply(stream, h2.rst_stream(stream, h2.ErrorCode.REFUSED_STREAM))
        else:
            peer.reply(stream, ok(stream))

    result = account(serving(answer), 5)

    assert result.counts == {Outcome.OK: 5}
    assert result.channel.reissued == 3
    assert len(result.channel.records) == 1


def test_no_call_is_lost_when_the_server_drains_the_connection() -> None:
    async def drain(peer: Peer) -> None:
        streams = await gather(peer, 8)
        peer.send(GRACEFUL)
        await peer.heard()
        for stream in streams:
            peer.send(ok(stream))
        peer.send(h2.goaway(streams[-1], h2.ErrorCode.NO_ERROR))

        # The client closes the drained connection; the others answer only after that.
        await peer.reader.read()
        drained.set()

    async def then_good(peer: Peer) -> None:
        if peer.number == 0:
            await drain(peer)
        else:
            await peer.greet()
            async for stream in peer.requests():
                await drained.wait()
                peer.reply(stream, ok(stream))

    drained = asyncio.Event()
    result = account(then_good, 40, load=ClosedLoop(8))

    assert result.counts == {Outcome.OK: 40}
    first, second = result.channel.records
    assert (first.killed, first.why) == (False, "GOAWAY NO_ERROR")
    assert not second.killed
    assert result.channel.reissued == 0


def test_calls_wait_for_a_connection_while_the_server_is_away() -> None:
    async def main() -> Account:
        port = 0

        async def go_away(peer: Peer) -> None:
            [stream] = await gather(peer, 1)
            listener.close()  # before the client notices, so that it cannot reconnect at once
            peer.send(h2.goaway(stream, h2.ErrorCode.NO_ERROR) + ok(stream))
            peer.writer.close()
            asyncio.get_running_loop().call_later(0.3, come_back.set)

        come_back = asyncio.Event()
        good = serving(lambda peer, s: peer.reply(s, ok(s)))
        async with hostile(go_away) as server:
            listener, port = server.listener, server.port
            running = asyncio.create_task(run(server, 12, load=ClosedLoop(1)))
            await come_back.wait()
            async with hostile(good, port=port):
                return await running

    result = asyncio.run(main())

    assert result.counts == {Outcome.OK: 12}
    assert len(result.channel.records) == 2
    assert max(call.done_at - call.made_at for call in result.calls) > 0.2


def test_calls_without_a_connection_until_their_deadline_are_lost_unsent() -> None:
    async def main() -> Account:
        async def go_away(peer: Peer) -> None:
            await gather(peer, 1)
            server.listener.close()
            peer.abort()

        async with hostile(go_away) as server:
            return await run(server, 5, load=ClosedLoop(1), deadline=0.2)

    result = asyncio.run(main())

    assert result.details == {
        (Outcome.CONNECTION_LOST, "reset by the peer"): 1,
        (Outcome.CONNECTION_LOST, "no connection"): 4,
    }
    assert [call.attempts for call in result.calls] == [1, 0, 0, 0, 0]
    assert [call.end.unprocessed for call in result.calls] == [False, True, True, True, True]


def test_the_client_does_not_reconnect_for_calls_that_have_ended() -> None:
    async def main() -> None:
        async with hostile(serving(hang)) as server:
            channel = Channel(Target(host="127.0.0.1", port=server.port))
            await channel.connect()
        async with asyncio.timeout(10):
            while channel.records[0].ended_at is None:
                await asyncio.sleep(0.01)
            now = time.monotonic()
            given_up, *others = (Call(i, MESSAGE, now, now + 0.1, lambda _: None) for i in range(9))
            for call in (given_up, *others):
                channel.submit(call)
            channel.give_up(given_up, Verdict(Outcome.CANCELLED, ""))
            while not all(call.verdict for call in others):
                await asyncio.sleep(0.01)
            while channel._connecting is not None:
                await asyncio.sleep(0.01)
        assert {call.end.detail for call in others} == {"no connection"}
        assert not channel._queue
        await channel.close()

    asyncio.run(main())


def test_a_connection_that_runs_out_of_stream_ids_is_replaced() -> None:
    def near_the_end(channel: Channel) -> None:
        [link] = channel._links
        link.connection.next_stream_id = h2.MAX_STREAM_ID - 6

    result = account(serving(lambda peer, s: peer.reply(s, ok(s))), 10, prepare=near_the_end)

    assert result.counts == {Outcome.OK: 10}
    assert [len(peer.frames_seen) > 2 for peer in result.server.peers] == [True, True]
    assert not any(record.killed for record in result.channel.records)
    assert result.channel.records[0].why == "out of stream ids"


def test_a_failed_connection_keeps_its_reason_while_calls_wait_to_be_sent_again() -> None:
    async def fail(peer: Peer) -> None:
        first, _ = await gather(peer, 2)
        again = h2.rst_stream(first, h2.ErrorCode.REFUSED_STREAM)
        peer.send(again + h2.window_update(0, 0))

    result = account(first_connection_then_good(fail), 2)

    why = "protocol error: a WINDOW_UPDATE of 0"
    assert result.details == {(Outcome.OK, ""): 1, (Outcome.CONNECTION_LOST, why): 1}
    assert result.channel.records[0].why == why


@pytest.mark.parametrize("load", [ClosedLoop(5), OpenLoop(500)])
def test_a_run_continues_over_connections_that_keep_failing(load) -> None:
    async def die(peer: Peer) -> None:
        streams = await gather(peer, 3)
        peer.send(b"".join(breaker(stream) for stream in streams[:2]))
        await peer.heard()
        peer.abort()

    result = account(die, 60, load=load, deadline=2.0)

    # The last connection may have had too few calls to fail.
    assert set(result.counts) <= {Outcome.BREAKER, Outcome.CONNECTION_LOST, Outcome.DEADLINE}
    lost = result.counts[Outcome.CONNECTION_LOST]
    lost -= result.details.get((Outcome.CONNECTION_LOST, "no connection"), 0)
    assert lost == sum(record.calls_lost for record in result.channel.records)
    assert len(result.channel.records) > 3
