"""A parameter changes during load: the pods are replaced, and no call fails because of it.

The load is far below the fleet's limits, so that nothing else can make a call fail. Its one
connection goes to the Service by its name, as a caller's in the cluster does. Not shown here: a
load balancer in front, gateways on several nodes, streams, and a NetworkPolicy in force.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.overload.burst_process import BurstProcess
from config.sections.inference import InferenceStack
from config.selectors import gateway_selector, triton_selector
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address
from tests.integration.checkout import Checkout
from tests.serving.accounts import WINDOW, none_failed
from tests.serving.cluster import get, selected, staying

_SLACK_SECONDS = 30
"""For kubelet and the API server, beside the grace that a pod has."""


@pytest.fixture(scope="module")
def changing(served: Checkout) -> Iterator[Checkout]:
    """The stack, whose parameters these tests change; afterwards it has its own again."""
    yield served
    served.reset_config()
    served.up().ok()


def _stack(checkout: Checkout) -> InferenceStack:
    return read_settings(checkout.env).inference[0]


def _pods(checkout: Checkout, labels: dict[str, str]) -> set[str]:
    namespace = _stack(checkout).namespace
    listed = staying(get(checkout, "pods", "-n", namespace, "-l", selected(labels)))
    return {pod["metadata"]["name"] for pod in listed}


def _rolled_out(
    checkout: Checkout,
    change: dict[str, Any],
    labels: dict[str, str],
    grace_seconds: int,
    folder: Path,
) -> dict[str, Any]:
    """A client's report of the rollout that a change makes, to the old pods' end.

    Args:
        checkout: The stack.
        change: Parameters of its inference stack.
        labels: Those of the pods that it replaces.
        grace_seconds: What these have for their end.
        folder: For the client's files.
    """
    namespace = _stack(checkout).namespace
    timeout = f"--timeout={grace_seconds + _SLACK_SECONDS}s"
    # An `up` is over once the new pods are ready, which an earlier one's last old pod may outlive.
    of_these = ("-n", namespace, "-l", selected(labels), timeout)
    checkout.kubectl("rollout", "status", "deployment", *of_these).ok()
    old = _pods(checkout, labels)
    checkout.set_config(inference=[change])
    with BurstProcess.start(gateway_address(checkout.env), window=WINDOW, folder=folder) as client:
        checkout.up().ok()
        gone = [f"pod/{name}" for name in sorted(old)]
        checkout.kubectl("wait", "--for=delete", "-n", namespace, timeout, *gone).ok()
        report = client.stop()
    new = _pods(checkout, labels)
    assert len(new) == len(old)
    assert not new & old
    # kubelet tells of a hook that failed, and of one that it did not wait for.
    failed = get(checkout, "events", "-n", namespace, "--field-selector=reason=FailedPreStopHook")
    assert [e["message"] for e in failed if e["involvedObject"]["name"] in old] == []
    return report


def test_a_gateways_rollout_fails_no_call_and_moves_the_connection(
    changing: Checkout, tmp_path: Path
) -> None:
    stack = _stack(changing)
    change = {"gateway": {"dnsRefreshSeconds": stack.gateway.dns_refresh_seconds / 2}}
    report = _rolled_out(
        changing, change, gateway_selector(stack), stack.gateway_grace_seconds, tmp_path
    )
    none_failed(report)
    assert report["connections_opened"] > 1


def test_tritons_rollout_fails_no_call_and_leaves_the_connection_alone(
    changing: Checkout, tmp_path: Path
) -> None:
    stack = _stack(changing)
    change = {"triton": {"cpu": stack.triton.cpu * 2}}
    report = _rolled_out(
        changing, change, triton_selector(stack), stack.triton_grace_seconds, tmp_path
    )
    none_failed(report)
    assert report["connections_opened"] == 1
