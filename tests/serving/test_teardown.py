"""The end of the cluster, of the stack and of the node, in this order: the last tests of a session.

Not shown here: an end that KEDA does not live to see. Its finalizer then keeps the ScaledObject,
until KEDA is back or somebody takes it away by hand.
"""

import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from bench.overload.burst_process import BurstProcess
from config.sections.prometheus import ManagedPrometheus
from eventflow.outcomes import Outcome
from local_cluster import modes, processes
from local_cluster.serving import layout
from ops.stack.lifecycle import read_settings
from ops.stack.serving import gateway_address
from tests.envoy.harness.waiting import wait_until
from tests.integration.checkout import Checkout
from tests.serving.accounts import WINDOW, accounted, none_failed
from tests.serving.cluster import Deletions, cluster, get, ours
from tests.serving.containerd import Containerd
from tests.serving.machine import Machine, lasting_changes, look, namespaces
from tests.serving.previous import previous_release, provision

_MUST_STAY = re.compile("(Deployment|Service|ScaledObject|Namespace)::")


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
    """A destroy that ends is the proof that it waits for no finalizer in vain.

    By `make destroy`; bare `pulumi destroy` keeps no order between the scaler and what it reads.
    """
    settings = read_settings(served.env)
    stack, watch = settings.inference[0], settings.prometheus
    assert isinstance(watch, ManagedPrometheus)
    deletions = Deletions.watch(served)
    with BurstProcess.start(gateway_address(served.env), window=WINDOW, folder=tmp_path) as client:
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


# On a machine without the previous release's tools, its `up` builds some of them.
@pytest.mark.timeout(2400)
def test_the_previous_releases_stack_is_upgraded_without_a_replacement_or_a_lost_call(
    served: Checkout, tmp_path: Path
) -> None:
    """Not shown: an upgrade of a stack that is not dev, of which only the goldens tell."""
    # Where the test before this one did not run: an older release takes no newer one's state over.
    served.ops("destroy").ok()
    with previous_release(served):
        provision(served)
    # The local cluster restarts where its processes take other arguments than in that release. A
    # restart loses calls, and is no part of the stack's upgrade.
    served.ops("cluster").ok()
    wait_until("the previous release answers", lambda: served.ops("infer").code == 0, 120)
    # As bare `pulumi` asks for, once; `make up` does it by itself.
    served.ops("retain").ok()
    steps = served.preview_steps()
    # A ConfigMap that is named by its contents is never changed: the new one stands beside it.
    named = ("inference-triton-models", "inference-gateway-files", "prometheus-files")
    renamed = {f"kubernetes:core/v1:ConfigMap::{name}" for name in named}
    assert {name for name, step in steps.items() if "replace" in step} <= renamed
    assert not {n: s for n, s in steps.items() if s == "delete" and _MUST_STAY.search(n)}
    with BurstProcess.start(gateway_address(served.env), window=WINDOW, folder=tmp_path) as client:
        served.up().ok()
        report = client.stop()
    none_failed(report)
    assert served.preview_steps() == {}
    assert "echo 1 answered in" in served.ops("infer").ok().stdout


def _namespaces_of(node: Checkout) -> frozenset[str]:
    """Those that the node's processes are in, and none of the machine's other processes."""
    (first,) = processes.find(cluster(node).paths.root)["node-init"]
    found = namespaces([first, *first.children(recursive=True)]) - namespaces([psutil.Process()])
    assert {name.partition(":")[0] for name in found} == {"mnt", "net", "pid"}
    return found


def _wait_until_empty(inside: frozenset[str]) -> None:
    """A killed process may still be about to end."""
    wait_until(
        "nobody is left in the node's namespaces",
        lambda: not inside & namespaces(psutil.process_iter()),
    )


def test_down_leaves_the_machine_and_what_else_runs_on_it_as_they_were(
    machine_before: Machine, users_containerd: Containerd, served: Checkout
) -> None:
    """Not shown: a container of the user's, and a machine that lacks what earlier nodes left."""
    root = cluster(served).paths.root
    during = look().changes(machine_before)
    assert "cgroups" in during
    assert not during.keys() & {"sysctls", "mounts", "interfaces"}, during
    inside = _namespaces_of(served)
    served.ops("down").ok()
    assert lasting_changes(machine_before) == {}
    _wait_until_empty(inside)
    assert not root.exists()
    assert not processes.find(root)
    assert users_containerd.answers()


def test_another_kind_of_cluster_replaces_this_one_with_a_warning_and_leaves_nothing_of_its_node(
    machine_before: Machine, served: Checkout
) -> None:
    """Not shown: the way back, which is how any cluster is made."""
    served.ops("cluster").ok()
    inside = _namespaces_of(served)
    switched = served.ops("cluster", env={modes.MODE_VARIABLE: modes.SIMULATED.name}).ok()
    warning = "it was created as serving; recreating it as simulated, so all objects in it are lost"
    assert switched.output.count(warning) == 1
    record, root = cluster(served).record, cluster(served).paths.root
    assert record
    assert record.mode == modes.SIMULATED.name
    assert processes.find(root).keys() >= set(modes.SIMULATED.components)
    assert not processes.find(root).keys() & set(layout.PROCESSES)
    assert not (root / "node").exists()
    assert layout.NODE_NAME not in {node["metadata"]["name"] for node in get(served, "nodes")}
    assert lasting_changes(machine_before) == {}
    _wait_until_empty(inside)
