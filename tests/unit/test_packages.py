"""The packages know nothing of the product, which may know of them."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = sorted(file.parent for file in PROJECT.glob("packages/*/pyproject.toml"))
ROOMS = {
    folder.name for folder in PROJECT.iterdir() if folder.is_dir() and any(folder.glob("*.py"))
}


def imported(file: Path) -> set[str]:
    """Top-level names of the modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_a_package_and_its_tests_import_nothing_of_the_product(package: Path) -> None:
    files = sorted(package.rglob("*.py"))
    assert any("tests" in file.parts for file in files)
    used = {str(file.relative_to(PROJECT)): imported(file) & ROOMS for file in files}
    assert {file: names for file, names in used.items() if names} == {}


def test_the_rooms_of_the_product_are_found() -> None:
    assert {"components", "config", "ops", "tests"} <= ROOMS
