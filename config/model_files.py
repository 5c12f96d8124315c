"""A model repository small enough for a ConfigMap: its files, with the stack's parameters."""

from collections.abc import Iterator
from pathlib import Path
from string import Template

from config.base import program_folder
from config.repository_reader import CONFIG, TEMPLATE, Repository, config_text
from config.sections.inference import InferenceStack

MAX_BYTES = 1024 * 1024
"""Largest size of a ConfigMap (Kubernetes' `MaxSecretSize`, which counts values)."""

MAX_FILES = 2000
"""Largest number of files: the ConfigMap, its managed fields and each pod contain their names, and
etcd accepts no object over 1.5 MiB."""

EMPTY_FOLDER_FILE = ".keep"
"""Empty file that keeps an otherwise empty folder: a ConfigMap holds files only."""


class ModelFilesError(ValueError):
    """Folder that cannot become a ConfigMap; `problems` names the files and the reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def placeholders(stack: InferenceStack) -> dict[str, str]:
    """Return the placeholders of templates: parameters that a model shares with the gateway."""
    return {
        "parallelism": str(stack.traffic.parallelism),
        "queue_size": str(stack.triton.queue_size),
        "service_time_seconds": repr(stack.traffic.service_time_seconds),
    }


def read_repository(stack: InferenceStack, folder: str, where: str = "") -> Repository:
    """Read a folder of the project that holds one folder for each model, and fill in templates.

    Args:
        stack: Stack whose parameters fill in the templates.
        folder: Relative to the project, or absolute.
        where: Name of the folder in messages, if it differs.
    """
    return Repository(
        program_folder() / folder,
        (where or folder).rstrip("/"),
        completes=stack.triton.complete_model_configs,
        config_of=lambda model: _config(stack, model),
    )


def read_model_files(stack: InferenceStack, folder: str) -> dict[str, bytes]:
    """Read the files of a folder that holds one folder for each model.

    Args:
        stack: Stack whose parameters fill in the templates.
        folder: Relative to the project, or absolute.

    Returns:
        Contents by path relative to the folder (`echo/1/model.py`), sorted.

    Raises:
        ModelFilesError: Triton could not serve the folder, or a ConfigMap cannot hold it.
    """
    repository = read_repository(stack, folder)
    if problems := [*repository.problems, *config_map_problems(folder, repository)]:
        raise ModelFilesError(problems)
    files = {name: path.read_bytes() for name, path in repository.files.items()}
    for model in repository.models:
        if text := _config(stack, model.path):
            files.pop(f"{model.name}/{TEMPLATE}", None)
            files[f"{model.name}/{CONFIG}"] = text.encode()
        if model.lacks_folder:
            files[f"{model.name}/{model.versions[0]}/{EMPTY_FOLDER_FILE}"] = b""
    files |= {f"{name}/{EMPTY_FOLDER_FILE}": b"" for name in repository.empty}
    return dict(sorted(files.items()))


def config_map_problems(folder: str, repository: Repository) -> Iterator[str]:
    """Find faults that keep a repository out of a ConfigMap: refused names, and its size.

    Args:
        folder: Name of the repository in messages.
        repository: The repository.
    """
    for model in repository.models:
        if ":" in model.name:
            yield (
                f"{folder}/{model.name} has a colon in its name, which Kubernetes does not allow "
                "in the path that a model is mounted at (mountPath); rename it, or use kind s3 or "
                "pvc"
            )
    for name in repository.files:
        try:
            name.encode()
        except UnicodeEncodeError:
            yield f"{folder}/{name!a} has a name that is not UTF-8; rename it"
    sizes = {name: path.stat().st_size for name, path in repository.files.items()}
    if (size := sum(sizes.values())) > MAX_BYTES:
        name, largest = max(sizes.items(), key=lambda item: item[1])
        yield (
            f"{folder} holds {size:,} bytes, and a ConfigMap holds {MAX_BYTES:,} at most (the "
            f"largest file is {name}, {largest:,}); use kind s3 or pvc"
        )
    if len(sizes) > MAX_FILES:
        yield (
            f"{folder} holds {len(sizes):,} files, and a ConfigMap is given {MAX_FILES:,} at most; "
            "use kind s3 or pvc"
        )


def _config(stack: InferenceStack, model: Path) -> str | None:
    """Return the configuration of a model, from its template if it has one.

    Raises:
        ValueError: The template cannot be filled in, or there is a configuration beside it.
    """
    template = model / TEMPLATE
    if not template.is_file():
        return config_text(model)
    if (model / CONFIG).exists():
        raise ValueError(f"{TEMPLATE} lies beside it; delete one of them")
    known = placeholders(stack)
    try:
        return Template(template.read_text(encoding="utf-8")).substitute(known)
    except KeyError as error:
        raise ValueError(
            f"unknown placeholder {error} in {TEMPLATE}; known are {', '.join(known)}"
        ) from None
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise ValueError(f"{error} in {TEMPLATE}; a dollar sign is written $$") from None
