"""Models of a stack, checked and written as files, without a cluster."""

import sys
from pathlib import Path

from config.model_files import (
    ModelFilesError,
    config_map_problems,
    read_model_files,
    read_repository,
)
from config.repository_reader import is_program
from config.sections.inference import InferenceStack
from config.sections.triton import ConfigMapRepository
from ops.errors import OpsError
from ops.stack.environment import PROJECT, StackEnvironment
from ops.stack.lifecycle import read_settings


def check(env: StackEnvironment, folder: Path | None = None) -> int:
    """Read a model repository as Triton does; print its models, or the problems.

    Args:
        env: The stack; its first inference stack fills in templates, and states if Triton
            completes configurations.
        folder: The repository; the stack's own if unset.

    Returns:
        The exit code: 1 if Triton could not serve it.

    Raises:
        OpsError: The stack's own models are not in the project.
    """
    stack = read_settings(env).inference[0]
    own = "" if folder else _folder(stack, env)
    repository = read_repository(
        stack, str(folder.absolute()) if folder else own, str(folder or own)
    )
    problems = repository.problems
    if own:
        problems = [*problems, *config_map_problems(own, repository)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        return 1
    for model in repository.models:
        versions = ", ".join(map(str, model.served))
        print(f"{model.name}  version {versions}  {model.backend or 'backend by its file'}")
    return 0


def _folder(stack: InferenceStack, env: StackEnvironment) -> str:
    repository = stack.triton.model_repository
    # By kind: only these models are files of the project.
    if not isinstance(repository, ConfigMapRepository):
        raise OpsError(f"the models of {env.stack} are not in the project: {repository.kind}")
    return repository.folder


def write_models(env: StackEnvironment, folder: Path | None = None) -> Path:
    """Write the model repository of the stack's first inference stack as files.

    Args:
        env: The stack, whose parameters fill in the templates.
        folder: The target; `build/models` if unset.

    Returns:
        The folder.

    Raises:
        OpsError: The models are not in the project, or Triton could not serve them.
    """
    stack = read_settings(env).inference[0]
    try:
        files = read_model_files(stack, _folder(stack, env))
    except ModelFilesError as error:
        raise OpsError("\n".join(error.problems)) from None
    target = folder or PROJECT / "build" / "models"
    for name, content in files.items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        if is_program(content):
            file.chmod(0o755)
    return target
