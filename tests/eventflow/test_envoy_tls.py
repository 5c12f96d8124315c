"""The load client, with a certificate, against the real gateway, whose certificates change.

The replica is a grpcio server that echoes requests.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
import trustme

from eventflow.kserve import Tensor, grpc_message, infer_request
from eventflow.load import ClosedLoop
from eventflow.load_generator import Plan
from eventflow.options import CallOptions
from eventflow.outcomes import Outcome
from eventflow.report import summarize
from eventflow.run import Burst, EngineName, run_burst
from tests.envoy.harness.bed import Bed, open_bed
from tests.envoy.harness.secrets import NAME, TLS, Mounts, pair

CALLS = 10_000
INPUTS = (Tensor.of_strings("INPUT", ["x" * 64]),)
CALLERS, NEWCOMERS = trustme.CA(), trustme.CA()


@pytest.fixture
def bed(tmp_path: Path) -> Callable[..., AbstractContextManager[Bed]]:
    """A gateway and its replicas."""
    return partial(open_bed, tmp_path, replicas=1)


class Rotation:
    """New certificates and CA bundles, one after the other, until the block ends."""

    def __init__(self, mounts: Mounts) -> None:
        self.mounts = mounts
        self.rounds = 0
        self._over = threading.Event()

    def __enter__(self) -> "Rotation":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self.mounts.renew()
            self.mounts.trust(*((CALLERS, NEWCOMERS) if self.rounds % 2 else (CALLERS,)))
            self.rounds += 1

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize(("engine", "calls"), [("fast", CALLS), ("grpcio", CALLS // 10)])
def test_no_call_is_lost_while_certificate_key_and_authorities_change(
    bed, tmp_path: Path, engine: EngineName, calls: int
) -> None:
    clients = {"ca": {"kind": "secret", "name": "callers"}, "names": ["caller.example.com"]}
    mounts = Mounts(tmp_path / "mounts", {**TLS, "clients": clients})
    mounts.trust(CALLERS)
    own = {**pair(CALLERS, "caller.example.com"), "ca.crt": mounts.ca}
    for name, content in own.items():
        (tmp_path / name).write_bytes(content)
    with bed(gateway={"tls": mounts.options}, edit=mounts.edit) as it, Rotation(mounts) as rotation:
        options = CallOptions(
            endpoint=f"127.0.0.1:{it.gateway.port}",
            ca=tmp_path / "ca.crt",
            cert=tmp_path / "tls.crt",
            key=tmp_path / "tls.key",
            server_name=NAME,
        )
        work = Burst(
            target=options.target(),
            plan=Plan(load=ClosedLoop(32), calls=calls, deadline_seconds=20),
            message=grpc_message(infer_request("echo", INPUTS)),
            engine=engine,
        )
        report = summarize(work, asyncio.run(run_burst(work)))
    assert {outcome: many for outcome, many in report.outcomes.items() if many} == {
        Outcome.OK: calls
    }
    assert report.connections_killed == 0
    assert rotation.rounds > 0
