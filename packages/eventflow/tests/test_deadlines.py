"""Calls that end at their deadline on a connection that stays."""

from accounted_run import account
from eventflow.load import ClosedLoop
from eventflow.outcomes import Outcome
from hostile_server import Peer, gather, hang, ok, serving


def test_calls_to_a_hanging_server_end_at_their_deadline_and_keep_the_connection() -> None:
    result = account(serving(hang), 50, deadline=0.2)

    assert result.details == {(Outcome.DEADLINE, "by the client"): 50}
    [peer], [record] = result.server.peers, result.channel.records
    assert len(peer.resets()) == 50
    assert not record.killed
    assert all(call.done_at >= call.deadline_at for call in result.calls)


def test_a_response_after_the_deadline_is_ignored() -> None:
    async def behave(peer: Peer) -> None:
        await gather(peer, 10)
        while len(peer.resets()) < 10:
            await peer.frame()
        for stream in peer.resets():
            peer.send(ok(stream))
        async for stream in peer.requests():
            peer.reply(stream, ok(stream))

    result = account(behave, 30, deadline=1.0, load=ClosedLoop(10))

    assert result.counts == {Outcome.DEADLINE: 10, Outcome.OK: 20}
    assert len(result.channel.records) == 1
    assert not result.channel.records[0].killed
