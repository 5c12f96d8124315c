"""A client connection of HTTP/2 as a state machine: bytes in, ended calls and bytes out."""

from typing import Protocol

from eventflow.call import Call
from eventflow.http2 import frames as h2
from eventflow.http2.frames import ErrorCode, ProtocolError
from eventflow.http2.headers import MAX_HEADER_LIST_BYTES, Head, HeadCache
from eventflow.http2.sending import Sender
from eventflow.outcomes import (
    CANCELLED_STATUS,
    INTERNAL_STATUS,
    OK_STATUS,
    RESOURCE_EXHAUSTED_STATUS,
    Verdict,
    classify,
    connection_lost,
    other,
    stream_refused,
)

_TOP_UP_BYTES = 1024 * 1024
"""Received bytes after which the client refills the connection's window."""

_STATUS_OF_RESET: dict[int, int] = {
    ErrorCode.CANCEL: CANCELLED_STATUS,
    ErrorCode.ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED_STATUS,
    ErrorCode.INADEQUATE_SECURITY: 7,
}
"""gRPC status by RST_STREAM code; INTERNAL for others (gRPC's HTTP/2 protocol, "Errors")."""


class Events(Protocol):
    """Receiver of a connection's events."""

    def on_settings(self) -> None:
        """Handle the peer's first SETTINGS, after which calls may be sent."""

    def on_verdict(self, call: Call, verdict: Verdict) -> None:
        """Handle the end of a call."""

    def on_unprocessed(self, call: Call, verdict: Verdict) -> None:
        """Handle an unprocessed call; `verdict` applies unless the call is sent again."""

    def on_pong(self, payload: bytes) -> None:
        """Handle the response to a PING."""

    def on_goaway(self, code: int, debug: str) -> None:
        """Handle a GOAWAY: the peer takes no further calls on this connection."""


class Connection(Sender):
    """The connection with its receiving half; `Sender` is the sending half."""

    def __init__(self, events: Events, heads: HeadCache, max_response_bytes: int) -> None:
        super().__init__()
        self._events = events
        self._heads = heads
        self._max_response_bytes = max_response_bytes
        self._rest = b""
        self._received = 0
        self._continued: tuple[int, int, bytes] | None = None
        self.settled_in = False
        """True once the peer's SETTINGS have come."""
        self.goaway: tuple[int, int] | None = None
        """Last stream and error code of the peer's GOAWAY; None before."""

    def receive(self, data: bytes) -> None:
        """Process bytes from the peer.

        Raises:
            ProtocolError: The peer broke the protocol; the connection cannot be used further.
        """
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        unpack = h2.FRAME_HEADER.unpack_from
        while end - position >= h2.FRAME_HEADER_BYTES:
            high, low, kind, flags, stream_id = unpack(data, position)
            stream_id &= h2.MAX_STREAM_ID
            start = position + h2.FRAME_HEADER_BYTES
            position = start + (high << 8 | low)
            if not self.settled_in and (kind != h2.SETTINGS or flags & h2.ACK):
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "its first frame was not SETTINGS")
            if high << 8 | low > h2.DEFAULT_FRAME_BYTES:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame over the agreed size")
            if position > end:
                position = start - h2.FRAME_HEADER_BYTES
                break
            if (
                kind == h2.HEADERS
                and flags & (h2.END_HEADERS | h2.PADDED | h2.PRIORITY_FLAG) == h2.END_HEADERS
                and self._continued is None
            ):
                self._on_block(stream_id, flags, data[start:position])
            else:
                self._on_frame(kind, flags, stream_id, data[start:position])
        self._rest = data[position:]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == h2.CONTINUATION:
            self._on_continuation(stream_id, flags, payload)
        elif self._continued is not None:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame in the middle of a header block")
        elif kind == h2.DATA:
            self._on_data(stream_id, flags, payload)
        elif kind == h2.HEADERS:
            block = h2.unpadded(flags, payload)
            if flags & h2.END_HEADERS:
                self._on_block(stream_id, flags, block)
            else:
                self._continued = stream_id, flags, block
        elif kind == h2.RST_STREAM:
            self._on_reset(stream_id, _word(payload))
        elif kind == h2.WINDOW_UPDATE:
            self.add_credit(stream_id, _word(payload) & h2.MAX_WINDOW_BYTES)
        elif kind == h2.SETTINGS:
            self._on_settings(flags, payload)
        elif kind == h2.PING:
            if len(payload) != 8:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a PING that is not 8 bytes")
            if flags & h2.ACK:
                self._events.on_pong(payload)
            else:
                self.output.append(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif kind == h2.GOAWAY:
            self._on_goaway(payload)
        elif kind == h2.PUSH_PROMISE:
            raise ProtocolError(
                ErrorCode.PROTOCOL_ERROR, "a PUSH_PROMISE, which the client disabled"
            )

    def _on_settings(self, flags: int, payload: bytes) -> None:
        if flags & h2.ACK:
            return
        if len(payload) % h2.SETTING.size:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of an invalid length")
        for number, value in h2.SETTING.iter_unpack(payload):
            self.apply_setting(number, value)
        self.output.append(h2.frame(h2.SETTINGS, h2.ACK, 0))
        if not self.settled_in:
            self.settled_in = True
            self._events.on_settings()

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if self._continued is None:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION without HEADERS")
        first_id, first_flags, block = self._continued
        block += payload
        if stream_id != first_id or len(block) > MAX_HEADER_LIST_BYTES:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION frames that do not fit")
        self._continued = first_id, first_flags, block
        if flags & h2.END_HEADERS:
            self._continued = None
            self._on_block(first_id, first_flags, block)

    def _on_block(self, stream_id: int, flags: int, block: bytes) -> None:
        head = self._heads[block]
        call = self.streams.get(stream_id)
        if call is None:
            self.check_not_idle(stream_id)
        elif flags & h2.END_STREAM:
            self._on_end(call, head)
        elif head.informational:
            pass
        elif call.head is None:
            call.head = head
        else:
            self._break(call, "response headers twice")

    def _on_end(self, call: Call, trailers: Head) -> None:
        call.trailers = trailers
        if call.head is not None and "grpc-status" not in trailers.metadata:
            verdict = call.head.without_status()
        else:
            verdict = trailers.verdict
        if verdict.outcome is not _OK or _is_one_message(call.body):
            self.finish(call)
            self._events.on_verdict(call, verdict)
        else:
            self._break(call, "status OK without one whole uncompressed message")

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received >= _TOP_UP_BYTES:
            self.output.append(h2.window_update(0, self._received))
            self._received = 0
        payload = h2.unpadded(flags & ~h2.PRIORITY_FLAG, payload)
        call = self.streams.get(stream_id)
        if call is None:
            self.check_not_idle(stream_id)
        elif call.head is None:
            self._break(call, "DATA before response headers")
        elif len(call.body) + len(payload) > self._max_response_bytes:
            self._reset(call, other(RESOURCE_EXHAUSTED_STATUS, "the response is too large"))
        else:
            if not call.body:
                call.body = payload
            else:
                if isinstance(call.body, bytes):
                    call.body = bytearray(call.body)
                call.body += payload
            if flags & h2.END_STREAM:
                self.finish(call)
                self._events.on_verdict(call, call.head.without_status())

    def _on_reset(self, stream_id: int, code: int) -> None:
        call = self.streams.get(stream_id)
        if call is None:
            self.check_not_idle(stream_id)
            return
        self.forget(call)
        name = f"RST_STREAM {h2.error_name(code)}"
        if code == ErrorCode.REFUSED_STREAM:
            self._events.on_unprocessed(call, stream_refused(name))
        else:
            status = _STATUS_OF_RESET.get(code, INTERNAL_STATUS)
            self._events.on_verdict(call, classify(status, name, {}))

    def _on_goaway(self, payload: bytes) -> None:
        if len(payload) < h2.GOAWAY_HEAD.size:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a GOAWAY of an invalid length")
        last_id, code = h2.GOAWAY_HEAD.unpack_from(payload)
        last_id &= h2.MAX_STREAM_ID
        debug = payload[h2.GOAWAY_HEAD.size :].decode("utf-8", "replace")
        self.goaway = last_id, code
        self._events.on_goaway(code, debug)
        name = f"GOAWAY {h2.error_name(code)}"
        for call in [call for number, call in self.streams.items() if number > last_id]:
            self.forget(call)
            self._events.on_unprocessed(call, connection_lost(name, unprocessed=True))

    def _break(self, call: Call, what: str) -> None:
        self._reset(call, other(INTERNAL_STATUS, what))

    def _reset(self, call: Call, verdict: Verdict) -> None:
        self.reset(call)
        self._events.on_verdict(call, verdict)


_OK = classify(OK_STATUS, "", {}).outcome


def _is_one_message(body: bytes | bytearray) -> bool:
    return len(body) >= 5 and body[0] == 0 and int.from_bytes(body[1:5], "big") == len(body) - 5


def _word(payload: bytes) -> int:
    if len(payload) != h2.WORD.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame of an invalid length")
    return h2.WORD.unpack(payload)[0]
