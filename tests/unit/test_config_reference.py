"""The table of parameters is whole, and the baseline's own numbers are refused."""

import re

import pytest

from config.load import Refused, parse, read_stack_file
from config.schema import reference
from config.schema.reference import BASELINE_FILE, Row, baseline_refusal, parameter_tables, rows
from config.schema.tree import leaves


def test_every_parameter_is_in_the_table_with_a_meaning():
    listed = {row.path for row in rows()}
    assert {leaf.path for leaf in leaves()} <= listed
    assert all(row.meaning and row.kind and row.default for row in rows())


@pytest.mark.parametrize(
    "line",
    [
        "| `inFlight.maxRequests` | integer >= 1, <= 1000000 | `100` | Calls in flight through one "
        "gateway. Only with kind `static`. |",
        "| `capacity` | mapping | unset |",
        "| `capacity.cpu` | number >= 1, <= 4096 | required |",
        "| `labels` | mapping | `{}` |",
        "| `threshold` | number >= 0.01, <= 1000000 | `16` |",
        "| `enabled` | boolean | unset |",
        "| `tier` | `dev` or `staging` or `prod` | `dev` |",
    ],
)
def test_the_tables_say_type_bounds_and_default(line: str):
    assert line in parameter_tables()


def test_every_line_of_a_table_is_a_whole_row():
    lines = [line for line in parameter_tables().splitlines() if not line.startswith("**")]
    table = [line for line in lines if line]
    assert len(table) > len(rows())
    for line in table:
        assert line.startswith("| "), line
        assert line.endswith(" |"), line
        assert len(re.findall(r"(?<!\\)\|", line)) == 5, line


def test_a_bar_and_a_line_break_stay_inside_their_cell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "rows", lambda: [Row("tier", "a | b", "`a`", "One\n  or two.")])
    assert parameter_tables().endswith("\n| `tier` | a \\| b | `a` | One or two. |")


def test_the_baselines_literal_numbers_are_refused_by_reach():
    with pytest.raises(Refused) as caught:
        parse(read_stack_file(BASELINE_FILE), source="stack seed")
    assert [problem.check for problem in caught.value.problems] == ["reach"]


def test_the_baselines_refusal_is_recorded(golden):
    golden("config/baseline_refusal.txt", baseline_refusal() + "\n")
