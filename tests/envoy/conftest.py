"""The bed on which every claim about the gateway is tried."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.envoy.harness.bed import Bed, open_bed


@pytest.fixture
def bed(tmp_path: Path) -> Callable[..., AbstractContextManager[Bed]]:
    """`open_bed` with a folder of its own."""
    return partial(open_bed, tmp_path)
