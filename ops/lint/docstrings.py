"""Docstrings open with a noun or a verb, and their sections have entries that begin with a capital.

Google's style says how a section looks (`Args:`, then an entry a line, indented); ruff's rules of
that style accept an entry in lower case and a docstring that opens with a clause.
"""

import ast
import itertools
import re
from collections.abc import Iterator

from ops.lint.finding import Finding

_CLAUSE = re.compile(r"(What|Who|Which|That|How|Whether)(ever|se)?\b")
"""First words that make a docstring a clause instead of a name or an order."""

_SECTION = re.compile(r" *(Args|Attributes|Raises|Returns|Yields):$")
_NAMED = re.compile(r"[\w.*]+(?: \([^)]*\))?: +(?P<text>.*)")
"""An entry of a section other than `Returns` and `Yields`: a name, a colon and a text."""

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

_UNNAMED_SECTIONS = ("Returns", "Yields")


def check_docstrings(file: str, source: str) -> Iterator[Finding]:
    """Yield the faults of the docstrings in a Python file.

    Args:
        file: Name of the file, for the findings.
        source: Text of the file.
    """
    for node in _docstrings(ast.parse(source)):
        text = str(node.value)
        opening = text.lstrip().partition("\n")[0]
        if _CLAUSE.match(opening):
            yield Finding(
                file,
                node.lineno,
                f"the docstring opens with a clause: {opening!r}. Begin with a noun (class, "
                "attribute, module) or an imperative verb (function)",
            )
        for offset, entry in _entries(text):
            if entry[:1].islower():
                yield Finding(
                    file, node.lineno + offset, f"begin the entry with a capital: {entry!r}"
                )


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of the module, its classes, functions and attributes."""
    for parent in ast.walk(tree):
        if not isinstance(parent, _DOCUMENTED):
            continue
        for before, node in itertools.pairwise([parent, *parent.body]):
            is_first = before is parent
            if (is_first or isinstance(before, ast.Assign | ast.AnnAssign)) and (
                constant := _text(node)
            ):
                yield constant


def _text(node: ast.AST) -> ast.Constant | None:
    value = node.value if isinstance(node, ast.Expr) else None
    return value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _entries(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line, from the docstring's first, and the text of each entry of a section."""
    section, indent, first = "", 0, False
    for number, line in enumerate(text.splitlines()):
        if found := _SECTION.match(line):
            section, indent, first = found[1], _indent(line), True
        elif section and line.strip() and _indent(line) <= indent:
            section = ""
        elif section and line.strip():
            if section in _UNNAMED_SECTIONS:
                if first:
                    yield number, line.strip()
            elif _indent(line) == indent + 4 and (entry := _NAMED.match(line.strip())):
                yield number, entry["text"]
            first = False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
