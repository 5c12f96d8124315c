"""A load generator for KServe v2 inference that accounts for every call."""

from eventflow.client import Client, Request, Result, infer_many
from eventflow.errors import EndpointError, EventFlowError
from eventflow.kserve import InferResponse, Tensor
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.outcomes import Outcome
from eventflow.retry import Retry
from eventflow.target import Tls

__all__ = [
    "Client",
    "ClosedLoop",
    "EndpointError",
    "EventFlowError",
    "InferResponse",
    "Load",
    "MaxThroughput",
    "OpenLoop",
    "Outcome",
    "Request",
    "Result",
    "Retry",
    "Tensor",
    "Tls",
    "infer_many",
]
