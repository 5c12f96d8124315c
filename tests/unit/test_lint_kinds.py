"""Code that asks for the kind of a union's member gives the reason, or `make lint` finds it.

That this checkout is clean, and `make lint` says so: `test_lint.py`.
"""

import pytest

from ops.lint.rules import check

SECTIONS = '''"""Parameters."""


class LocalPlatform:
    """A local platform."""

    kind: Literal["local"] = "local"
    """Local."""


class OtherPlatform:
    """Another platform."""

    kind: Literal["other"]
    """Other."""


class Free:
    """A class of no union."""


Platform = LocalPlatform | OtherPlatform
'''


def found(code: str, file: str = "ops/code.py") -> list[str]:
    return [str(one) for one in check({"config/sections.py": SECTIONS, file: code})]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (2, "def late(it):\n    return isinstance(it, LocalPlatform)"),
        (2, "def late(it):\n    return isinstance(it, (str, platform.LocalPlatform))"),
        (2, "def late(it):\n    return isinstance(it, LocalPlatform | str)"),
        (2, "def late(it):\n    match it:\n        case [LocalPlatform(), _]:\n            pass"),
        (2, "def late(it):\n    return it.kind == 'local'"),
        (2, "def late(it):\n    return it.platform.kind in ('local', 'other')"),
        (1, "IS_LOCAL = isinstance(settings.platform, LocalPlatform)"),
        (3, "async def late(it):\n    # By kind:\n    return isinstance(it, LocalPlatform)"),
        (2, "def late(it):\n    a = isinstance(it, LocalPlatform)\n    # By kind: it is too late."),
        (3, "# By kind: it is outside.\ndef late(it):\n    return isinstance(it, OtherPlatform)"),
    ],
)
@pytest.mark.parametrize("file", ["ops/code.py", "packages/any/src/any/code.py", "__main__.py"])
def test_a_question_without_a_reason_is_found(file: str, code: str, line: int):
    assert found(code, file) == [
        f"{file}:{line}: write `# By kind: <reason>` above, or let the union's member answer"
    ]


@pytest.mark.parametrize(
    "code",
    [
        "def late(it):\n    # By kind: it knows no wood.\n    return isinstance(it, OtherPlatform)",
        "# By kind: it knows no wood.\nIS = isinstance(it, OtherPlatform)",
        "def late(it):\n    return isinstance(it, str | Free)",
        "def late(it):\n    return it.kind == 'Namespace'",
    ],
)
def test_other_code_is_no_finding(code: str):
    assert found(code) == []


def test_tests_may_ask():
    question = "IS_LOCAL = isinstance(settings.platform, LocalPlatform)"
    assert found(question, "tests/unit/test_any.py") == []
    assert found(question, "packages/any/tests/test_any.py") == []
