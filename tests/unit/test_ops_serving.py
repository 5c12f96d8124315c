"""When a gateway is taken to serve, by real calls to a server that answers as it is told."""

import pytest

from hostile_server import breaker, end, hostile_thread, ok, serving
from ops.stack.serving import answers


@pytest.mark.parametrize(
    ("reply", "serves"),
    [
        (ok, True),
        # Of the user's own models there need not be one that takes the sample's call.
        (lambda stream: end(stream, 5, "Request for unknown model: 'echo' is not found"), True),
        (lambda stream: end(stream, 3, "unexpected inference input 'INPUT0'"), True),
        (lambda stream: end(stream, 14, "no healthy upstream"), False),
        (lambda stream: end(stream, 14, "upstream connect error"), False),
        (breaker, False),
    ],
    ids=["ok", "no such model", "no such tensor", "no replica", "refused", "breaker"],
)
def test_a_model_servers_own_no_is_an_answer_and_the_gateways_is_not(reply, serves):
    with hostile_thread(serving(lambda peer, stream: peer.reply(stream, reply(stream)))) as server:
        assert answers(f"127.0.0.1:{server.port}") is serves


def test_nothing_that_listens_is_no_answer():
    assert not answers("127.0.0.1:1")
