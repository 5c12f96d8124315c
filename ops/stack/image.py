"""Archives of the local node's images, for use without the node."""

import sys
from pathlib import Path

from local_cluster import toolchain
from local_cluster.serving import images, machine
from ops.errors import OpsError
from ops.stack.cluster_spec import envoy


def archive(name: str) -> Path:
    """Return an archive of an image of the local node, for `docker load`; build it if missing.

    Raises:
        OpsError: There is no such image, or this machine cannot build it.
        LocalClusterError: A part of the image cannot be had.
    """
    recipes = {recipe.repository: recipe for recipe in images.recipes(envoy())}
    if name not in recipes:
        raise OpsError(f"there is no image {name!r}; NAME is one of {', '.join(recipes)}")
    if missing := machine.missing_prerequisites():
        raise OpsError(
            f"images are built on machines that run LOCAL=serving, which needs {missing}"
        )
    needed = recipes[name].tools
    # Without names `ensure` would make every tool.
    tools = toolchain.ensure(*needed) if needed else {}
    (file,) = images.ensure(tools, _say, [recipes[name]]).values()
    return file


def _say(text: str) -> None:
    # Standard output has the path only.
    print(text, file=sys.stderr, flush=True)
