"""The message of a failed rollout, for the user who ran `up`."""

import re
from collections.abc import Callable, Sequence

from components.rollout.status.symptom import LogOf, Symptom

_SHOWN = 3
"""Symptoms that the message describes in full."""

_LINES = 24
"""Lines of a log that the message quotes."""

_LAST = 8
"""Of these, its last lines; the others are the errors before: a server that gives up may print its
options, and the steps of its shutdown, after the cause."""

_ERROR = re.compile(
    r"^[EF]\d{4} |error|fail|exception|traceback|denied|refused|not found|no such|unavailable|"
    r"invalid|fatal|critical|panic|killed",
    re.IGNORECASE,
)
"""Words of an error. In glog's format, a line that begins with E or F is an error."""

_TABLE = ("|", "+-")
"""Starts of the lines of a table, which are long and rarely help."""


def failure(
    what: str, found: Sequence[Symptom], old_ready: int, last_lines: Callable[[LogOf], str]
) -> str:
    """Explain why one rollout failed.

    Args:
        what: One sentence without its full stop, such as `Deployment a/b cannot be rolled out`.
        found: Causes; the message describes similar causes once.
        old_ready: Pods of the previous version that serve.
        last_lines: Reads the end of a container's log; empty if there is none.
    """
    lines = [f"{what}:"]
    described: set[tuple[str, str]] = set()
    for one in found:
        kind = (one.reason, one.words.replace(one.on.partition(" ")[2], ""))
        if kind in described or len(described) == _SHOWN:
            continue
        described.add(kind)
        lines.append(f"  {one}")
        log = last_lines(one.log).strip() if one.log else ""
        if log and one.log:
            lines.append(f"  last log lines of its container {one.log.container}:")
            lines += [f"    {line}" for line in telling(log)]
    if others := len(found) - len(described):
        lines.append(f"  and {others} more like these")
    if old_ready:
        lines.append(f"  {old_ready} pods of the previous version keep serving")
    return "\n".join(lines)


def telling(log: str) -> list[str]:
    """Choose the lines of a log that explain why a container ended.

    Args:
        log: The end of the log.
    """
    lines = [re.sub(r"\s{2,}", " ", line.rstrip()) for line in log.splitlines() if line.strip()]
    if len(lines) <= _LINES:
        return lines
    wanted = [line for line in lines if _ERROR.search(line) or not line.startswith(_TABLE)]
    errors = [line for line in wanted[:-_LAST] if _ERROR.search(line)]
    return errors[_LAST - _LINES :] + wanted[-_LAST:]
