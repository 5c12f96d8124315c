"""The dev stack on a local cluster that serves: a real node, real containers, real calls.

Where the machine lacks what a node needs nothing here is collected, and `make test` says so.
"""

from collections.abc import Iterator

import pytest

from local_cluster.serving import machine
from tests.integration.checkout import Checkout, Ran
from tests.serving.containerd import Containerd
from tests.serving.machine import Machine, look

collect_ignore_glob = ["test_*.py"] if machine.missing_prerequisites() else []


@pytest.fixture(scope="session")
def users_containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd that has run on the machine since before there was a node."""
    with Containerd.start(tmp_path_factory.mktemp("containerd")) as found:
        yield found


@pytest.fixture(scope="session")
def machine_before(users_containerd: Containerd) -> Machine:
    """State of the machine before any part of the node was started."""
    assert users_containerd.answers()
    return look()


@pytest.fixture(scope="session")
def provisioning(
    machine_before: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Checkout, Ran]]:
    """A checkout whose dev stack was provisioned by `make up LOCAL=serving`, and what it said."""
    assert machine_before.mounts
    checkout = Checkout.make(tmp_path_factory.mktemp("serving"))
    checkout.extra["LOCAL"] = "serving"
    try:
        yield checkout, checkout.up().ok()
    finally:
        checkout.ops("down").ok()


@pytest.fixture(scope="session")
def served(provisioning: tuple[Checkout, Ran]) -> Checkout:
    """Return the provisioned checkout."""
    return provisioning[0]
