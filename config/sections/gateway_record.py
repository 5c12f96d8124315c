"""The gateway's record of its calls: its access log."""

from typing import Annotated

from pydantic import AfterValidator, Field

from config.base import HeaderName, Section

_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})


def _model_header(value: str) -> str:
    if value.lower() in _SECRET_HEADERS:
        raise ValueError("must not name a header that carries a secret: its values are logged")
    return value


class AccessLog(Section):
    """JSON lines about calls on standard output: every call that did not end OK, others by share.

    A line has no payload, no token and no header but `modelHeader` and the request ID.
    """

    ok_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the calls that ended OK of which the gateway writes a line, chosen at random."""

    lines_per_second: int = Field(default=20, ge=1, le=200)
    """Most lines a second that one gateway writes, with a burst of as many; it counts the lines
    that it leaves out. Kubelet counts the log as the pod's disk, which it bounds at 64 MiB."""

    model_header: Annotated[HeaderName, AfterValidator(_model_header)] | None = None
    """Metadata in which callers repeat the name of the model, such as `mm-model-id`; lines then
    have its first 128 bytes. If unset, lines name no model: it is in the call's body."""
