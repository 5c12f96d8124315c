"""HTTP/2 on both sides of the gateway: streams, windows, and guards sized by them."""

from components.gateway.envoy.protojson import MAX_INT32, NO_LIMIT, Json
from config.sections.inference import InferenceStack
from config.units import BYTES_PER_KIB

_HPACK_TABLE_BYTES = 4096
_MIN_CONNECTION_WINDOW = 1024 * 1024
_MIN_OUTBOUND_FRAMES = 10_000
_MIN_OUTBOUND_CONTROL_FRAMES = 1_000

_UPSTREAM_FRAMES = 100_000
"""Fewest frames that Envoy may queue for a replica, RST_STREAM included.

Callers that reset calls by the thousand fill the queue before Envoy turns to writing. Beyond the
limit Envoy ends the connection, and with it the calls of all others; its default is 1,000
RST_STREAM. The frames of so many calls take about 10 MB.
"""

CONNECTION_BUFFER_BYTES = 1024 * 1024
"""Soft limit of a connection's read and write buffers; Envoy's own default, written down."""

MAX_HEADERS_KIB = 32
"""Largest header block of one call; gRPC's own limit is 16 KiB at most."""

MAX_ERROR_KIB = 256
"""Largest error message of a replica; Envoy's codec allows no more.

Triton repeats unknown values in its errors, such as the name of a model. Envoy cannot decode a
longer message: it ends the connection, and with it all other calls on the connection.
"""

MAX_HEADERS = 100
"""Most headers of one call; Envoy's own default, written down."""


def _windows(stack: InferenceStack, streams: int) -> Json:
    # Streams share the connection's window. If it were smaller than the sum of theirs, a few calls
    # that stall, such as those of one hung replica, would stop all others on the connection.
    window = stack.stream_window_kib * BYTES_PER_KIB
    connection = min(max(_MIN_CONNECTION_WINDOW, streams * window), MAX_INT32)
    return {
        "hpack_table_size": _HPACK_TABLE_BYTES,
        "initial_stream_window_size": min(window, MAX_INT32),
        "initial_connection_window_size": connection,
    }


def _guards(streams: int) -> Json:
    # When Envoy refuses a burst at once, it queues one frame per call, and one RST_STREAM per call
    # whose body is still being sent, before the client reads any. With more streams than Envoy's
    # defaults (10,000 and 1,000) allow, Envoy would close the connection.
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
    """Build the `Http2ProtocolOptions` of the clients' connections."""
    streams = stack.max_concurrent_streams
    return {
        "max_concurrent_streams": streams,
        **_windows(stack, streams),
        **_guards(streams),
        # nghttp2 closes a connection on which more streams are reset than this bucket holds (1,000
        # and 33 per second by default). Calls that wait in a client for a stream may open it just
        # before their deadline: then the client resets as many as the worker takes. A call and its
        # reset cost the worker no more than a call that it refuses, so no bucket is of use.
        "stream_reset_burst": NO_LIMIT,
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }


def upstream(stack: InferenceStack) -> Json:
    """Build the `Http2ProtocolOptions` of the gateway's one connection to each replica.

    There is no HTTP/2 keepalive: gRPC servers answer more than one ping without data in five
    minutes with GOAWAY. The keepalive of TCP does the same work.
    """
    # A static breaker must refuse before the connection is full: calls queue on a full one.
    streams = stack.caller_streams_per_pod or stack.max_requests + 1
    return {
        "max_concurrent_streams": streams,
        **_windows(stack, streams),
        **_guards(streams),
        "max_outbound_frames": max(_UPSTREAM_FRAMES, 4 * streams),
        "max_outbound_control_frames": max(_UPSTREAM_FRAMES, 2 * streams),
        "max_header_field_size_kb": MAX_ERROR_KIB,
    }
