"""Members of a union answer for all that differs by their kind; code that asks says why.

The reason is a comment `# By kind: ...` in the function that asks, above its first question (or
right above the question, outside functions). Unions are read from the source text: `A | B` of two
classes of the product or of its packages.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ops.lint.finding import Finding

_ROOMS = ("__main__.py", "bench/", "components/", "config/", "ops/", "packages/")
_REASON = re.compile(r"\s*# By kind[^:]*: \S+ \S+ \S+")


@dataclass(frozen=True)
class _Kinds:
    members: set[str]
    """Names of the classes in unions of two or more classes."""
    values: set[str]
    """Values of the sections' `kind`."""


def check_kinds(files: Mapping[str, str]) -> Iterator[Finding]:
    """Yield each place that asks for a kind and gives no reason.

    Args:
        files: Text by path, relative to the project.
    """
    trees = {
        name: [*ast.walk(ast.parse(source))]
        for name, source in files.items()
        if name.endswith(".py") and name.startswith(_ROOMS) and "/tests/" not in name
    }
    kinds = _kinds([node for nodes in trees.values() for node in nodes])
    for name, nodes in trees.items():
        for line in _without_reason(nodes, files[name].splitlines(), kinds):
            yield Finding(
                name,
                line,
                "write `# By kind: <reason>` above, or let the union's member answer",
            )


def _kinds(nodes: Sequence[ast.AST]) -> _Kinds:
    classes = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    unions = [{*_operands(node)} & classes for node in nodes if isinstance(node, ast.BinOp)]
    literals = [
        re.fullmatch(r"kind: Literal\['(\w+)'\].*", ast.unparse(node))
        for node in nodes
        if isinstance(node, ast.AnnAssign)
    ]
    return _Kinds(
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
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Name):
        yield node.id


def _without_reason(nodes: Sequence[ast.AST], lines: list[str], kinds: _Kinds) -> Iterator[int]:
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in nodes:
        if not isinstance(node, ast.expr | ast.stmt) or not _asks(node, kinds):
            continue
        around = [one.lineno for one in functions if _contains(one, node.lineno)]
        start = max(around, default=node.lineno - 1)
        if not any(_REASON.match(text) for text in lines[start - 1 : node.lineno - 1]):
            yield node.lineno


def _contains(function: ast.FunctionDef | ast.AsyncFunctionDef, line: int) -> bool:
    return function.lineno <= line <= (function.end_lineno or 0)


def _asks(node: ast.expr | ast.stmt, kinds: _Kinds) -> bool:
    if isinstance(node, ast.Call):
        is_question = isinstance(node.func, ast.Name) and node.func.id == "isinstance"
        return is_question and not kinds.members.isdisjoint(_operands(node.args[1]))
    if isinstance(node, ast.Match):
        cases = [inner for case in node.cases for inner in ast.walk(case.pattern)]
        named = {ast.unparse(case.cls) for case in cases if isinstance(case, ast.MatchClass)}
        return not kinds.members.isdisjoint(named)
    if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(".kind"):
        inner = [one for other in node.comparators for one in ast.walk(other)]
        return any(isinstance(one, ast.Constant) and one.value in kinds.values for one in inner)
    return False
