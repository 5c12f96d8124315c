from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.checkout import Checkout


@pytest.fixture(scope="module")
def provisioned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout in which `make up` has run once; its cluster goes away with it."""
    checkout = Checkout.make(tmp_path_factory.mktemp("checkout"))
    try:
        checkout.up().ok()
        yield checkout
    finally:
        checkout.ops("down").ok()


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in which nothing has run yet."""
    checkout = Checkout.make(tmp_path / "checkout")
    try:
        yield checkout
    finally:
        checkout.ops("down").ok()
