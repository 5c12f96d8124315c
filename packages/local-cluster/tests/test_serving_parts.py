"""Parts of the serving cluster; `tests/serving` show that it serves."""

import os
import platform
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from local_cluster import modes
from local_cluster.errors import LocalClusterError
from local_cluster.serving import (
    archive,
    cgroups,
    debian,
    files,
    images,
    layout,
    machine,
    objects,
    triton,
)
from local_cluster.serving.archive import Part
from local_cluster.spec import ClusterSpec, Envoy
from local_cluster.toolchain.cache import Cache
from local_cluster.toolchain.prune import prune

ENVOY = Envoy(path=Path("/envoy"), version="1.40.0")
RECIPES = images.recipes(ENVOY)


def test_an_image_that_cannot_be_built_is_refused_by_the_place_that_names_it() -> None:
    named = {"pod a": RECIPES[0].name, "pod b": "docker.io/envoyproxy/envoy:v1.40.0"}
    with pytest.raises(LocalClusterError) as refused:
        images.require_known(ClusterSpec(images=named, envoy=ENVOY))
    said = str(refused.value)
    assert "pod b = docker.io/envoyproxy/envoy:v1.40.0" in said
    assert "pod a =" not in said
    assert "kubemind.local/envoy:1.40.0" in said
    assert "LOCAL=simulated" in said


def test_without_an_envoy_there_is_no_image_of_it() -> None:
    without = {recipe.repository for recipe in images.recipes()}
    assert {recipe.repository for recipe in RECIPES} - without == {"envoy"}


def test_no_image_has_a_name_that_a_registry_serves() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)
    assert all(recipe.name.startswith("kubemind.local/") for recipe in RECIPES)


def test_the_same_parts_make_the_same_image(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made: list[bytes] = []
    for name in ("one", "two"):
        file = tmp_path / name / "image.tar"
        file.parent.mkdir()
        archive.write(file, "kubemind.local/x:1", [Part(program, "bin/x")], {}, "1", ("/bin/x",))
        made.append(file.read_bytes())
        program.touch()
    assert made[0] == made[1]


def test_only_the_objects_that_keda_needs_to_run_are_applied_and_with_the_local_image() -> None:
    probes = {"livenessProbe": {}, "readinessProbe": {"initialDelaySeconds": 20}}
    container = {"image": "ghcr.io/kedacore/keda:latest", "resources": {"limits": {}}, **probes}
    stream: list[dict[str, object]] = [
        {"resources": ["role.yaml"]},
        {"kind": "ScaledObject", "metadata": {"name": "sample"}},
        {"kind": "ClusterRole", "metadata": {"name": "keda-operator"}},
        {
            "kind": "Deployment",
            "spec": {"template": {"spec": {"containers": [container]}}},
        },
    ]
    role, deployment = objects.keda(yaml.safe_dump_all(stream))
    assert role["kind"] == "ClusterRole"
    (ours,) = deployment["spec"]["template"]["spec"]["containers"]
    assert ours["image"] == images.KEDA.name
    assert ours["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize(("missing", "mode"), [("", modes.SERVING), ("root", modes.SIMULATED)])
def test_a_new_cluster_serves_if_the_machine_can(
    monkeypatch: pytest.MonkeyPatch, missing: str, mode: modes.Mode
) -> None:
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: missing)
    assert modes.best_here() is mode
    assert modes.choose(None, None, modes.best_here()) is mode
    assert modes.choose("simulated", None, modes.best_here()) is modes.SIMULATED
    assert modes.choose(None, "simulated", modes.best_here()) is modes.SIMULATED


def test_the_refusal_of_a_machine_names_the_missing_prerequisite(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "missing_prerequisites", lambda: "root, since it makes mounts")
    with pytest.raises(LocalClusterError, match=r"LOCAL=serving needs root.*LOCAL=simulated"):
        machine.require()


def test_clusters_in_different_folders_have_cgroups_of_their_own() -> None:
    assert cgroups.name_of(Path("/one")) != cgroups.name_of(Path("/two"))


def test_the_nodes_containerd_keeps_to_the_nodes_own_folders() -> None:
    """Not shown: what else it writes to; `tests/serving` compares the machine."""
    stated = tomllib.loads(files.containerd(Path("/runc"), Path("/plugins")))
    opt = stated["plugins"]["io.containerd.internal.v1.opt"]["path"]
    for folder in (stated["root"], opt):
        assert Path(folder).is_relative_to(layout.HOME)
    assert Path(stated["state"]).is_relative_to("/run")


def _image() -> Path:
    (file,) = images.ensure({}, print, [images.Recipe("empty", "1", {}, mib=1)]).values()
    return file.parent


def _packages() -> Path:
    return debian.unpack("none", (), print, closure=False)


def _wheel() -> Path:
    return triton.parts(print)[-1].source.parent


@pytest.mark.parametrize("asked_for", [_image, _packages, _wheel])
def test_parts_of_a_node_are_pruned_only_after_a_time_without_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked_for: Callable[[], Path]
) -> None:
    """Nothing is downloaded here: each is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "run", lambda *_: None)
    monkeypatch.setattr(debian, "_acquire_options", lambda: "")
    monkeypatch.setattr(triton, "_DIGESTS", {platform.machine(): "0" * 64})
    monkeypatch.setattr(triton, "_download", lambda _, __, folder: folder.mkdir())
    folder = asked_for()
    os.utime(folder, (0, 0))
    assert asked_for() == folder
    assert prune(Cache(), []) == []
    os.utime(folder, (0, 0))
    assert prune(Cache(), []) == [folder]
    assert not folder.exists()
