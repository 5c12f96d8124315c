"""Distribution of the tests to processes, with processes that run nothing."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.sharing import SLOWEST, Sharing, name_group

PROJECT = Path(__file__).parents[2]

STACK, EMPTY, BOTH = "provisioning", "started", "provisioning+started"
FILES = {
    "both.py": {"test_a": BOTH},
    "stack_1.py": {"test_a": STACK, "test_b": STACK, "test_c": STACK},
    "stack_2.py": {"test_a": STACK, "test_b": STACK, "test_c": STACK},
    "empty_1.py": {"test_a": EMPTY, "test_b": EMPTY, "test_c": EMPTY},
    "empty_2.py": {"test_a": EMPTY, "test_b": EMPTY, "test_c": EMPTY},
    "mixed.py": {"test_a[x@y]": "", "test_b": EMPTY},
    "none_1.py": {"test_a": "", "Test::test_b": "", "test_c": ""},
    "none_2.py": {"test_a": "", "test_b": "", "test_c": ""},
}
TESTS = [
    f"{file}::{name}" + (f"@{group}" if group else "")
    for file, tests in FILES.items()
    for name, group in tests.items()
]


class Process:
    """A process that keeps what it is told to run."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.todo: list[int] = []
        self.ran: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.todo += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def run(number: int) -> list[Process]:
    """Distribute the tests to so many processes, each of which is as fast as the others."""
    value = {"tx": [f"{number}*popen"]}.get
    option = SimpleNamespace(loadscopereorder=False, maxprocesses=None)
    scheduler = Sharing(SimpleNamespace(getvalue=value, option=option))
    processes = [Process(f"gw{i}") for i in range(number)]
    for process in processes:
        scheduler.add_node(process)
    for process in processes:
        scheduler.add_node_collection(process, TESTS)
    scheduler.schedule()
    while any(process.todo for process in processes):
        for process in processes:
            if process.todo:
                index = process.todo.pop(0)
                process.ran.append(TESTS[index])
                scheduler.mark_test_complete(process, index)
    return processes


def groups(process: Process) -> list[str]:
    """Groups of the tests that a process ran, without repetitions."""
    found = [test.partition("@")[2] if "]" not in test else "" for test in process.ran]
    return [one for one, before in zip(found, [None, *found], strict=False) if one != before]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 20])
def test_every_test_runs_once(number: int) -> None:
    ran = [test for process in run(number) for test in process.ran]
    assert sorted(ran) == sorted(TESTS)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_tests_of_a_file_that_use_the_same_cluster_run_in_one_process(number: int) -> None:
    for file in FILES:
        for group in {*FILES[file].values()}:
            ran_by = {
                process.gateway.id
                for process in run(number)
                for test in process.ran
                if test.startswith(f"{file}::") and FILES[file][_name(test)] == group
            }
            assert len(ran_by) == 1, (file, group)


def _name(test: str) -> str:
    name = test.partition("::")[2]
    return name if "]" in name else name.partition("@")[0]


def test_with_a_process_for_each_each_cluster_is_made_once() -> None:
    both, stack, empty, others = run(4)
    assert groups(both)[0] == BOTH
    assert groups(stack)[0] == STACK
    assert groups(empty)[0] == EMPTY
    assert groups(others)[0] == ""


def test_one_process_takes_all_files_of_a_cluster_before_others() -> None:
    (process,) = run(1)
    assert groups(process) == [BOTH, STACK, EMPTY, ""]


def test_a_process_that_has_nothing_else_to_do_takes_files_of_another_ones_cluster() -> None:
    ran = [{test.partition("::")[0] for test in process.ran} for process in run(20)]
    assert {"stack_1.py"} in ran
    assert {"stack_2.py"} in ran


def test_the_slowest_files_exist() -> None:
    assert [file for file in SLOWEST if not (PROJECT / file).is_file()] == []


@pytest.mark.parametrize("_", ["x@y"])
def test_the_id_of_a_test_ends_in_the_clusters_that_it_uses(
    request: pytest.FixtureRequest, _: str
) -> None:
    item = copy.copy(request.node)
    item.fixturenames = ["tmp_path", EMPTY, STACK]
    name_group(item)
    assert item.nodeid.endswith(f"uses[x@y]@{BOTH}")
    assert not request.node.nodeid.endswith(BOTH)
