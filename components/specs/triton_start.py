"""Command of Triton's container: what happens in it before and around the server."""

from collections.abc import Sequence

SHM_PATH = "/dev/shm"  # noqa: S108 - the pod's own emptyDir
"""Where the python backend finds shared memory."""

_EMPTY_SHM = f"""\
# The pod's shared memory outlives a container: remove the regions of a killed Triton, whose pages
# would stay occupied, and count against the memory limit, until the pod ends.
shopt -s dotglob nullglob
rm -rf -- {SHM_PATH}/*
exec "$@"
"""


def command(server: Sequence[str]) -> list[str]:
    """Return the container's `args` that start a server in an empty shared memory.

    Arguments, not the command: the official image's entry point, which makes CUDA fit an older
    driver, runs them. Needs bash and coreutils, and no rights beyond the pod's own user.
    """
    return ["bash", "-ec", _EMPTY_SHM, "start", *server]
