"""Calls and streams through the real gateway to the real model server, by gRPC's own client.

Not shown here: TLS between caller and gateway, which the local cluster has none of, and more than
one caller.
"""

import queue
import time
from collections.abc import Iterator

import grpc
import psutil
import pytest

from eventflow.kserve import Tensor, infer_request, parse_infer_response
from eventflow.options import SAMPLE_MODEL, SAMPLE_TENSOR
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address
from tests.envoy.harness.backend import INFER, STREAM
from tests.integration.checkout import Checkout

_TENSOR = SAMPLE_TENSOR.partition(":")[0]


def request(text: str) -> bytes:
    return infer_request(SAMPLE_MODEL, [Tensor.of_strings(_TENSOR, [text])])


def said(response: bytes) -> str:
    (output,) = parse_infer_response(response).outputs
    (text,) = output.strings()
    return text.decode()


def streamed(response: bytes) -> bytes:
    """The `infer_response` (field 2) of a ModelStreamInferResponse that holds no error (field 1).

    Short ones alone: their length is one byte.
    """
    kind, size, message = response[0], response[1], response[2:]
    assert (kind, size) == (0x12, len(message)), response
    return message


@pytest.fixture
def channel(served: Checkout) -> Iterator[grpc.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(gateway_address(served.env), options) as channel:
        yield channel


def test_a_stream_outlives_the_unary_deadline_beside_unary_calls_on_one_connection(
    served: Checkout, channel: grpc.Channel
) -> None:
    """Each message is answered before the next one is sent, for twice the unary deadline.

    Fails at the deadline, in a reset stream, where the gateway has no route of its own for streams.
    Not shown: a stream that is silent, and several messages under way on one stream.
    """
    deadline_seconds = read_settings(served.env).inference[0].traffic.deadline_seconds
    infer = channel.unary_unary(INFER)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    answers = channel.stream_stream(STREAM)(iter(messages.get, None))
    began, turn = time.monotonic(), 0
    while time.monotonic() < began + 2 * deadline_seconds:
        messages.put(request(f"streamed {turn}"))
        assert said(streamed(next(answers))) == f"streamed {turn}"
        assert said(infer(request(f"unary {turn}"), timeout=deadline_seconds)) == f"unary {turn}"
        turn += 1
    messages.put(None)
    assert list(answers) == []
    assert answers.code() is grpc.StatusCode.OK
    port = int(gateway_address(served.env).rpartition(":")[2])
    connections = psutil.Process().net_connections("tcp")
    assert sum(bool(found.raddr) and found.raddr.port == port for found in connections) == 1
