"""Header blocks: encoded once for all requests, decoded once per distinct response block."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from urllib.parse import unquote

from hpack import Decoder, HPACKError
from hpack.hpack import encode_integer

from eventflow.http2.frames import ErrorCode, ProtocolError
from eventflow.outcomes import (
    INTERNAL_STATUS,
    UNAVAILABLE_STATUS,
    UNKNOWN_STATUS,
    Verdict,
    classify,
    other,
)

MAX_HEADER_LIST_BYTES = 64 * 1024
"""Largest header list of a response; the client advertises it to the peer."""

_CACHED_BLOCKS = 4_096
_CACHED_BLOCK_BYTES = 1_024

_HTTP_STATUS_AS_GRPC = {400: INTERNAL_STATUS, 401: 16, 403: 7, 404: 12} | dict.fromkeys(
    (429, 502, 503, 504), UNAVAILABLE_STATUS
)
"""gRPC status for an HTTP status alone (grpc/doc/http-grpc-status-mapping.md)."""


def encode_stateless(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encode headers as literals without indexing (RFC 7541, section 6.2.2).

    Neither side stores such a block in its table, so the same bytes serve every call, whatever the
    table size of the peer.
    """
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name.encode("ascii"), value.encode("ascii")):
            block += encode_integer(len(text), 7)
            block += text
    return bytes(block)


def timeout_value(milliseconds: int) -> str:
    """Format a `grpc-timeout`: at most eight digits and a unit (gRPC's HTTP/2 protocol)."""
    if milliseconds < 10**8:
        return f"{max(1, milliseconds)}m"
    return f"{min(milliseconds // 1000, 10**8 - 1)}S"


class Head:
    """A decoded header block of a response: its headers or its trailers."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata
        """Headers by name; the last value of a repeated name."""
        status = metadata.get(":status", "")
        self.http_status = int(status) if status.isdecimal() else None
        self.informational = self.http_status is not None and 100 <= self.http_status < 200

    @cached_property
    def verdict(self) -> Verdict:
        """Verdict of a call that this block ends."""
        status, message = self.metadata.get("grpc-status"), unquote(self._message)
        if status is not None:
            if not status.isdecimal():
                return other(UNKNOWN_STATUS, f"grpc-status is {status[:20]!r}")
            return classify(int(status), message, self.metadata)
        return self.without_status()

    def without_status(self) -> Verdict:
        """Return the verdict of a stream that ended with these headers and no gRPC status."""
        if self.http_status is None or self.http_status == 200:
            return other(UNKNOWN_STATUS, "the stream ended without a grpc-status")
        status = _HTTP_STATUS_AS_GRPC.get(self.http_status, UNKNOWN_STATUS)
        return classify(status, f"HTTP status {self.http_status}", self.metadata)

    @property
    def _message(self) -> str:
        return self.metadata.get("grpc-message", "")


class HeadCache:
    """A decoder of response header blocks that decodes each distinct block once.

    The client advertises a SETTINGS_HEADER_TABLE_SIZE of 0. Without a dynamic table the meaning of
    a block does not depend on its position, so equal bytes are equal headers.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_LIST_BYTES)
        self._decoder.max_allowed_table_size = 0
        self._decoder.header_table_size = 0

    def __getitem__(self, block: bytes) -> Head:
        """Decode a block.

        Raises:
            ProtocolError: The block is not HPACK, or refers to a dynamic table.
        """
        head = self._heads.get(block)
        return self._decode(block) if head is None else head

    def _decode(self, block: bytes) -> Head:
        try:
            head = Head({str(name): str(value) for name, value in self._decoder.decode(block)})
        except (HPACKError, ValueError, IndexError) as error:
            raise ProtocolError(
                ErrorCode.COMPRESSION_ERROR, f"a header block that cannot be decoded: {error}"
            ) from error
        if len(block) <= _CACHED_BLOCK_BYTES:
            if len(self._heads) >= _CACHED_BLOCKS:
                self._heads.clear()
            self._heads[block] = head
        return head
