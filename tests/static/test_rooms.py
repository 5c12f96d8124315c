"""The import rules of the rooms, read from the source text.

Imports inside functions are imports on demand: the rules about what an import costs do not follow
them. `ops/lint` limits the length of files.
"""

import ast
import functools
import graphlib
import itertools
import subprocess
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

PULUMI = {"pulumi", "pulumi_aws", "pulumi_kubernetes", "pulumi_policy"}

DECLARES = {
    "components.autoscaler.keda",
    "components.contract",
    "components.exports",
    "components.gateway.check",
    "components.gpus.device_plugin",
    "components.gpus.node_count",
    "components.gpus.node_group",
    "components.gpus.node_pool",
    "components.gpus.node_role",
    "components.inference",
    "components.network.namespaces",
    "components.state.contents",
    "components.state.drift",
    "components.state.engine",
    "components.state.leftovers",
    "components.state.marks",
    "components.state.objects",
    "components.state.ownership",
    "components.triton.eks_cluster",
    "components.triton.model_access",
    "config.load",
    "config.schema.reference",
}
"""Modules that may need Pulumi, beside every `component.py` and preflight."""

REUSABLE = {
    "components.autoscaler.keda",
    "components.contract",
    "components.gpus.device_plugin",
    "components.gpus.node_group",
    "components.gpus.node_pool",
    "components.inference",
    "components.monitoring.component",
    "components.network.namespaces",
    "components.rollout.component",
    "config.load",
}
"""Modules that programs of other teams import."""

HEAVY = {"http.client", "httpx2", "lightkube", "requests", "urllib.request", "urllib3"}
"""HTTP clients."""

MAY_IMPORT = {
    "config": set[str](),
    "components": {"config"},
    "__main__": {"components", "config"},
    "kubemind_inference": {"components", "config"},
}
"""Top-level rooms of the product that a room may import."""


@dataclass(frozen=True)
class Import:
    """One import of a module."""

    name: str
    on_demand: bool
    """True inside a function."""
    member: bool = False
    """True if the last part of the name may be a member of a module."""


class Tree:
    """The modules of some sources, and their imports."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self.modules = {_module(file): file for file in sources}
        self.tops = {_top(name) for name in self.modules}
        self.imports = {
            name: [self._resolved(one) for one in _imports(sources[file])]
            for name, file in self.modules.items()
            if _top(name) != "tests"
        }

    def _resolved(self, one: Import) -> Import:
        """Return the import of a module for `from package import module`."""
        is_module = one.name in self.modules or one.name in HEAVY or not one.member
        return one if is_module else Import(one.name.rpartition(".")[0], one.on_demand)

    def at_once(self, name: str) -> set[str]:
        """Return the modules that a module imports when it is imported."""
        return {one.name for one in self.imports.get(name, ()) if not one.on_demand}

    def ways(self, start: str, is_forbidden: Callable[[str], bool]) -> list[str]:
        """Return the way to each forbidden module that an import of `start` loads."""
        seen = {start}
        ways: list[str] = []
        todo = [(start, start)]
        while todo:
            module, way = todo.pop()
            loaded = {one for name in self.at_once(module) for one in (*_above(name), name)}
            for one in sorted(loaded - seen):
                seen.add(one)
                there = f"{way} -> {one}"
                todo.append((one, there))
                if is_forbidden(one):
                    ways.append(there)
        return ways


@functools.cache
def _imports(source: str) -> tuple[Import, ...]:
    return tuple(_walk(ast.parse(source)))


def _walk(node: ast.AST, *, on_demand: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, on_demand)
        elif isinstance(child, ast.ImportFrom):
            assert child.module, "relative imports have no rule here"
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", on_demand, member=True)
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(child, on_demand=on_demand or inside)


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _above(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _top(module: str) -> str:
    return module.partition(".")[0]


def pure_modules_load_no_pulumi(tree: Tree) -> list[str]:
    pure = [
        name
        for name in tree.modules
        if _top(name) in ("components", "config")
        and name not in DECLARES
        and not name.endswith(".component")
        and not name.startswith("components.cluster.preflight")
    ]
    return [way for name in pure for way in tree.ways(name, lambda one: _top(one) in PULUMI)]


def reusable_components_load_no_client_and_no_cloud(tree: Tree) -> list[str]:
    def is_forbidden(module: str) -> bool:
        is_aws = _top(module) == "pulumi_aws"
        return is_aws or module in HEAVY or module.startswith("components.cluster")

    missing = [f"{name} is missing" for name in REUSABLE if name not in tree.modules]
    ways = [way for name in REUSABLE for way in tree.ways(name, is_forbidden)]
    # The node group is the one component that is asked for because of AWS.
    nodes = "components.gpus.node_"
    return missing + [way for way in ways if not (way.startswith(nodes) and "pulumi_aws" in way)]


def rooms_import_downwards(tree: Tree) -> list[str]:
    return [
        f"{name} imports {one.name}"
        for name, found in tree.imports.items()
        for one in found
        if _top(name) in MAY_IMPORT
        and _top(one.name) in tree.tops - MAY_IMPORT[_top(name)] - {_top(name)}
    ]


def packages_import_nothing_of_the_product(tree: Tree) -> list[str]:
    return [
        f"{name} imports {one.name}"
        for name, found in tree.imports.items()
        for one in found
        if _top(name) == "packages" and _top(one.name) in tree.tops
    ]


def modules_make_no_circle(tree: Tree) -> list[str]:
    circle = _circle({name: tree.at_once(name) for name in tree.modules})
    return [f"{one} is imported by {other}" for one, other in itertools.pairwise(circle)]


def rooms_make_no_circle(tree: Tree) -> list[str]:
    because: dict[tuple[str, str], str] = {}
    for name, found in tree.imports.items():
        for one in found:
            because.setdefault((_room(name), _room(one.name)), f"{name} imports {one.name}")
    arrows = {(room, other) for room, other in because if "" not in (room, other) and room != other}
    rooms = {room for arrow in arrows for room in arrow}
    circle = _circle({room: {to for at, to in arrows if at == room} for room in rooms})
    return [because[importer, room] for room, importer in itertools.pairwise(circle)]


def _circle(arrows: Mapping[str, Set[str]]) -> list[str]:
    """Return one circle, each member before one that imports it; empty if there is none."""
    try:
        graphlib.TopologicalSorter(arrows).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def _room(module: str) -> str:
    """Return `components.gateway` for a module of it; empty for modules outside rooms."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "components" and len(parts) > 2 else ""


RULES = (
    pure_modules_load_no_pulumi,
    reusable_components_load_no_client_and_no_cloud,
    rooms_import_downwards,
    packages_import_nothing_of_the_product,
    modules_make_no_circle,
    rooms_make_no_circle,
)

MUTATIONS = [
    (pure_modules_load_no_pulumi, "components/gateway/workload.py", "import pulumi"),
    (pure_modules_load_no_pulumi, "components/gateway/envoy/stats.py",
     "from components.state.contents import Workload"),
    (pure_modules_load_no_pulumi, "components/triton/start.py", "from config.load import parse"),
    (pure_modules_load_no_pulumi, "config/sizing/hpa.py", "from pulumi import Output"),
    (pure_modules_load_no_pulumi, "config/checks/__init__.py", "import pulumi.runtime"),
    (reusable_components_load_no_client_and_no_cloud, "components/inference.py",
     "from components.cluster.component import Cluster"),
    (reusable_components_load_no_client_and_no_cloud, "components/network/policies.py",
     "from components.cluster.preflight.reader import dig"),
    (reusable_components_load_no_client_and_no_cloud, "components/triton/component.py",
     "from components.triton.model_access import ModelAccess"),
    (reusable_components_load_no_client_and_no_cloud, "components/rollout/component.py",
     "from http import client"),
    (reusable_components_load_no_client_and_no_cloud, "components/contract.py", "import httpx2"),
    (rooms_import_downwards, "config/units.py", "from components.contract import key"),
    (rooms_import_downwards, "components/exports.py", "def late():\n    import ops.errors"),
    (rooms_import_downwards, "__main__.py", "import tests"),
    (packages_import_nothing_of_the_product, "packages/eventflow/src/eventflow/load.py",
     "def late():\n    from config.units import EPSILON"),
    (packages_import_nothing_of_the_product, "packages/eventflow/tests/test_link.py",
     "import tests.conftest"),
    (modules_make_no_circle, "config/units.py", "import config.base\nimport config.settings"),
    (rooms_make_no_circle, "components/common/labels.py",
     "def late():\n    from components.triton.workload import Spec"),
    (rooms_make_no_circle, "components/gateway/workload.py",
     "def late():\n    from components.monitoring.scrape import RULES_FILE"),
]  # fmt: skip
"""Rule, file and line that break it."""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.check_output(listed, cwd=PROJECT, text=True).splitlines()
    return {name: (PROJECT / name).read_text() for name in names if (PROJECT / name).is_file()}


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_holds(sources: dict[str, str], rule: Callable[[Tree], list[str]]) -> None:
    assert rule(Tree(sources)) == []


@pytest.mark.parametrize(
    ("rule", "file", "line"), MUTATIONS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_module_that_breaks_the_rule_is_found(
    sources: dict[str, str], rule: Callable[[Tree], list[str]], file: str, line: str
) -> None:
    broken = rule(Tree({**sources, file: f"{sources[file]}\n{line}\n"}))
    assert broken
    assert any(_module(file) in way for way in broken), broken
