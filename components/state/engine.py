"""The engine behind the program, or its absence."""

from pulumi.runtime.proto.resource_pb2_grpc import ResourceMonitorStub
from pulumi.runtime.settings import get_monitor


def is_applied() -> bool:
    """Return True if an engine runs the program, False under mocks (tests, `make render`)."""
    return isinstance(get_monitor(), ResourceMonitorStub)
