"""Selects rows of the table of tools."""

from collections.abc import Iterable, Mapping

from local_cluster.toolchain.errors import ToolchainError
from local_cluster.toolchain.model import Tool
from local_cluster.toolchain.table import TABLE


def select(names: Iterable[str], table: Mapping[str, Tool] = TABLE) -> list[Tool]:
    """Return the tools of some names and groups, in the table's order; without names all of them.

    Raises:
        ToolchainError: The table has no tool or group of a name.
    """
    wanted = set(names)
    groups = {tool.group for tool in table.values()}
    if unknown := wanted - groups - set(table):
        raise ToolchainError(
            f"no tool or group is called {', '.join(sorted(unknown))}; "
            f"groups: {', '.join(sorted(groups))}; tools: {', '.join(table)}"
        )
    chosen = {
        tool.name
        for tool in table.values()
        if not wanted or tool.name in wanted or tool.group in wanted
    }
    # A set is chosen as a whole: its parts find one another by directory.
    chosen |= {tool.name for tool in table.values() if tool.set_with in chosen}
    chosen |= {table[name].set_with for name in chosen if table[name].set_with}
    return [tool for tool in table.values() if tool.name in chosen]
