"""The cluster that bare kubectl asks, as kubectl itself reads the variable."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from config.sections.platform import LOCAL_KUBECONFIG
from config.settings import Settings
from ops.stack.environment import StackEnvironment
from ops.stack.kubectl_environment import variables


def settings(**platform: object) -> Settings:
    return Settings.model_validate({"platform": platform})


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """The user's own, with two contexts."""
    file = tmp_path / "my kubeconfig"
    names = ("one", "two")
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": n, "cluster": {"server": f"https://{n}.example"}} for n in names],
        "contexts": [{"name": n, "context": {"cluster": n, "user": ""}} for n in names],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def server_of(env: StackEnvironment, stated: Settings) -> str:
    """The API server that kubectl would ask."""
    value = variables(env, stated)["KUBECONFIG"]
    assert value is not None
    path = "{.clusters[0].cluster.server}"
    return subprocess.run(
        ["kubectl", "config", "view", "--minify", "-o", f"jsonpath={path}"],
        env={"KUBECONFIG": value, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_local_cluster_is_named_by_its_file(tmp_path: Path) -> None:
    env = StackEnvironment(stack="dev", project=tmp_path)
    assert variables(env, Settings()) == {"KUBECONFIG": str(tmp_path / LOCAL_KUBECONFIG)}


@pytest.mark.parametrize(("context", "server"), [(None, "one"), ("one", "one"), ("two", "two")])
def test_the_stated_context_is_the_current_one(
    tmp_path: Path, kubeconfig: Path, context: str | None, server: str
) -> None:
    env = StackEnvironment(stack="staging", project=tmp_path)
    before = kubeconfig.read_text()
    stated = settings(kind="kubeconfig", path=kubeconfig.name, context=context)
    assert server_of(env, stated) == f"https://{server}.example"
    assert kubeconfig.read_text() == before


def test_an_exported_kubeconfig_is_not_written_and_the_message_explains_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = StackEnvironment(stack="prod", project=tmp_path)
    stated = settings(kind="stackReference", stack="organization/platform/prod")
    monkeypatch.setenv("KUBECONFIG", "/users-own")
    assert variables(env, stated) == {}
    said = capsys.readouterr()
    assert said.out == ""
    assert "stack output kubeconfig --show-secrets --stack organization/platform/prod" in said.err
    # In dev's shell, kubectl would else ask dev's cluster.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / LOCAL_KUBECONFIG))
    assert variables(env, stated) == {"KUBECONFIG": None}
    assert list(tmp_path.iterdir()) == []
