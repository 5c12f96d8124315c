"""The error of a failed program ends with its last lines of output."""

import sys
from pathlib import Path

import pytest

from local_cluster import commands
from local_cluster.errors import LocalClusterError

_LINES = [str(number) for number in range(100)]


def test_the_error_of_a_failed_program_ends_with_its_last_lines_of_output(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    # Both ends go into one text, in the order in which they were written.
    script.write_text(f"import sys\nprint(*{_LINES}, sep='\\n', flush=True)\nsys.exit('the end')")
    with pytest.raises(LocalClusterError) as failure:
        commands.run([sys.executable, script], "it failed")
    head, *rest = str(failure.value).splitlines()
    assert head == "it failed:"
    assert [line.strip() for line in rest] == [*_LINES[-7:], "the end"]


def test_a_successful_program_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands.run([sys.executable, "-c", "open('made', 'w'); print('noise')"], "it failed", tmp_path)
    assert (tmp_path / "made").exists()
    assert capfd.readouterr() == ("", "")


def test_a_log_is_named_and_may_be_missing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert commands.tail(log) == str(log)
    log.write_text("\n".join(_LINES))
    assert commands.tail(log).splitlines() == [str(log), *(f"  {line}" for line in _LINES[-8:])]
