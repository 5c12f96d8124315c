"""The sending half of a connection: streams, their limits, and flow control."""

from eventflow.call import Call
from eventflow.http2 import frames as h2
from eventflow.http2.frames import ErrorCode, ProtocolError

_OUR_SETTINGS = {
    h2.HEADER_TABLE_SIZE: 0,  # see HeadCache
    h2.ENABLE_PUSH: 0,
    h2.INITIAL_WINDOW_SIZE: h2.MAX_WINDOW_BYTES,  # `max_response_bytes` bounds the responses
    h2.MAX_HEADER_LIST_SIZE: 64 * 1024,
}


class Sender:
    """The half of a connection that opens streams and sends requests within the peer's limits."""

    def __init__(self) -> None:
        self.output: list[bytes | memoryview] = [
            h2.PREFACE,
            h2.settings(_OUR_SETTINGS),
            h2.window_update(0, h2.MAX_WINDOW_BYTES - h2.DEFAULT_WINDOW_BYTES),
        ]
        """Bytes to write, in order."""
        self.streams: dict[int, Call] = {}
        """Calls whose response has not ended, by stream."""
        self.ended: list[Call] = []
        """Calls whose END_STREAM is in the output."""
        self.next_stream_id = 1
        self.max_streams = h2.MAX_STREAM_ID
        """Largest number of open streams; unlimited until the peer's SETTINGS."""
        self._window = h2.DEFAULT_WINDOW_BYTES
        self._stream_window = h2.DEFAULT_WINDOW_BYTES
        self._max_frame = h2.DEFAULT_FRAME_BYTES
        self._starved: dict[int, Call] = {}

    @property
    def has_room(self) -> bool:
        """True if the peer's limits allow another stream and a part of its message."""
        return len(self.streams) < self.max_streams and self._window > 0 and not self.exhausted

    @property
    def exhausted(self) -> bool:
        """True if the connection has used up its stream ids."""
        return self.next_stream_id > h2.MAX_STREAM_ID

    def open(self, call: Call, block: bytes) -> None:
        """Open the stream of a call; the caller has checked `has_room`."""
        stream_id = call.stream_id = self.next_stream_id
        self.next_stream_id += 2
        self.streams[stream_id] = call
        call.attempts += 1
        size = len(call.message)
        head = h2.frame(h2.HEADERS, h2.END_HEADERS, stream_id, block)
        if size <= self._window and size <= self._stream_window and size <= self._max_frame:
            self._window -= size
            data = h2.FRAME_HEADER.pack(size >> 8, size & 0xFF, h2.DATA, h2.END_STREAM, stream_id)
            self.output += (head, data, call.message)
            self.ended.append(call)
        else:
            self.output.append(head)
            call.credit = self._stream_window
            call.unsent = memoryview(call.message)
            self._push(call)

    def reset(self, call: Call) -> None:
        """Reset the stream of a call."""
        self.output.append(h2.rst_stream(call.stream_id, ErrorCode.CANCEL))
        self.forget(call)

    def finish(self, call: Call) -> None:
        """Drop a stream that the peer has ended; reset it if the request is not fully sent."""
        if call.stream_id in self._starved:
            self.reset(call)
        else:
            self.forget(call)

    def forget(self, call: Call) -> None:
        """Drop a stream without a reset; a reset must not follow a reset (RFC 9113, 5.4.2)."""
        del self.streams[call.stream_id]
        self._starved.pop(call.stream_id, None)

    def add_credit(self, stream_id: int, increment: int) -> None:
        """Apply a WINDOW_UPDATE.

        Raises:
            ProtocolError: The window exceeds its maximum, or the stream was never opened.
        """
        if increment == 0:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a WINDOW_UPDATE of 0")
        if stream_id == 0:
            self._window += increment
            if self._window > h2.MAX_WINDOW_BYTES:
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
            self._feed()
            return
        self.check_not_idle(stream_id)
        call = self._starved.get(stream_id)
        if call is not None:
            call.credit += increment
            self._push(call)

    def apply_setting(self, number: int, value: int) -> None:
        """Apply a setting of the peer; header table sizes have no effect (see `encode_stateless`).

        Raises:
            ProtocolError: The value is invalid.
        """
        if number == h2.MAX_CONCURRENT_STREAMS:
            self.max_streams = value
        elif number == h2.INITIAL_WINDOW_SIZE:
            if value > h2.MAX_WINDOW_BYTES:
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window over 2^31-1")
            for call in self._starved.values():
                call.credit += value - self._stream_window
            self._stream_window = value
            self._feed()
        elif number == h2.MAX_FRAME_SIZE:
            if not h2.DEFAULT_FRAME_BYTES <= value <= h2.LARGEST_FRAME_BYTES:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"a frame size of {value}")
            self._max_frame = value

    def check_not_idle(self, stream_id: int) -> None:
        """Refuse a frame on a stream that was never opened.

        Raises:
            ProtocolError: The stream was never opened by this client.
        """
        if stream_id % 2 == 0 or stream_id >= self.next_stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"a frame on idle stream {stream_id}")

    def _feed(self) -> None:
        for call in list(self._starved.values()):
            if self._window <= 0:
                break
            self._push(call)

    def _push(self, call: Call) -> None:
        """Send as much of a call's message as the windows allow."""
        unsent, stream_id = call.unsent, call.stream_id
        while unsent and (room := min(call.credit, self._window, self._max_frame)) > 0:
            piece, unsent = unsent[:room], unsent[room:]
            size = len(piece)
            flags = 0 if unsent else h2.END_STREAM
            self.output += (
                h2.FRAME_HEADER.pack(size >> 8, size & 0xFF, h2.DATA, flags, stream_id),
                piece,
            )
            call.credit -= size
            self._window -= size
        call.unsent = unsent
        if unsent:
            self._starved[stream_id] = call
        else:
            self._starved.pop(stream_id, None)
            self.ended.append(call)
