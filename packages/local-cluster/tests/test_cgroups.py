"""Requests to the kernel for the node's cgroup, on a stand-in for version 2.

Not shown: a kernel's answers. Version 1's are shown by tests/serving, on machines that have it.
"""

from pathlib import Path

import pytest

from local_cluster.serving import cgroups


def test_the_controllers_that_kubelet_requires_are_delegated_from_the_root_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine where no container ran: systemd hands on a few, and never hugetlb."""
    for folder, has, hands_on in (
        (tmp_path, "cpuset cpu io memory hugetlb pids rdma", "cpu memory"),
        (tmp_path / "ours", "cpuset cpu memory hugetlb pids", ""),
    ):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text(has)
        (folder / "cgroup.subtree_control").write_text(hands_on)
    asked: dict[str, list[str]] = {}

    def ask(file: Path, text: str) -> None:
        asked.setdefault(str(file.parent.relative_to(tmp_path)), []).append(text)
        if text == "+cpuset":
            raise OSError("it does not take this one")

    monkeypatch.setattr(cgroups, "_MOUNT", tmp_path)
    monkeypatch.setattr(Path, "write_text", ask)
    assert cgroups.make("ours") == [tmp_path / "ours" / "node" / "cgroup.procs"]
    assert asked == {
        ".": ["+cpuset", "+hugetlb", "+pids"],
        "ours": ["+cpu", "+cpuset", "+hugetlb", "+memory", "+pids"],
    }
