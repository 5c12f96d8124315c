"""Members of a union answer for all that differs by their kind; code that asks says why.

The reason is a comment `# By kind: ...` in the function that asks, above its first question (or
right above the question, outside functions). Unions are read from the source text: `A | B` of two
classes of the product or of its packages.
"""

import ast
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROOMS = ("__main__.py", "bench/", "components/", "config/", "ops/", "packages/")
REASON = re.compile(r"\s*# By kind[^:]*: \S+ \S+ \S+")


@dataclass(frozen=True)
class Kinds:
    members: set[str]
    """Names of the classes in unions of two or more classes."""
    values: set[str]
    """Values of the sections' `kind`."""


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    names = subprocess.check_output(listed, cwd=PROJECT, text=True).splitlines()
    return {
        name: (PROJECT / name).read_text()
        for name in names
        if name.startswith(ROOMS) and "/tests/" not in name and (PROJECT / name).is_file()
    }


@pytest.fixture(scope="module")
def kinds(sources: dict[str, str]) -> Kinds:
    nodes = [node for source in sources.values() for node in ast.walk(ast.parse(source))]
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    unions = [{*_operands(node)} & classes for node in nodes if isinstance(node, ast.BinOp)]
    literals = [
        re.fullmatch(r"kind: Literal\['(\w+)'\].*", ast.unparse(node))
        for node in nodes
        if isinstance(node, ast.AnnAssign)
    ]
    return Kinds(
        members={name for union in unions if len(union) > 1 for name in union},
        values={literal[1] for literal in literals if literal},
    )


def _operands(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _operands(node.left)
        yield from _operands(node.right)
    elif isinstance(node, ast.Tuple):
        for element in node.elts:
            yield from _operands(element)
    else:
        yield ast.unparse(node).rpartition(".")[2]


def without_reason(source: str, kinds: Kinds) -> list[int]:
    """Return each line that asks for a kind and gives no reason."""
    nodes, lines = [*ast.walk(ast.parse(source))], source.splitlines()
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    asking = [node.lineno for node in nodes if isinstance(node, ast.expr | ast.stmt)
              and _asks(node, kinds)]  # fmt: skip
    return [line for line in asking if not _explained(line, functions, lines)]


def _asks(node: ast.expr | ast.stmt, kinds: Kinds) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
        return not kinds.members.isdisjoint(_operands(node.args[1]))
    if isinstance(node, ast.Match):
        cases = [inner for case in node.cases for inner in ast.walk(case.pattern)]
        named = {ast.unparse(case.cls) for case in cases if isinstance(case, ast.MatchClass)}
        return not kinds.members.isdisjoint(named)
    if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(".kind"):
        inner = [one for other in node.comparators for one in ast.walk(other)]
        return any(isinstance(one, ast.Constant) and one.value in kinds.values for one in inner)
    return False


def _explained(
    line: int, functions: Sequence[ast.FunctionDef | ast.AsyncFunctionDef], lines: list[str]
) -> bool:
    around = [one.lineno for one in functions if one.lineno <= line <= (one.end_lineno or 0)]
    start = max(around, default=line - 1)
    return any(REASON.match(text) for text in lines[start - 1 : line - 1])


def test_code_that_asks_for_a_kind_says_why(sources: dict[str, str], kinds: Kinds) -> None:
    found = {name: without_reason(source, kinds) for name, source in sources.items()}
    places = [f"{name}:{line}" for name, lines in found.items() for line in lines]
    assert not places, "add `# By kind: <reason>` above, or let the union's member answer"


def test_the_unions_are_found(kinds: Kinds) -> None:
    assert {"LocalPlatform", "S3Repository", "FleetLimit", "SharedAccess", "OpenLoop"} <= (
        kinds.members
    )
    assert {"local", "kubeconfig", "eksNodeGroups"} <= kinds.values


@pytest.mark.parametrize(
    "question",
    [
        "def late(it):\n    return isinstance(it, LocalPlatform)",
        "def late(it):\n    return isinstance(it, (str, platform.LocalPlatform))",
        "def late(it):\n    return isinstance(it, LocalPlatform | str)",
        "def late(it):\n    match it:\n        case [LocalPlatform(), _]:\n            pass",
        "def late(it):\n    return it.kind == 'local'",
        "def late(it):\n    return it.platform.kind in ('local', 'kubeconfig')",
        "IS_LOCAL = isinstance(settings.platform, LocalPlatform)",
        "async def late(it):\n    # By kind:\n    return isinstance(it, LocalPlatform)",
        "def late(it):\n    local = isinstance(it, LocalPlatform)\n    # By kind: it is too late.",
        "# By kind: it is outside.\ndef late(it):\n    return isinstance(it, LocalPlatform)",
    ],
)
def test_a_question_without_a_reason_is_found(kinds: Kinds, question: str) -> None:
    assert len(without_reason(question, kinds)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def late(it):\n    # By kind: sections know no wood.\n    return isinstance(it, HelmKeda)",
        "# By kind: sections know no wood.\nIS = isinstance(keda, HelmKeda)",
        "def late(it):\n    return isinstance(it, str)",
        "def late(it):\n    return it.kind == 'Namespace'",
    ],
)
def test_other_code_is_not_found(kinds: Kinds, code: str) -> None:
    assert not without_reason(code, kinds)
