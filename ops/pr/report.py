"""`make pr-comment`: previews as one Markdown comment for a pull request."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.errors import OpsError


def read_previews(files: Sequence[Path]) -> dict[str, Any]:
    """Read files that `make preview-json` wrote; return the previews by stack.

    A file of `pulumi preview --json` is accepted too; the file's name is the stack's.

    Raises:
        OpsError: A file cannot be read as JSON.
    """
    previews: dict[str, Any] = {}
    for file in files:
        try:
            document = json.loads(file.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise OpsError(f"no preview can be read: {error}") from None
        if "preview" in document:
            previews[document["stack"]] = document["preview"]
        else:
            previews[file.stem] = document
    return previews
