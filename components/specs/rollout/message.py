"""The end of a rollout that failed, as text for the one who ran `up`."""

from collections.abc import Callable, Sequence

from components.specs.rollout.symptom import LogOf, Symptom

_SHOWN = 3
"""Symptoms that are told in full."""

_LINES = 20
"""Lines of a log that are told: an error's cause mostly lies in its last few."""


def failure(
    what: str, found: Sequence[Symptom], old_ready: int, last_words: Callable[[LogOf], str]
) -> str:
    """Tell why one rollout failed.

    Args:
        what: One sentence without its full stop, such as `Deployment a/b cannot be rolled out`.
        found: The causes; alike ones are told once.
        old_ready: Pods of the version before that serve.
        last_words: Reads a container's log; empty where there is none.
    """
    lines = [f"{what}:"]
    told: set[tuple[str, str]] = set()
    for one in found:
        kind = (one.reason, one.words.replace(one.on.partition(" ")[2], ""))
        if kind in told or len(told) == _SHOWN:
            continue
        told.add(kind)
        lines.append(f"  {one}")
        said = last_words(one.log).strip() if one.log else ""
        if said and one.log:
            lines.append(f"  last words of its container {one.log.container}:")
            lines += [f"    {line.rstrip()}" for line in said.splitlines()[-_LINES:]]
    if others := len(found) - len(told):
        lines.append(f"  and {others} more of these")
    if old_ready:
        lines.append(f"  {old_ready} pods of the version before keep serving")
    return "\n".join(lines)
