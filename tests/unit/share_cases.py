"""Mutations of the checks on fair shares."""

from tests.unit.case import Case

CALLERS = "inference[0].gateway.callers"
SHARES = f"{CALLERS}.fairShares"
ON = {CALLERS: {"fairShares": {"guaranteedRps": 10, "callsPerPod": 4}},
      "inference[0].traffic.parallelism": 4}  # fmt: skip

CASES = [
    Case("sharesLimit", "inference[0].gateway.inFlight.kind", "static",
         "calls queue in the replicas", {**ON, "inference[0].triton.queueSize": 512,
          "inference[0].traffic.maxRequestKib": 1024}),
    Case("sharesSignal", "inference[0].autoscaler.signal.kind", "inFlight",
         "the fleet would not grow", ON),
    # Two replicas answer 400 calls/s.
    Case("sharesGuarantee", f"{SHARES}.guaranteedRps", 201, "leaves others less than half", ON),
    Case("sharesStreams", f"{SHARES}.callsPerPod", 1000, "the queue that fair shares avoid", ON),
    Case("sharesWork", f"{SHARES}.callsPerPod", 3, "stays idle while its calls wait", ON),
]  # fmt: skip
