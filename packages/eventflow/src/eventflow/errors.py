"""Errors that a user can act on."""


class EventFlowError(Exception):
    """Something outside this package is not as asked; the message says what and what to do."""


class EndpointError(EventFlowError):
    """The endpoint cannot be called at all."""
