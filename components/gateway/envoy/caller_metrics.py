"""Metrics per caller: calls by status, and their durations, of a bounded number of names.

Envoy makes a series of each value of a label, so that a rule replaces all names but the listed.
"""

import copy
from collections.abc import Sequence

from components.gateway.envoy.filters.callers import caller_name
from components.gateway.envoy.protojson import Json, extension
from config.sections.gateway_callers import ANONYMOUS
from config.sections.gateway_record import OTHER_CALLERS
from config.sections.inference import InferenceStack

PREFIX, CALLS, DURATION = "caller", "calls", "duration_milliseconds"
"""Parts of the names of the statistics, `caller.calls` and `caller.duration_milliseconds`."""

CALLER_LABEL, STATUS_LABEL = "caller", "status"
"""Labels with the caller's name, and with the gRPC status of its calls."""


def _value(name: str) -> Json:
    """Build the match that gives the label a value."""
    action = extension(
        "value",
        "extensions.matching.actions.transform_stat.v3.TransformStat",
        update_tag={"new_tag_value": name},
    )
    return {"action": action}


def _bounded(names: Sequence[str]) -> Json:
    """Build the `Matcher` that leaves the label the given values, and one for all others."""
    label = extension("label", "extensions.matching.common_inputs.stats.v3.StatTagValueInput")
    values = {name: _value(name) for name in names}
    return {
        "matcher_tree": {"input": label, "exact_match_map": {"map": values}},
        "on_no_match": _value(OTHER_CALLERS),
    }


def loggers(stack: InferenceStack) -> list[Json]:
    """Build the access logger that counts calls by caller; none without such metrics."""
    callers = stack.gateway.callers
    if not callers or not callers.metrics:
        return []
    caller = {
        "name": CALLER_LABEL,
        "value_format": caller_name(),
        "rules": _bounded([*callers.metrics.names, ANONYMOUS]),
    }
    status = {"name": STATUS_LABEL, "value_format": "%GRPC_STATUS(SNAKE_STRING)%"}
    return [
        extension(
            "envoy.access_loggers.stats",
            "extensions.access_loggers.stats.v3.Config",
            stats_scope={"prefix": PREFIX},
            counters=[{"stat": {"name": CALLS, "tags": [caller, status]}, "value_fixed": 1}],
            histograms=[
                {
                    "stat": {"name": DURATION, "tags": [copy.deepcopy(caller)]},
                    "unit": "Milliseconds",
                    "value_format": "%DURATION%",
                }
            ],
        )
    ]
