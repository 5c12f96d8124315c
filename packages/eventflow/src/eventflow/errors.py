"""Errors that a user can act on."""


class EventFlowError(Exception):
    """An error outside this package; its message names the cause and, if there is one, the fix."""


class EndpointError(EventFlowError):
    """An endpoint that no call can reach."""
