"""`make validate`: check rendered folders with schemas, kube-score and checkov, offline."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from ops.render.files import KUSTOMIZATION, rendered_stack
from ops.validate.exceptions import (
    EXCEPTIONS_FILE,
    Verdict,
    judge,
    load_exceptions,
)
from ops.validate.linters import checkov, kube_score
from ops.validate.schema import Finding, check_schemas, identity


def object_files(folder: Path) -> list[Path]:
    """Return the files of a render that hold a Kubernetes object.

    Raises:
        RenderError: The folder holds no complete render.
    """
    rendered_stack(folder)
    listed: list[str] = yaml.safe_load((folder / KUSTOMIZATION).read_text())["resources"]
    return [folder / path for path in listed]


def validate(
    folders: Sequence[Path], exceptions: Path = EXCEPTIONS_FILE, *, partial: bool = False
) -> Verdict:
    """Check rendered folders, one a stack, with every validator.

    Args:
        folders: Folders that `make render` wrote.
        exceptions: File of exceptions.
        partial: True if the exceptions are for further stacks too.

    Raises:
        RenderError: A folder holds no complete render.
        ExceptionsError: The exceptions file is wrong.
        LinterError: A linter did not run.
    """
    stated = load_exceptions(exceptions)
    found: dict[str, list[Finding]] = {}
    resources: dict[str, list[str]] = {}
    with ThreadPoolExecutor() as pool:
        by_checkov = list(pool.map(checkov, folders))
    for folder, checked in zip(folders, by_checkov, strict=True):
        stack, files = rendered_stack(folder), object_files(folder)
        manifests: list[dict[str, Any]] = [yaml.safe_load(file.read_text()) for file in files]
        found[stack] = check_schemas(manifests) + kube_score(files) + checked
        resources[stack] = [identity(manifest) for manifest in manifests]
    return judge(found, resources, stated, partial=partial)


def print_verdict(verdict: Verdict) -> None:
    """Print the failures as a table, and the number of excepted findings."""
    console = Console(highlight=False)
    if verdict.failures:
        table = Table("stack", "tool", "rule", "resource", "message", box=None)
        for stack, item in verdict.failures:
            table.add_row(stack, item.tool, item.rule, item.resource, item.message)
        console.print(table)
    for message in verdict.unused:
        console.print(message)
    console.print(
        f"{len(verdict.failures)} findings, {len(verdict.unused)} unused exceptions, "
        f"{len(verdict.excepted)} findings excepted"
    )


def as_json(verdict: Verdict) -> str:
    """Return the verdict as JSON."""
    rows = {
        name: [{"stack": stack, **vars(item)} for stack, item in items]
        for name, items in (("failures", verdict.failures), ("excepted", verdict.excepted))
    }
    return json.dumps({"passed": verdict.passed, **rows, "unused": verdict.unused}, indent=1)
