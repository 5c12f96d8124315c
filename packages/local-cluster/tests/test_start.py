"""Arguments at the start of a cluster: ports, mode, kwokctl's file."""

import socket
from pathlib import Path

import pytest
import yaml

from local_cluster import modes, ports, toolchain
from local_cluster.cluster import Cluster
from local_cluster.control_plane import ControlPlane
from local_cluster.errors import LocalClusterError
from local_cluster.paths import Paths
from local_cluster.record import Record
from local_cluster.spec import ClusterSpec


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    first = ports.choose(tmp_path)
    assert ports.choose(tmp_path, first) == first
    assert set(first) == set(ports.ROLES)
    assert len(set(first.values())) == len(ports.ROLES)
    assert all(ports.FIRST <= port <= ports.LAST for port in first.values())


def test_only_a_taken_port_is_replaced(tmp_path: Path) -> None:
    first = ports.choose(tmp_path)
    with socket.create_server(("127.0.0.1", first["etcdPort"])):
        second = ports.choose(tmp_path, first)
    assert {role for role in ports.ROLES if first[role] != second[role]} == {"etcdPort"}


def test_clusters_in_different_folders_begin_with_different_ports(tmp_path: Path) -> None:
    one, two = ports.choose(tmp_path / "one"), ports.choose(tmp_path / "two")
    assert not set(one.values()) & set(two.values())


def test_without_a_selected_mode_the_cluster_keeps_its_mode() -> None:
    assert modes.choose(None, None) is modes.SIMULATED
    assert modes.choose(None, "simulated") is modes.SIMULATED
    assert modes.choose(None, "serving") is modes.SERVING
    assert modes.choose("simulated", "serving") is modes.SIMULATED


@pytest.mark.parametrize(
    ("asked", "made_as", "says"),
    [
        ("docker", None, "LOCAL=docker is not a kind of local cluster"),
        (None, "docker", "was created as docker, which this version does not know"),
    ],
)
def test_an_unknown_mode_is_refused_in_one_message_with_the_fix(
    asked: str | None, made_as: str | None, says: str
) -> None:
    with pytest.raises(LocalClusterError, match=says) as refused:
        modes.choose(asked, made_as)
    assert "LOCAL=simulated" in str(refused.value)


def test_a_cluster_that_may_not_change_stays_untouched_if_another_mode_is_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure(*names: str) -> None:
        raise AssertionError(f"{names} were looked for")

    monkeypatch.setattr(toolchain, "ensure", ensure)
    cluster = Cluster(tmp_path, "simulated", up_command="make up")
    cluster.paths.root.mkdir()
    Record(mode="serving", cluster_id="x", ports={}, launch="y").write(cluster.paths.record)
    before = cluster.paths.record.read_text()
    with pytest.raises(LocalClusterError) as refused:
        cluster.up(ClusterSpec(), reshape=False)
    said = str(refused.value)
    assert said.startswith("the local cluster was created as serving, and LOCAL=simulated asks for")
    assert "Only `make up` replaces it" in said
    assert said.endswith("Unset it, or set LOCAL=serving.")
    assert cluster.paths.record.read_text() == before
    assert list(tmp_path.iterdir()) == [cluster.paths.root]


@pytest.fixture
def plane(tmp_path: Path) -> ControlPlane:
    return ControlPlane(paths=Paths(tmp_path), mode=modes.SIMULATED, report=lambda _: None)


TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
PATHS = {tool: Path("/tools", tool) for tool in (*TOOLS, "kubectl", "kwokctl")}


def test_kwokctl_is_given_every_binary_and_listens_on_loopback_alone(plane: ControlPlane) -> None:
    chosen = ports.choose(plane.paths.root)
    options = yaml.safe_load(plane.kwokctl.configuration(chosen))["options"]
    assert {v for k, v in options.items() if k.endswith("Binary")} == {
        f"bin/{tool}" for tool in (*TOOLS, "kubectl")
    }
    assert options["bindAddress"] == "127.0.0.1"
    assert {role: options[role] for role in ports.ROLES} == chosen


def test_the_launch_changes_with_a_tool_a_port_or_the_folder(plane: ControlPlane) -> None:
    chosen = ports.choose(plane.paths.root)
    moved = ControlPlane(paths=Paths(Path("/moved")), mode=plane.mode, report=plane.report)
    launches = [
        plane.launch_of(chosen, PATHS),
        plane.launch_of({**chosen, "etcdPort": 1}, PATHS),
        plane.launch_of(chosen, {**PATHS, "etcd": Path("/tools/newer/etcd")}),
        plane.launch_of(chosen, {**PATHS, "kwokctl": Path("/tools/newer/kwokctl")}),
        moved.launch_of(chosen, PATHS),
    ]
    assert len(set(launches)) == len(launches)
    assert plane.launch_of(chosen, PATHS) == launches[0]


def test_an_incomplete_record_counts_as_missing(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    record = Record(mode="simulated", cluster_id="x", ports={"etcdPort": 1}, launch="y")
    record.write(file)
    assert Record.read(file) == record
    assert file.stat().st_mode & 0o077 == 0
    file.write_text(file.read_text()[:-5])
    assert Record.read(file) is None
    assert Record.read(tmp_path / "none") is None
