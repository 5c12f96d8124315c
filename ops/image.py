"""Parts of the local node for use without it: an image's archive, and the models as files."""

import sys
from pathlib import Path

import toolchain
from config.model_files import read_model_files
from config.triton import ConfigMapRepository
from local.serving import images, machine
from ops.environment import PROJECT, StackEnvironment
from ops.pulumi import OpsError
from ops.stack import read_settings


def archive(name: str) -> Path:
    """The archive of one of the local node's images, as `docker load` takes it; built if missing.

    Raises:
        OpsError: there is no such image, or this machine cannot build it.
        LocalClusterError: something that it is made of is not to be had.
    """
    recipes = {recipe.repository: recipe for recipe in images.RECIPES}
    if name not in recipes:
        raise OpsError(f"there is no image {name!r}; NAME is one of {', '.join(recipes)}")
    if lacking := machine.lacking():
        raise OpsError(f"images are built where LOCAL=serving runs, which needs {lacking}")
    needed = recipes[name].tools
    # No names would mean every tool that there is.
    tools = toolchain.ensure(*needed) if needed else {}
    (file,) = images.ensure(tools, _say, [recipes[name]]).values()
    return file


def _say(text: str) -> None:
    # Standard output is the path alone.
    print(text, file=sys.stderr, flush=True)


def write_models(env: StackEnvironment, folder: Path | None = None) -> Path:
    """Write the model repository of the stack's first inference stack as files.

    Args:
        env: whose parameters fill in the templates.
        folder: where to; `build/models` if unset.

    Returns:
        The folder.

    Raises:
        OpsError: the models are not files of the project's.
    """
    stack = read_settings(env).inference[0]
    repository = stack.triton.model_repository
    if not isinstance(repository, ConfigMapRepository):
        raise OpsError(f"the models of {env.stack} are not in the project: {repository.kind}")
    target = folder or PROJECT / "build" / "models"
    for name, content in read_model_files(stack, repository.folder).items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return target
