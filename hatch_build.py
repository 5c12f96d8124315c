"""Build hook of the wheel: `components` and `config` become parts of `kubemind_inference`.

The files are copied, and their imports of one another name the new place. Nothing else changes:
ADR 15 gives the reasons.
"""

import ast
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "kubemind_inference"
ROOMS = ("components", "config")


def renamed(source: str) -> str:
    """Return the text of a module with the imports of `ROOMS` under `PACKAGE`.

    Raises:
        ValueError: The module imports a room by `import`, which would bind another name.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] in ROOMS:
                    raise ValueError(f"line {node.lineno}: write `from {alias.name} import ...`")
        elif isinstance(node, ast.ImportFrom) and _room(node.module or "") and not node.level:
            line = lines[node.lineno - 1]
            old = f"from {node.module}"
            lines[node.lineno - 1] = line.replace(old, f"from {PACKAGE}.{node.module}", 1)
    return "".join(lines)


def _room(module: str) -> bool:
    return module.partition(".")[0] in ROOMS


class WheelHook(BuildHookInterface[Any]):
    """Adds the renamed rooms to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the renamed files into a temporary folder, and name each for the wheel."""
        del version
        root = Path(self.root)
        self._folder = tempfile.TemporaryDirectory()
        sources = [
            file for room in (*ROOMS, PACKAGE) for file in sorted((root / room).rglob("*.py"))
        ]
        for file in sources:
            place = file.relative_to(root)
            place = place if place.parts[0] == PACKAGE else PACKAGE / place
            copy = Path(self._folder.name) / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(renamed(file.read_text(encoding="utf-8")), encoding="utf-8")
            build_data["force_include"][str(copy)] = str(place)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Delete the temporary folder."""
        del version, build_data, artifact_path
        self._folder.cleanup()
