"""A model repository small enough for a ConfigMap: its files, with the stack's parameters."""

from pathlib import Path
from string import Template

from config.base import PROJECT_FOLDER
from config.inference import InferenceStack

MAX_BYTES = 1024 * 1024
"""Most that a ConfigMap may hold (Kubernetes' `MaxSecretSize`, which counts values)."""

TEMPLATE_SUFFIX = ".template"
"""A file `config.pbtxt.template` becomes `config.pbtxt`, its placeholders filled in."""


class ModelFilesError(ValueError):
    """The folder cannot become a ConfigMap; the message says which file and why."""


def placeholders(stack: InferenceStack) -> dict[str, str]:
    """What a template may name: parameters that a model has to share with the gateway."""
    return {
        "parallelism": str(stack.traffic.parallelism),
        "queue_size": str(stack.triton.queue_size),
        "service_time_seconds": repr(stack.traffic.service_time_seconds),
    }


def read_model_files(stack: InferenceStack, folder: str) -> dict[str, bytes]:
    """Read a folder that holds one folder a model.

    Args:
        stack: whose parameters fill in the templates.
        folder: relative to the project, or absolute.

    Returns:
        Contents by path relative to the folder (`echo/1/model.py`), sorted.

    Raises:
        ModelFilesError: no such folder, no model in it, a file that belongs to no model, a
            template that cannot be filled in, or more than `MAX_BYTES` in all.
    """
    root = PROJECT_FOLDER / folder
    paths = sorted(
        path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    if not paths:
        raise ModelFilesError(f"{folder}: no such folder, or no files in it")
    files = dict(_file(stack, root, path) for path in paths)
    if stray := [name for name in files if "/" not in name]:
        raise ModelFilesError(f"{folder}: {stray[0]} belongs to no model; give each a folder")
    if (size := sum(map(len, files.values()))) > MAX_BYTES:
        raise ModelFilesError(
            f"{folder}: {size:,} bytes, and a ConfigMap holds {MAX_BYTES:,} at most; "
            f"use a model repository of kind s3 or pvc"
        )
    return files


def _file(stack: InferenceStack, root: Path, path: Path) -> tuple[str, bytes]:
    name = path.relative_to(root).as_posix()
    if path.suffix != TEMPLATE_SUFFIX:
        return name, path.read_bytes()
    known = placeholders(stack)
    try:
        text = Template(path.read_text(encoding="utf-8")).substitute(known)
    except KeyError as error:
        raise ModelFilesError(
            f"{name}: unknown placeholder {error}; known are {', '.join(known)}"
        ) from None
    except ValueError as error:
        raise ModelFilesError(f"{name}: {error}; a dollar sign is written $$") from None
    return name.removesuffix(TEMPLATE_SUFFIX), text.encode()
