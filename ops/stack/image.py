"""Parts of the local node for use without it: an image's archive."""

import sys
from pathlib import Path

import toolchain
from local.serving import images, machine
from ops.errors import OpsError
from ops.stack.cluster_spec import envoy


def archive(name: str) -> Path:
    """The archive of one of the local node's images, as `docker load` takes it; built if missing.

    Raises:
        OpsError: There is no such image, or this machine cannot build it.
        LocalClusterError: Something that it is made of is not to be had.
    """
    recipes = {recipe.repository: recipe for recipe in images.recipes(envoy())}
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
