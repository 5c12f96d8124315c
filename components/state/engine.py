"""The engine behind the program, or its absence."""

import pulumi
from pulumi.runtime.proto.resource_pb2_grpc import ResourceMonitorStub
from pulumi.runtime.settings import get_monitor

from config.base import OWNER_TAGS


def is_applied() -> bool:
    """Return True if an engine runs the program, False under mocks (tests, `make render`)."""
    return isinstance(get_monitor(), ResourceMonitorStub)


def owner_tags() -> dict[str, str]:
    """Return the AWS tags that name the running program's project and stack."""
    return dict(zip(OWNER_TAGS, (pulumi.get_project(), pulumi.get_stack()), strict=True))
