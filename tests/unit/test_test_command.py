"""`make test` builds all tools before the tests, and names at its end each test that failed."""

import os
import subprocess
import sys

import pytest

from local_cluster.toolchain.table import TABLE
from ops.commands.test import SERVING_TOOLS, TOOLS, failures

_TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no room")

def test_good(): pass

@pytest.mark.parametrize("number", [1, 2])
def test_bad(number):
    assert number == 1, "wrong\\nand more"

def test_without_its_fixture(broken): pass

@pytest.mark.skip(reason="not here")
def test_left_out(): pass
"""


@pytest.fixture
def report(tmp_path):
    """Report of a run of pytest with a failure and an error, as `make test` lets it write one."""
    (tmp_path / "test_some.py").write_text(_TESTS)
    path = tmp_path / "some.xml"
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, f"--junit-xml={path}", "."]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1
    return path


def test_each_failure_and_error_has_a_line(report):
    assert list(failures(report)) == [
        "failed: test_some::test_bad[2]: AssertionError: wrong",
        'failed: test_some::test_without_its_fixture: failed on setup with "OSError: no room"',
    ]


def test_a_run_that_ended_early_is_no_success(tmp_path):
    assert list(failures(tmp_path / "others.xml")) == [
        "failed: others: pytest ended without a report"
    ]


def test_no_tool_is_built_during_a_test():
    assert {tool.group for tool in TABLE.values()} == {*TOOLS, SERVING_TOOLS}
