"""Load of the callers and speed of a replica: stated facts that the limits derive from."""

from pydantic import Field

from config.base import Section


class Traffic(Section):
    """Measured or promised behaviour of the calls; the gateway and the scaler are sized from it."""

    deadline_seconds: float = Field(default=2.0, ge=0.01, le=3600)
    """Longest time that a unary call may take: the route's timeout, the cap on `grpc-timeout`."""

    service_time_seconds: float = Field(default=0.02, ge=0.0001, le=3600)
    """Mean time that one replica works on one unary call, without queueing."""

    parallelism: int = Field(default=1, ge=1, le=65536)
    """Unary calls that one replica works on at once (instances x batch)."""

    max_stream_seconds: float = Field(default=60.0, ge=0.01, le=24 * 3600)
    """Longest life of one `ModelStreamInfer` stream; the gateway ends it then."""

    stream_idle_seconds: float = Field(default=30.0, ge=0.01, le=24 * 3600)
    """Silence in both directions after which the gateway ends a stream."""

    client_connections: int = Field(default=1, ge=1, le=1_000_000)
    """HTTP/2 connections over which the callers send; one connection lives on one gateway pod."""

    request_kib: float = Field(default=1.0, ge=0.01, le=2 * 1024 * 1024 - 1)
    """Mean size of the message of a unary call, KiB; the gateway's capacity and its windows follow
    from it."""

    response_kib: float = Field(default=1.0, ge=0.01, le=2 * 1024 * 1024 - 1)
    """Mean size of the response of a unary call, KiB."""

    max_request_kib: int = Field(default=4096, ge=1, le=2 * 1024 * 1024 - 1)
    """Largest message of a unary call, KiB; the gateway answers RESOURCE_EXHAUSTED to a larger one.
    4096 is what gRPC servers accept by themselves. Messages of a stream have no limit here."""

    max_response_kib: int = Field(default=4096, ge=1, le=2 * 1024 * 1024 - 1)
    """Largest response of a call, KiB; shared memory has room for it. 4096 is what gRPC clients
    accept by themselves."""

    @property
    def replica_rps(self) -> float:
        """Unary calls per second that one replica can answer."""
        return self.parallelism / self.service_time_seconds

    @property
    def longest_call_seconds(self) -> float:
        """Longest time that a call or a stream can be in flight."""
        return max(self.deadline_seconds, self.max_stream_seconds)
