"""The preStop script, which moves every client's connection to another gateway before SIGTERM."""

import math

from components.gateway.envoy.admin import LOOPBACK
from components.gateway.envoy.listener import STAT_PREFIX
from config.sections.inference import InferenceStack

DRAIN_TIME_SECONDS = 4
"""Envoy's `--drain-time-s`. In its last third Envoy also moves connections that answer nothing.

It is at most the slack in `gateway_drain_seconds`, so that a stream that began just before the
drain still ends.
"""

_SCRIPT = r"""#!/usr/bin/env bash
# Written for bash alone: the image has no HTTP client, and admin listens on loopback only.
trap '' PIPE
deadline=$((SECONDS + {lag} + {drain}))

in_time() {{ (( SECONDS < deadline )); }}

# ask METHOD PATH: print the answer's body, chunk sizes and all; fail unless it is 200, in time.
ask() {{
  local line
  {{
    printf '%s %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n' "$1" "$2" >&3
    IFS= read -r -t 2 line <&3 && [[ $line == *' 200 '* ]] || return 1
    while in_time && IFS= read -r -t 2 line <&3 && [[ $line != $'\r' ]]; do :; done
    while in_time && IFS= read -r -t 2 line <&3; do printf '%s\n' "$line"; done
  }} 3<>/dev/tcp/{host}/{port}
}} 2>/dev/null

# Readiness fails first: load balancers look at it. Nobody is sent away yet, because the Service
# may lead the same client straight back here.
ask POST /healthcheck/fail
sleep {lag}

until ask POST '/drain_listeners?inboundonly&graceful&skip_exit'; do
  in_time || {{ echo 'drain: admin did not answer' >&2; exit 1; }}
  sleep 0.2
done

while in_time; do
  [[ $(ask GET '/stats?filter={stat}') == *'{stat}: 0'* ]] && exit 0
  sleep 0.2
done
echo 'drain: out of time with connections open' >&2
exit 1
"""


def drain_script(stack: InferenceStack) -> str:
    """Build the Bash script that ends when no client is connected any more.

    The script waits for `endpoint_lag_seconds`, in which the Service learns that the pod leaves.
    Then it takes at most `gateway_drain_seconds` and the 2 s of one unanswered request. Its exit
    status is 1 if connections are still open after that, or if admin does not answer.
    """
    return _SCRIPT.format(
        lag=math.ceil(stack.gateway.endpoint_lag_seconds),
        drain=stack.gateway_drain_seconds,
        host=LOOPBACK,
        port=stack.gateway.admin_port,
        stat=f"http.{STAT_PREFIX}.downstream_cx_active",
    )
