"""Header blocks: a request's, encoded once, and responses', decoded once per different block."""

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
"""Most that one response's headers may take; advertised to the peer."""

_CACHED_BLOCKS = 4_096
_CACHED_BLOCK_BYTES = 1_024

_HTTP_STATUS_AS_GRPC = {400: INTERNAL_STATUS, 401: 16, 403: 7, 404: 12} | dict.fromkeys(
    (429, 502, 503, 504), UNAVAILABLE_STATUS
)
"""What gRPC makes of an HTTP status without a gRPC one (grpc/doc/http-grpc-status-mapping.md)."""


def encode_stateless(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encode headers as literals without indexing (RFC 7541, section 6.2.2).

    Neither side keeps anything of such a block, so the same bytes serve every call, whatever the
    peer's table size.
    """
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name.encode("ascii"), value.encode("ascii")):
            block += encode_integer(len(text), 7)
            block += text
    return bytes(block)


def timeout_value(milliseconds: int) -> str:
    """Spell a `grpc-timeout`: at most eight digits and a unit (gRPC's HTTP/2 protocol)."""
    if milliseconds < 10**8:
        return f"{max(1, milliseconds)}m"
    return f"{min(milliseconds // 1000, 10**8 - 1)}S"


class Head:
    """One decoded header block of a response: its headers, or its trailers."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self.metadata = metadata
        """Headers by name; the last value where a name is repeated."""
        status = metadata.get(":status", "")
        self.http_status = int(status) if status.isdecimal() else None
        self.informational = self.http_status is not None and 100 <= self.http_status < 200

    @cached_property
    def verdict(self) -> Verdict:
        """What the call comes to if this block ends it."""
        status, message = self.metadata.get("grpc-status"), unquote(self._message)
        if status is not None:
            if not status.isdecimal():
                return other(UNKNOWN_STATUS, f"grpc-status is {status[:20]!r}")
            return classify(int(status), message, self.metadata)
        return self.without_status()

    def without_status(self) -> Verdict:
        """What a stream comes to that ended with these headers and no gRPC status."""
        if self.http_status is None or self.http_status == 200:
            return other(UNKNOWN_STATUS, "the stream ended without a grpc-status")
        status = _HTTP_STATUS_AS_GRPC.get(self.http_status, UNKNOWN_STATUS)
        return classify(status, f"HTTP status {self.http_status}", self.metadata)

    @property
    def _message(self) -> str:
        return self.metadata.get("grpc-message", "")


class HeadCache:
    """Decodes response header blocks, each different one once.

    It stands on our SETTINGS_HEADER_TABLE_SIZE of 0: without a dynamic table a block means the
    same wherever it stands, so that equal bytes are equal headers.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self._decoder = Decoder(max_header_list_size=MAX_HEADER_LIST_BYTES)
        self._decoder.max_allowed_table_size = 0
        self._decoder.header_table_size = 0

    def __getitem__(self, block: bytes) -> Head:
        """Decode a block.

        Raises:
            ProtocolError: It is not HPACK, or leans on a dynamic table that it may not have.
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
