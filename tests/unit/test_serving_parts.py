"""Parts of the serving cluster; `tests/serving` show that it serves."""

import os
import platform
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from config.load import parse, read_stack_file
from config.settings import Settings
from local import modes
from local.errors import LocalClusterError
from local.serving import (
    archive,
    cgroups,
    debian,
    dns,
    files,
    images,
    machine,
    objects,
    plan,
    triton,
)
from local.serving.archive import Part
from local.spec import Envoy
from ops.stack.cluster_spec import cluster_spec
from toolchain.bootstrap import PROJECT
from toolchain.cache import Cache
from toolchain.prune import prune

RECIPES = images.recipes(Envoy(path=Path("/envoy"), version="1.40.0"))


def _dev() -> Settings:
    return parse(read_stack_file(PROJECT / "Pulumi.dev.yaml"), source="dev")


def test_dev_names_images_that_can_be_built() -> None:
    images.require_known(cluster_spec(_dev()))


def test_dev_states_the_ttl_that_its_name_server_answers_with() -> None:
    assert {stack.gateway.dns_ttl_seconds for stack in _dev().inference} == {dns.TTL_SECONDS}


def test_an_image_that_cannot_be_built_is_refused_by_its_key() -> None:
    dev = _dev()
    stack = dev.inference[0]
    gateway = stack.gateway.model_copy(update={"image": "docker.io/envoyproxy/envoy:v1.40.0"})
    changed = stack.model_copy(update={"gateway": gateway})
    settings = dev.model_copy(update={"inference": (changed,)})
    with pytest.raises(LocalClusterError) as refused:
        images.require_known(cluster_spec(settings))
    said = str(refused.value)
    assert "inference[0].gateway.image = docker.io/envoyproxy/envoy:v1.40.0" in said
    assert "triton.image =" not in said
    assert "kubemind.local/envoy:1.40.0" in said
    assert "LOCAL=simulated" in said


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


def test_of_keda_only_what_it_runs_by_is_taken_and_with_our_image() -> None:
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


@pytest.mark.parametrize(("lacking", "mode"), [("", modes.SERVING), ("root", modes.SIMULATED)])
def test_a_new_cluster_serves_where_the_machine_can(
    monkeypatch: pytest.MonkeyPatch, lacking: str, mode: modes.Mode
) -> None:
    monkeypatch.setattr(machine, "lacking", lambda: lacking)
    assert modes.best_here() is mode
    assert modes.choose(None, None, modes.best_here()) is mode
    assert modes.choose("simulated", None, modes.best_here()) is modes.SIMULATED
    assert modes.choose(None, "simulated", modes.best_here()) is modes.SIMULATED


def test_a_machine_that_cannot_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "lacking", lambda: "root, since it makes mounts")
    with pytest.raises(LocalClusterError, match=r"LOCAL=serving needs root.*LOCAL=simulated"):
        machine.require()


def test_clusters_in_different_folders_have_cgroups_of_their_own() -> None:
    assert cgroups.name_of(Path("/one")) != cgroups.name_of(Path("/two"))


def test_the_nodes_containerd_keeps_to_the_nodes_own_folders() -> None:
    """Not shown: what else it writes to; `tests/serving` compares the machine."""
    stated = tomllib.loads(files.containerd(Path("/runc"), Path("/plugins")))
    opt = stated["plugins"]["io.containerd.internal.v1.opt"]["path"]
    for folder in (stated["root"], opt):
        assert Path(folder).is_relative_to(plan.HOME)
    assert Path(stated["state"]).is_relative_to("/run")


def _image() -> Path:
    (file,) = images.ensure({}, print, [images.Recipe("empty", "1", {}, mib=1)]).values()
    return file.parent


def _packages() -> Path:
    return debian.unpack("none", (), print, closure=False)


def _wheel() -> Path:
    return triton.parts(print)[-1].source.parent


@pytest.mark.parametrize("asked_for", [_image, _packages, _wheel])
def test_what_a_node_is_made_of_is_dropped_only_where_nobody_asks_for_it_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked_for: Callable[[], Path]
) -> None:
    """Nothing is downloaded here: each is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(debian, "run", lambda *_: None)
    monkeypatch.setattr(debian, "_ways_out", lambda: "")
    monkeypatch.setattr(triton, "_DIGESTS", {platform.machine(): "0" * 64})
    monkeypatch.setattr(triton, "_download", lambda _, __, folder: folder.mkdir())
    folder = asked_for()
    os.utime(folder, (0, 0))
    assert asked_for() == folder
    assert prune(Cache(), []) == []
    os.utime(folder, (0, 0))
    assert prune(Cache(), []) == [folder]
    assert not folder.exists()
