"""Fixtures that every test may use: `declare` (Pulumi mocks) and `golden` (recorded text)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from local_cluster.modes import MODE_VARIABLE, SIMULATED
from tests import recording, sharing

# The user's mode must not reach the tests: those of the serving cluster ask for it.
os.environ[MODE_VARIABLE] = SIMULATED.name

QUICK, WHOLE = "quick", "whole"
settings.register_profile(QUICK, max_examples=20, deadline=None, derandomize=True)
settings.register_profile(WHOLE, max_examples=100, deadline=None)
# `make test-quick` loads the other one, by the option of hypothesis's own plugin.
settings.load_profile(WHOLE)

TOOL_FIXTURES = {"holds", "keda_schema", "promtool", "understood"}
"""Fixtures that talk to a real tool; their tests are marked `tools`."""

GOLDEN = Path(__file__).parent / "golden"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> sharing.Sharing:
    return sharing.Sharing(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if TOOL_FIXTURES & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.tools)
    if hasattr(config, "workerinput"):
        items.sort(key=sharing.place)
        for item in items:
            sharing.name_group(item)


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
