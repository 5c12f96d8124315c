"""Small Pulumi programs for the tests of `make render`."""

from collections.abc import Mapping
from pathlib import Path

import yaml

CONFIG_MAP = """
import pulumi_kubernetes as k8s
k8s.core.v1.ConfigMap(
    "settings", metadata={"name": "settings", "namespace": "apps"}, data={"key": "value"}
)
"""


def write_program(folder: Path, text: str, declared: str = "", stack: str = "config: {}") -> Path:
    """Write a program with its project and stack file; gives back the project's folder."""
    folder.mkdir(exist_ok=True)
    (folder / "Pulumi.yaml").write_text(f"name: little\nruntime: python\n{declared}")
    (folder / "Pulumi.dev.yaml").write_text(stack)
    (folder / "__main__.py").write_text(text)
    return folder


def read(file: Path) -> Mapping[str, object]:
    return yaml.safe_load(file.read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
