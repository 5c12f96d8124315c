"""Pinned tools: found on PATH, found in the cache, or built.

`ensure("cluster")` makes a group of tools available and returns their paths. `bin_dir("cluster")`
returns one folder with links to them, for PATH.
"""

from local_cluster.toolchain.api import bin_dir, ensure, link_plugins, path_with
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.table import TABLE

__all__ = ["TABLE", "Tool", "ToolchainError", "bin_dir", "ensure", "link_plugins", "path_with"]
