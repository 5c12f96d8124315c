"""The end of the cluster, of the stack and of the node, in this order: the last tests of a session.

Not shown here: an end that KEDA does not live to see. Its finalizer then keeps the ScaledObject,
until KEDA is back or somebody takes it away by hand.
"""

import os
import signal
from pathlib import Path

import psutil

from config.prometheus import ManagedPrometheus
from eventflow.outcomes import Outcome
from local import processes
from ops.load.client import Client
from ops.serving import gateway_address
from ops.stack import read_settings
from tests.integration.checkout import Checkout
from tests.serving.accounts import WINDOW, accounted
from tests.serving.cluster import Deletions, cluster, ours
from tests.serving.machine import Machine, look


def test_a_node_that_was_killed_comes_back_with_what_was_in_it(served: Checkout) -> None:
    box = cluster(served)
    before = box.cluster_id()
    (first,) = processes.find(box.paths.root)["node-init"]
    inside = {child.pid for child in first.children(recursive=True)}
    assert inside
    os.kill(first.pid, signal.SIGKILL)
    first.wait(timeout=30)
    # The kernel ends with the first process all that is in its namespace.
    assert not any(psutil.pid_exists(pid) for pid in inside)
    served.up().ok()
    assert box.cluster_id() == before
    assert "echo 1 answered in" in served.ops("infer").ok().stdout


def test_destroy_under_load_takes_the_scaler_away_first_and_leaves_nothing(
    served: Checkout, tmp_path: Path
) -> None:
    """That a destroy ends at all is the proof that no finalizer is waited for in vain."""
    settings = read_settings(served.env)
    stack, watch = settings.inference[0], settings.prometheus
    assert isinstance(watch, ManagedPrometheus)
    deletions = Deletions.watch(served)
    with Client.start(gateway_address(served.env), window=WINDOW, folder=tmp_path) as client:
        served.ops("destroy").ok()
        report = client.stop()
    ended = accounted(report)
    # It went on to the end, when there was nobody any more to answer.
    assert ended.keys() >= {Outcome.OK, Outcome.CONNECTION_LOST}
    assert ours(served, {stack.namespace, watch.namespace}) == set()

    gone = deletions.seen()
    scaler = gone[f"ScaledObject/{stack.scaler_name}"]
    assert scaler.ended
    needed_by_it = (
        f"Deployment/{stack.deployment_name}",
        f"Deployment/{stack.gateway_name}",
        f"Deployment/{watch.name}",
    )
    for name in needed_by_it:
        assert scaler.ended < gone[name].began, name
    for name, deletion in gone.items():
        assert deletion.ended, f"{name} is still there"
        if name.startswith("Namespace/"):
            assert deletion.began > max(gone[needed].ended or 0 for needed in needed_by_it)

    served.up().ok()
    assert "echo 1 answered in" in served.ops("infer").ok().stdout


def test_down_leaves_the_machine_as_it_was(machine_before: Machine, served: Checkout) -> None:
    root = cluster(served).paths.root
    during = look()
    assert during.sysctls == machine_before.sysctls
    assert during.mounts == machine_before.mounts
    assert during.interfaces == machine_before.interfaces
    assert during.cgroups > machine_before.cgroups
    served.ops("down").ok()
    assert look() == machine_before
    assert not root.exists()
    assert not processes.find(root)
