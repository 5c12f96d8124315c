"""Fixtures that every test may use: `declare` (Pulumi mocks) and `golden` (recorded text)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from local.modes import MODE_VARIABLE, SIMULATED
from tests import recording

# Whoever runs the tests: those of the cluster that serves ask for it themselves.
os.environ[MODE_VARIABLE] = SIMULATED.name

GOLDEN = Path(__file__).parent / "golden"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What goes to one process, where there are several: a module's tests share its fixtures.

    Those of the local cluster share what costs most, which is a provisioned stack.
    """
    for item in items:
        folder = item.path.parent
        together = folder if folder.name == "integration" else item.path
        item.add_marker(pytest.mark.xdist_group(str(together.relative_to(item.config.rootpath))))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the files in tests/golden"
    )


@pytest.fixture
def declare() -> Callable[..., recording.Declared]:
    """`recording.declare`: run a program under Pulumi's mocks, hand back what it declared."""
    return recording.declare


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with `tests/golden/<name>`; `--update-golden` rewrites the file instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        recorded = path.read_text(encoding="utf-8") if path.exists() else ""
        assert text == recorded, f"{name} changed; look at the diff, then run with --update-golden"

    return compare
