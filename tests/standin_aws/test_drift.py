"""Drift of node groups in AWS, and the `up` that takes it back.

The real CLI and engine, and a stand-in provider. Not shown: the fields that the real provider names
in a refresh, and drift of Kubernetes objects (tests/integration/test_drift.py).
"""

import pytest

from config.sections.node_groups import GROUP_LABEL
from ops.stack.drift import drift
from ops.stack.environment import StackEnvironment
from tests.standin_aws.bed import Bed
from tests.standin_aws.world import NODE_GROUP, WORLD_VARIABLE


@pytest.fixture(scope="module")
def bed(tmp_path_factory) -> Bed:
    bed = Bed.make(tmp_path_factory.mktemp("drift"), min_size=2, max_size=6)
    bed.up()
    return bed


def test_an_autoscalers_move_is_no_drift_and_a_change_in_the_console_is(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
):
    # `drift` finds relative paths as the program does, and changes the folder of this process.
    monkeypatch.chdir(bed.folder)
    monkeypatch.setenv("PATH", bed.variables["PATH"])
    extra = {WORLD_VARIABLE: str(bed.world.file)}
    env = StackEnvironment(stack="dev", project=bed.folder, extra=extra)
    bed.world.scale(bed.group()["nodeGroupName"], 5)
    assert drift(env) == []
    with bed.world.change() as world:
        (group,) = world["resources"][NODE_GROUP].values()
        group["scalingConfig"]["maxSize"] = 9
        group["labels"][GROUP_LABEL] = "theirs"
    before = bed.world.read(), (bed.folder / ".state" / "pulumi").stat()
    (line,) = drift(env)
    assert line.startswith("aws:eks/nodeGroup:NodeGroup gpu-nodes differs: ")
    assert "scalingConfig.maxSize" in line
    assert f"labels.{GROUP_LABEL}" in line
    assert (bed.world.read(), (bed.folder / ".state" / "pulumi").stat()) == before
    # As every `up` of the project does (`options.refresh`).
    bed.up(refresh=True)
    assert bed.sizes() == (2, 5, 6)
    assert bed.group()["labels"][GROUP_LABEL] == "gpu"
    assert drift(env) == []
