from pathlib import Path
from typing import Annotated

import typer

from ops.cli import command
from ops.validate.exceptions import EXCEPTIONS_FILE
from ops.validate.validate import as_json, print_verdict
from ops.validate.validate import validate as validate_folders


@command("validate")
def validate(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `make render` wrote.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the verdict as JSON.")
    ] = None,
    exceptions: Annotated[Path, typer.Option(help="File of exceptions.")] = EXCEPTIONS_FILE,
    partial: Annotated[
        bool, typer.Option(help="The exceptions are for more stacks than these.")
    ] = False,
) -> None:
    """Check rendered folders with schemas, kube-score, checkov."""
    verdict = validate_folders(folders, exceptions, partial=partial)
    print_verdict(verdict)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(as_json(verdict))
    raise SystemExit(0 if verdict.passed else 1)
