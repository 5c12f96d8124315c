"""Commands in the documents name targets, parameters and labels that exist.

Not shown: that AWS, kubectl or Pulumi accept their flags.
"""

import re
from collections.abc import Iterator

import pytest

from components.common.labels import STACK_LABEL
from components.rollout.node_groups import drain_command
from config.schema.tree import locate, split
from config.sections.node_groups import FIRST_GROUP
from ops.lint.rules import read_files
from ops.stack.environment import PROJECT

COMMANDS = ("make", "pulumi", "kubectl", "aws")


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """Each command line of a shell block, with its file."""
    documents = {name: text for name, text in read_files(PROJECT).items() if name.endswith(".md")}
    found = [(name, line) for name, text in documents.items() for line in _commands(text)]
    assert {line.split()[0] for _, line in found} >= set(COMMANDS)
    return found


def _commands(text: str) -> Iterator[str]:
    for block in re.findall(r"^ *```(?:sh)?\n(.*?)^ *```$", text, flags=re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.partition("  #")[0].strip()
            if command.partition(" ")[0] in COMMANDS:
                yield command


def test_every_make_target_exists(lines):
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for file, line in lines:
        words = line.split()
        if words[0] == "make":
            named = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
            assert set(named) <= targets, (file, line)


def test_every_stated_parameter_exists(lines):
    paths = [
        (file, path)
        for file, line in lines
        for path in re.findall(r"'kubemind-inference:([^']+)'", line)
    ]
    assert any("groups[0].releaseVersion" in path for _, path in paths)
    for file, path in paths:
        assert locate(split(path)).field is not None, (file, path)


def test_selectors_are_the_labels_that_the_stack_sets(lines):
    text = "\n".join(line for _, line in lines)
    assert drain_command(FIRST_GROUP) in text
    document = (PROJECT / "docs" / "eks.md").read_text()
    assert f"kubectl get namespaces --selector {STACK_LABEL}=prod " in document
