"""Fixtures that every test may use: `declare` (Pulumi mocks) and `golden` (recorded text)."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from local_cluster.modes import MODE_VARIABLE, SIMULATED
from tests import recording

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
INTEGRATION = "tests/integration/"

SHARED = ("provisioning", "started")
"""Fixtures that cost most: a cluster each, the first with a stack. One process has each of them;
the tests that use both belong to the first."""


class Sharing(LoadGroupScheduling):
    """Keeps tests that share fixtures in one process: those of a group, else those of a file."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid).partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = {*getattr(item, "fixturenames", ())}
        if TOOL_FIXTURES & fixtures:
            item.add_marker(pytest.mark.tools)
        if group := next((name for name in SHARED if name in fixtures), None):
            item.add_marker(pytest.mark.xdist_group(group))
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    """Return the place of a test: the longest groups start first, so that no process ends late."""
    if group := item.get_closest_marker("xdist_group"):
        return SHARED.index(group.args[0])
    slow = item.get_closest_marker("tools") or item.nodeid.startswith(INTEGRATION)
    return len(SHARED) if slow else len(SHARED) + 1


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
