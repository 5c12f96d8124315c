"""The README's two commands: `make up` prints what the README shows, `make test` runs the tests.

With `--update-golden` the README is rewritten from what `make up` printed.
"""

import re

import pytest

from config.base import PROJECT
from ops.documents import README, fenced, part, with_part
from tests.integration.checkout import Checkout, Ran


def test_up_ends_as_the_readme_shows(
    provisioning: tuple[Checkout, Ran], request: pytest.FixtureRequest
) -> None:
    _, ran = provisioning
    _, began, rest = ran.stdout.partition(f"\nStack {PROJECT}-dev\n")
    assert began, ran.output
    printed = fenced(began.strip("\n") + "\n" + rest.rstrip("\n"))
    if request.config.getoption("--update-golden"):
        README.write_text(with_part(README.read_text(), "up", printed))
    assert part(README.read_text(), "up") == printed


def test_test_runs_what_it_is_given_and_ends_in_the_count_of_what_passed(
    provisioned: Checkout,
) -> None:
    """One file's tests: that all of them pass is what `make test` itself says."""
    file = "tests/unit/test_labels.py"
    for ran in (provisioned.target("test", ARGS=file), provisioned.target("test-quick", ARGS=file)):
        *_, last = ran.ok().stdout.splitlines()
        assert re.fullmatch(r"(=+ )?\d+ passed in [\d.]+s( =+)?", last), last
