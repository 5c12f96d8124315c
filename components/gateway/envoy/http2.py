"""HTTP/2 on both sides of the gateway: streams, windows, and guards that size with them."""

from components.gateway.envoy.protojson import MAX_INT32, Json
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_KIB

_HPACK_TABLE_BYTES = 4096
_MIN_CONNECTION_WINDOW = 1024 * 1024
_MIN_OUTBOUND_FRAMES = 10_000
_MIN_OUTBOUND_CONTROL_FRAMES = 1_000

CONNECTION_BUFFER_BYTES = 1024 * 1024
"""Soft limit of a connection's read and write buffers; Envoy's own default, written down."""

MAX_HEADERS_KIB = 32
"""Largest header block of one call; gRPC's own limit is 16 KiB at most."""

MAX_ERROR_KIB = 256
"""Largest error message of a replica that ends its own call alone; Envoy's codec allows no more.

Triton repeats what it does not know, such as the name of a model. A longer message cannot be
decoded: it ends the connection, and with it the calls beside.
"""

MAX_HEADERS = 100
"""Headers of one call; Envoy's own default, written down."""


def _windows(stack: InferenceStack, streams: int) -> Json:
    # Streams share the connection's window: were it smaller than all of theirs together, a few
    # stalled calls (one hung replica's) would stop every other call on the client's connection.
    window = stack.gateway.stream_window_kib * BYTES_PER_KIB
    connection = min(max(_MIN_CONNECTION_WINDOW, streams * window), MAX_INT32)
    return {
        "hpack_table_size": _HPACK_TABLE_BYTES,
        "initial_stream_window_size": min(window, MAX_INT32),
        "initial_connection_window_size": connection,
    }


def _guards(streams: int) -> Json:
    # A burst refused at once puts one frame a call, and one RST_STREAM for each whose body is still
    # under way, into the connection's buffer before the client reads any; Envoy's defaults (10,000
    # and 1,000) would close the connection on more streams than that.
    return {
        "max_outbound_frames": max(_MIN_OUTBOUND_FRAMES, 4 * streams),
        "max_outbound_control_frames": max(_MIN_OUTBOUND_CONTROL_FRAMES, 2 * streams),
        "max_consecutive_inbound_frames_with_empty_payload": 1,
        "max_inbound_priority_frames_per_stream": 100,
        "max_inbound_window_update_frames_per_data_frame_sent": 10,
        # One malformed call ends its own stream, not the connection with all the others on it.
        "override_stream_error_on_invalid_http_message": True,
    }


def downstream(stack: InferenceStack) -> Json:
    """`Http2ProtocolOptions` of the clients' connections."""
    streams = stack.max_concurrent_streams
    return {
        "max_concurrent_streams": streams,
        **_windows(stack, streams),
        **_guards(streams),
        # nghttp2 closes a connection on which more streams are reset than this bucket holds (1,000
        # and 33 a second by default): every open stream's deadline may fire at the same moment.
        "stream_reset_burst": 4 * streams,
        "stream_reset_rate": 2 * streams,
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }


def upstream(stack: InferenceStack) -> Json:
    """`Http2ProtocolOptions` of the gateway's one connection to each replica.

    No HTTP/2 keepalive: gRPC servers answer pings that come without data, more than one in five
    minutes, with GOAWAY. TCP's keepalive does the same work below their sight.
    """
    # A static breaker refuses before the connection is full; a full one would queue first.
    streams = stack.streams_per_pod or stack.max_requests + 1
    return {
        "max_concurrent_streams": streams,
        **_windows(stack, streams),
        **_guards(streams),
        "max_header_field_size_kb": MAX_ERROR_KIB,
    }
