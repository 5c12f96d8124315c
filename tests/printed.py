"""Output of a command, as a test reads it."""

import re


def rows(table: str) -> dict[str, list[str]]:
    """Lines of tables: the other cells by the first one; between two are two spaces or more."""
    lines = (re.split(r"\s{2,}", line.strip()) for line in table.splitlines())
    return {first: rest for first, *rest in lines if rest}
