"""The dev stack on a local cluster that serves: a real node, real containers, real calls.

Where the machine lacks what a node needs nothing here is collected, and `make test` says so.
"""

from collections.abc import Iterator

import pytest

from local.serving import machine
from tests.integration.checkout import Checkout
from tests.serving.machine import Machine, look

collect_ignore_glob = ["test_*.py"] if machine.lacking() else []


@pytest.fixture(scope="session")
def machine_before() -> Machine:
    """What the machine was like before anything of it was started."""
    return look()


@pytest.fixture(scope="session")
def served(machine_before: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose dev stack was provisioned by `make up LOCAL=serving`."""
    assert machine_before.mounts
    checkout = Checkout.make(tmp_path_factory.mktemp("serving"))
    checkout.extra["LOCAL"] = "serving"
    try:
        checkout.up().ok()
        yield checkout
    finally:
        checkout.ops("down").ok()
