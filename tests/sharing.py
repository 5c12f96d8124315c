"""Distribution of tests to processes: those that share a cluster go to the process that has it."""

import pytest
from _pytest.nodeid import NodeId
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

CLUSTERS = ("provisioning", "started")
"""Fixtures that cost most: a cluster each, the first with a stack."""

SLOWEST = (
    "tests/integration/test_eks_stacks.py",
    "tests/integration/test_failures.py",
    "tests/integration/test_targets.py",
    "tests/integration/test_stack.py",
    "tests/integration/test_rollback.py",
    "tests/integration/test_other_stack.py",
    "tests/integration/test_other_cluster.py",
    "tests/integration/test_local_cluster_healing.py",
    "tests/integration/test_evictions.py",
    "tests/integration/test_bench.py",
    "tests/integration/test_karpenter_stack.py",
)
"""Files that take longest, in this order; a wrong order costs time and nothing else."""

_GROUPED, _AND = "@", "+"


def clusters(item: pytest.Item) -> str:
    """Name the clusters that a test uses, `""` if it uses none of those that others use, too."""
    return _AND.join(name for name in CLUSTERS if name in getattr(item, "fixturenames", ()))


def place(item: pytest.Item) -> int:
    """Return the place of a test: the slowest files start first, so that no process ends late."""
    file = item.nodeid.partition("::")[0]
    if file in SLOWEST:
        return SLOWEST.index(file)
    is_slow = item.get_closest_marker("tools") or file.startswith("tests/integration/")
    return len(SLOWEST) if is_slow else len(SLOWEST) + 1


def name_group(item: pytest.Item) -> None:
    """Append the clusters that a test uses to its ID, by which the scheduler knows it.

    pytest-xdist 3.8 does so for its groups, but by an attribute that pytest 9.2 does not read.
    """
    if group := clusters(item):
        item._id = NodeId(path=item._id.path, names=(f"{item._id.rest}{_GROUPED}{group}",))


class Sharing(LoadGroupScheduling):
    """Hands out files; where only a part of a file's tests uses a cluster, the part.

    Each process first takes files for the clusters that it has. If none is left, it takes files for
    clusters that no process has, then files that need none, and last files for clusters that other
    processes have, for which it needs clusters of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        file = nodeid.partition("::")[0]
        return file if group == nodeid else f"{file}{_GROUPED}{group}"

    def _assign_work_unit(self, node: WorkerController) -> None:
        begun = {other: {*map(_group, files)} - {""} for other, files in self.assigned_work.items()}
        own, everywhere = begun[node], set[str]().union(*begun.values())

        def distance(scope: str) -> int:
            needed = _group(scope)
            if not needed:
                return 2
            if any({*needed.split(_AND)} <= {*held.split(_AND)} for held in own):
                return 0
            return 3 if needed in everywhere else 1

        self.workqueue.move_to_end(min(self.workqueue, key=distance), last=False)
        super()._assign_work_unit(node)


def _group(scope: str) -> str:
    return scope.partition(_GROUPED)[2]
