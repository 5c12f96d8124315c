"""The pinned tools that the project runs: found on PATH, found in the cache, or built.

`ensure("cluster")` makes a group of tools ready and says where each is; `bin_dir("cli", "cluster")`
gives one directory to put first on PATH.
"""

from local_cluster.toolchain.api import bin_dir, ensure, link_plugins, path_with
from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.table import TABLE

__all__ = ["TABLE", "Tool", "ToolchainError", "bin_dir", "ensure", "link_plugins", "path_with"]
