"""A preview as Markdown for a pull request; pure functions.

Deletions and replacements come first and are never folded. Property changes are folded, and the
last ones are omitted if the comment would exceed GitHub's limit.
"""

import difflib
import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ops.pr.impact import impact, outages
from ops.pr.steps import ABSENT, PropertyChange, Step, clean, read_steps
from ops.render.files import to_yaml

GITHUB_LIMIT = 65_536
"""Most characters that GitHub accepts in a comment."""

_RESOURCE_LIMIT = 8_000
"""Most characters of one resource's changes, for readability."""

_NAMED = 3
"""Most objects that a heading names."""

_ORDER = ("delete", "replace", "update", "create")
_SIGN = {"delete": "-", "replace": "±", "update": "~", "create": "+"}
_PARTICIPLE = {
    "delete": "deleted",
    "replace": "replaced",
    "update": "updated",
    "create": "created",
}


def marker(stack: str) -> str:
    """Return an invisible line by which a later run finds its comment on a stack."""
    return f"<!-- kubemind-inference preview of {stack} -->"


def comment(previews: Mapping[str, Mapping[str, Any]], limit: int = GITHUB_LIMIT) -> str:
    """Return the whole comment.

    Args:
        previews: Output of `pulumi preview --json`, by stack.
        limit: Most characters of the comment.
    """
    heads = {stack: _head(stack, preview) for stack, preview in previews.items()}
    room = limit - sum(len(head) + 1 for head in heads.values())
    parts: list[str] = []
    for index, (stack, preview) in enumerate(previews.items()):
        # The next stack may use the room that one leaves.
        share = room // (len(previews) - index)
        details = _details(stack, preview, share)
        room -= len(details)
        parts.append(heads[stack] + details)
    text = "\n".join(parts)
    if len(text) <= limit:
        return text
    note = "\n\nThe list is longer than a comment may be; see the job's log.\n"
    return text[: limit - len(note)] + note


def _head(stack: str, preview: Mapping[str, Any]) -> str:
    steps = read_steps(preview)
    lines = [marker(stack), f"### `{stack}`: {verdict(preview)}", ""]
    errors = messages(preview, "error")
    if errors:
        lines += [_fence("\n".join(errors)), ""]
    dangerous = [step for step in steps if step.operation in {"delete", "replace"}]
    if dangerous:
        lines += ["**Deleted or replaced**", ""]
        for step in sorted(dangerous, key=lambda step: _ORDER.index(step.operation)):
            why = ", ".join(f"`{path}`" for path in step.replace_reasons)
            because = f", because of {why}" if why else ""
            lines.append(f"- **{step.operation}** `{step.title}`{because}")
        lines.append("")
    if consequences := impact(steps, messages(preview, "warning")):
        lines += ["**GPUs and calls**", "", *(f"- {text}" for text in consequences), ""]
    if not errors and any(step.operation != "same" for step in steps):
        lines += _capacity(preview)
    if warnings := messages(preview, "warning"):
        lines += ["**Warnings**", "", _fence("\n".join(warnings)), ""]
    return "\n".join([*lines, ""])


def verdict(preview: Mapping[str, Any]) -> str:
    """Return one line: failed, no changes, or the outage and the number of changed resources."""
    if messages(preview, "error"):
        return "the preview failed"
    steps = read_steps(preview)
    counts = {name: sum(step.operation == name for step in steps) for name in _ORDER}
    counted_changes = [f"{count} {_PARTICIPLE[name]}" for name, count in counts.items() if count]
    if not counted_changes:
        return f"no changes to {_unchanged(preview)} resources"
    counted = ", ".join(counted_changes) + f"; {_unchanged(preview)} unchanged"
    ended = outages(steps, messages(preview, "warning"))
    return f"OUTAGE of {_some(ended)}: {counted}" if ended else counted


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _unchanged(preview: Mapping[str, Any]) -> int:
    summary: Mapping[str, int] = preview.get("changeSummary") or {}
    return summary.get("same", 0)


def messages(preview: Mapping[str, Any], severity: str) -> list[str]:
    """Return the diagnostics of one severity, each once, without colours and plugin messages."""
    found: list[str] = []
    diagnostics: list[dict[str, Any]] = preview.get("diagnostics") or []
    for item in diagnostics:
        text = re.sub(r"\x1b\[[0-9;]*m|<\{%.*?%\}>", "", item.get("message", "")).strip()
        text = text.removeprefix(f"{severity}: ")
        if item.get("severity") == severity and text and text not in found:
            found.append(text)
    return [text for text in found if not text.startswith("using pulumi-")]


def _capacity(preview: Mapping[str, Any]) -> list[str]:
    """Return the figures that the stack exports, and the capacity that the program prints."""
    lines: list[str] = []
    figures = [
        f"`{name}` {value:,}".removesuffix(".0")
        for name, value in sorted(_outputs(preview).items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if figures:
        lines += ["**Capacity now**", "", ", ".join(figures), ""]
    capacity = [text for text in messages(preview, "info") if text.startswith("capacity of ")]
    if capacity:
        lines += ["**Capacity after this change**", "", _fence("\n".join(capacity)), ""]
    return lines


def _outputs(preview: Mapping[str, Any]) -> Mapping[str, Any]:
    steps: list[dict[str, Any]] = preview.get("steps") or []
    stacks = [step for step in steps if "::pulumi:pulumi:Stack::" in step["urn"]]
    state: dict[str, Any] = stacks[0].get("oldState") or {} if stacks else {}
    return state.get("outputs") or {}


def _details(stack: str, preview: Mapping[str, Any], room: int) -> str:
    """Return the folded changes of the resources, as many as fit into `room` characters."""
    steps = [step for step in read_steps(preview) if step.operation != "same"]
    steps.sort(key=lambda step: _ORDER.index(step.operation))
    blocks = [_block(step) for step in steps]
    if sum(map(len, blocks)) <= room:
        return "".join(blocks)
    note = (
        "\n{} more resources change than fit here; see the job's log, or: make preview STACK={}\n"
    )
    room -= len(note) + len(stack) + 10
    shown: list[str] = []
    for block in blocks:
        if len(block) > room:
            break
        shown.append(block)
        room -= len(block)
    return "".join(shown) + note.format(len(blocks) - len(shown), stack)


def _block(step: Step) -> str:
    if step.operation in {"create", "delete"}:
        inputs = step.new if step.operation == "create" else step.old
        body = _fence(_cut(to_yaml(clean(dict(inputs)))), "yaml")
    else:
        body = _fence(_cut("\n".join(_change(change) for change in step.changes)), "diff")
    title = html.escape(f"{_SIGN[step.operation]} {step.operation} {step.title}")
    return f"<details><summary><code>{title}</code></summary>\n\n{body}\n\n</details>\n"


def _change(change: PropertyChange) -> str:
    if isinstance(change.old, str) and isinstance(change.new, str) and "\n" in change.old:
        lines = difflib.unified_diff(
            change.old.splitlines(), change.new.splitlines(), lineterm="", n=2
        )
        return "\n".join([f"  {change.path}:", *list(lines)[2:]])
    lines = [f"  {change.path}:"]
    for sign, value in (("-", change.old), ("+", change.new)):
        if value is not ABSENT:
            lines += [f"{sign} {line}" for line in _text(value).splitlines()]
    return "\n".join(lines)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value or '""'
    return to_yaml(value).removesuffix("...\n").rstrip()


def _cut(text: str) -> str:
    if len(text) <= _RESOURCE_LIMIT:
        return text.rstrip()
    return text[:_RESOURCE_LIMIT].rpartition("\n")[0] + "\n  (cut here)"


def _fence(text: str, language: str = "") -> str:
    # A fence must be longer than any run of backticks that it holds.
    ticks = max(map(len, re.findall(r"`{3,}", text)), default=2) + 1
    return f"{'`' * ticks}{language}\n{text}\n{'`' * ticks}"
