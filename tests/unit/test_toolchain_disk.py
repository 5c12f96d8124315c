"""The disk that the documents promise is the disk that the toolchain asks for."""

import math
import re

from local_cluster.toolchain.table import TABLE
from ops.stack.environment import PROJECT


def test_both_readmes_state_the_space_that_a_build_of_all_tools_needs():
    modules = {tool.module.name: tool.module for tool in TABLE.values()}.values()
    # As `build` requires of the cache's file system.
    needed = max(m.build_mib for m in modules) + sum(m.installed_mib for m in modules)
    for file in ("README.md", "packages/local-cluster/README.md"):
        (stated,) = re.findall(r"(\d+) GiB of free disk", (PROJECT / file).read_text())
        assert int(stated) == math.ceil(needed / 1024), file
