"""Metrics per caller: the names that have them, and that no caller can add series."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from components.gateway.envoy.caller_metrics import CALLER_LABEL
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.stats import CALLER_CALLS, CALLER_DURATION
from config.sections.gateway_callers import ANONYMOUS
from config.sections.gateway_record import OTHER_CALLERS
from tests.envoy.harness import parts
from tests.envoy.harness.backend import REFUSE
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.client import GrpcClient
from tests.envoy.harness.tokens import TokenIssuer, bearer
from tests.envoy.harness.waiting import wait_until

ISSUER = TokenIssuer("issuer")
NAMES = ["orchestrator", "spiffe://example.com/batch"]
SERIES = re.compile(r'(?P<name>\w+)\{.*caller="(?P<caller>[^"]*)"(.*status="(?P<status>[^"]*)")?')


def merged_soon(config: Json) -> None:
    """Merge histograms at once, and not every 5 s."""
    config["stats_flush_interval"] = "0.1s"


def without_bound(config: Json) -> None:
    (logger,) = parts.manager(config)["access_log"]
    tags = logger["typed_config"]["counters"][0]["stat"]["tags"]
    (caller,) = [tag for tag in tags if tag["name"] == CALLER_LABEL]
    del caller["rules"]


@pytest.fixture(scope="module")
def it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    jwt = {"issuers": [ISSUER.config()], "required": False}
    gateway = {"callers": {"jwt": jwt, "metrics": {"names": NAMES}}}
    folder = tmp_path_factory.mktemp("caller-metrics")
    with open_bed(folder, replicas=1, gateway=gateway, edit=merged_soon) as bed:
        yield bed


def counts(it: Bed, name: str) -> Counter[tuple[str, str | None]]:
    """Values of a metric's series, by caller and status."""
    _, text = it.gateway.get("/stats/prometheus", port=it.stack.gateway.ops_port)
    found: Counter[tuple[str, str | None]] = Counter()
    for line in text.splitlines():
        series = SERIES.match(line)
        if series and series["name"] == name:
            found[series["caller"], series["status"]] += int(line.rpartition(" ")[2])
    return found


def test_listed_callers_have_metrics_of_their_own_and_all_others_share_one_name(it):
    with GrpcClient(it.gateway.port) as client:
        for name in NAMES:
            client.call(**bearer(ISSUER.token(sub=name)))
        client.call(payload=f"{REFUSE} NOT_FOUND".encode(), **bearer(ISSUER.token(sub=NAMES[0])))
        client.call()
        # As many names as might fill Prometheus.
        for stranger in range(20):
            client.call(**bearer(ISSUER.token(sub=f"stranger-{stranger}")))
        # Whom the gateway does not let in has no name.
        client.call(**bearer("garbled"))
        wait_until("all are counted", lambda: counts(it, CALLER_CALLS).total() == 25)
    assert counts(it, CALLER_CALLS) == {
        (NAMES[0], "OK"): 1,
        (NAMES[0], "NOT_FOUND"): 1,
        (NAMES[1], "OK"): 1,
        (ANONYMOUS, "OK"): 1,
        (OTHER_CALLERS, "OK"): 20,
        (OTHER_CALLERS, "UNAUTHENTICATED"): 1,
    }

    def durations() -> Counter[tuple[str, str | None]]:
        return counts(it, f"{CALLER_DURATION}_count")

    wait_until("durations are there", lambda: durations().total() == 25)
    assert {caller for caller, _ in durations()} == {*NAMES, ANONYMOUS, OTHER_CALLERS}


def test_only_the_rule_keeps_other_names_out(tmp_path):
    jwt = {"issuers": [ISSUER.config()]}
    gateway = {"callers": {"jwt": jwt, "metrics": {"names": NAMES}}}
    with (
        open_bed(tmp_path, replicas=1, gateway=gateway, edit=without_bound) as it,
        GrpcClient(it.gateway.port) as client,
    ):
        client.call(**bearer(ISSUER.token(sub="stranger")))
        wait_until("it is counted", lambda: counts(it, CALLER_CALLS).total() == 1)
        assert counts(it, CALLER_CALLS) == {("stranger", "OK"): 1}
