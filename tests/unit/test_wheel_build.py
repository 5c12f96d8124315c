"""The wheel's build hook renames the imports of the rooms, and nothing else."""

import pytest

from components.triton import model_scripts
from hatch_build import renamed
from tests.static.test_rooms import PROJECT

SOURCE = '''"""Docs of config.base and `from config.base import x`."""

import ast
from components import contract
from config.sections.triton import (
    S3Repository,
)

CONFIG = "config.pbtxt"


def late() -> None:
    from components.triton.model_access import ModelAccess
'''


def test_imports_of_the_rooms_are_renamed_and_nothing_else() -> None:
    before, after = SOURCE.splitlines(), renamed(SOURCE).splitlines()
    assert [new for old, new in zip(before, after, strict=True) if old != new] == [
        "from kubemind_inference.components import contract",
        "from kubemind_inference.config.sections.triton import (",
        "    from kubemind_inference.components.triton.model_access import ModelAccess",
    ]


def test_an_import_that_would_bind_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: write `from config"):
        renamed("import ast\nimport config.base\n")


def test_the_pods_of_the_wheel_run_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pods run the source of some modules: the wheel must not roll them."""
    here = model_scripts._program()
    sources = {
        module.__name__: (PROJECT / f"{module.__name__.replace('.', '/')}.py").read_text()
        for module in (
            model_scripts.model_config,
            model_scripts.repository_reader,
            model_scripts.repository_links,
        )
    }
    monkeypatch.setattr(
        model_scripts.inspect, "getsource", lambda module: renamed(sources[module.__name__])
    )
    assert any("kubemind_inference" in renamed(text) for text in sources.values())
    assert model_scripts._program() == here
