"""The stacks that the benchmark of provisioning counts up to; its measuring: integration."""

from pathlib import Path

import pytest

from bench.provisioning import with_stacks
from config.load import parse, read_stack_file
from config.settings import Settings
from ops.stack.environment import PROJECT


@pytest.fixture
def stacks(tmp_path: Path):
    """Dev's parameters with so many stacks, after every check."""

    def read(count: int) -> Settings:
        file = tmp_path / "Pulumi.dev.yaml"
        file.write_text(with_stacks((PROJECT / file.name).read_text(), count))
        return parse(read_stack_file(file))

    return read


def test_one_stack_and_twenty_pass_the_checks_and_run_on_the_same_nodes(stacks):
    one, twenty = stacks(1), stacks(20)
    assert [len(settings.inference) for settings in (one, twenty)] == [1, 20]
    assert one.gpu_nodes == twenty.gpu_nodes
    assert one.platform == twenty.platform
