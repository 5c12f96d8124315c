"""Deprecated forms of parameters, rewritten to the current ones before anything is parsed.

Delete a form here, and its tests, once its date has passed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from config.base import is_encrypted
from config.problem import Problem

REMOVED_ON = "2027-06-01"
"""Date from which `gpuNodes.provision`, `devicePlugin.timeSlices`, a plain `autoscaler.signal` and
the keys that moved into it are refused."""

_Raw = dict[str, object]

_NODE_KINDS = {"eks": "eksNodeGroups", "none": "existing"}
_NODE_PROVISIONS = {kind: provision for provision, kind in _NODE_KINDS.items()}
_GROUP_ONLY = ("maxUnavailable", "vpcCniPolicy")
"""Keys that never had an effect on existing nodes."""

_SIGNAL_KEYS = ("refusedSeconds", "rateWindowSeconds")


@dataclass
class Rewritten:
    """Parameters in their current form."""

    values: _Raw
    """Values by top-level key."""

    warnings: list[Problem] = field(default_factory=list[Problem])
    """One warning for each deprecated form."""

    _stated: dict[str, str] = field(default_factory=dict[str, str])
    """Path that the user wrote, by the start of the current path."""

    def as_stated(self, problem: Problem) -> Problem:
        """Return a problem that names the keys and kinds of the user's own form."""
        if not self._stated:
            return problem
        kinds = "gpuNodes.kind" in self._stated and "gpuNodes.kind" in problem.keys
        keys = {
            self._path(key): _provision(value) if kinds and key == "gpuNodes.kind" else value
            for key, value in problem.keys.items()
        }
        reason, fix = self._path(problem.reason), self._path(problem.fix)
        if kinds and problem.check == "schema":
            reason, fix = _provisions(reason), _provisions(fix)
        change: _Raw = {}
        for key, value in problem.change.items():
            if key == "gpuNodes" and "gpuNodes.kind" in self._stated:
                change["gpuNodes.provision"] = _provision(cast("_Raw", value)["kind"])
            else:
                change[self._path(key)] = value
        return replace(problem, keys=keys, reason=reason, fix=fix, change=change)

    def _path(self, text: str) -> str:
        for current, stated in self._stated.items():
            text = text.replace(current, stated)
        return text

    def _warn(self, stated: Mapping[str, object], reason: str, fix: str) -> None:
        self.warnings.append(
            Problem(
                check="deprecated",
                severity="warn",
                keys=stated,
                reason=f"{reason}; the old form is refused from {REMOVED_ON} on",
                fix=fix,
            )
        )

    def rewrite_nodes(self) -> None:
        """Rewrite `gpuNodes.provision`, and `gpuNodes` without a kind."""
        stated = _mapping(self.values.get("gpuNodes"))
        if not stated or "kind" in stated or is_encrypted(stated):
            return
        provision = stated.get("provision", "none")
        keys = {key: value for key, value in stated.items() if key != "provision"}
        self._stated["gpuNodes.kind"] = "gpuNodes.provision"
        if provision == "eks":
            self.values["gpuNodes"] = {"kind": "eksNodeGroups", "groups": [keys]}
            self._stated |= {"gpuNodes.groups[0].": "gpuNodes.", "gpuNodes.groups[].": "gpuNodes."}
            fix = "set gpuNodes.kind to eksNodeGroups, and move the other keys to gpuNodes.groups"
            fix += "[0]"
        else:
            kind = (
                _NODE_KINDS.get(provision, provision) if isinstance(provision, str) else provision
            )
            kept = {key: value for key, value in keys.items() if key not in _GROUP_ONLY}
            self.values["gpuNodes"] = {"kind": kind, **kept}
            fix = "set gpuNodes.kind to existing"
            if without_effect := [key for key in _GROUP_ONLY if key in keys]:
                fix += f", and delete {' and '.join(without_effect)}, without effect there"
        self._warn(
            {"gpuNodes.provision": stated.get("provision")},
            "`gpuNodes` is one of several kinds, and `gpuNodes.kind` replaces `gpuNodes.provision`",
            fix,
        )

    def rewrite_sharing(self) -> None:
        """Rewrite `devicePlugin.timeSlices`, unless `gpuSharing` is stated, too."""
        plugin = _mapping(self.values.get("devicePlugin"))
        if "timeSlices" not in plugin or "gpuSharing" in self.values or is_encrypted(plugin):
            return
        slices = plugin.pop("timeSlices")
        self.values["devicePlugin"] = plugin
        fix = "delete devicePlugin.timeSlices"
        if slices != 1 or isinstance(slices, bool):
            self.values["gpuSharing"] = {"kind": "timeSlicing", "slices": slices}
            self._stated["gpuSharing.slices"] = "devicePlugin.timeSlices"
            fix = f"set gpuSharing to {{kind: timeSlicing, slices: {slices}}}, and {fix}"
        self._warn(
            {"devicePlugin.timeSlices": slices},
            "GPUs are shared in one of several ways, and `gpuSharing` replaces "
            "`devicePlugin.timeSlices`",
            fix,
        )

    def rewrite_signals(self) -> None:
        """Rewrite each plain `autoscaler.signal`, and the keys that moved into it."""
        stacks = self.values.get("inference")
        if isinstance(stacks, list):
            self.values["inference"] = [
                self._with_signal(index, stack)
                for index, stack in enumerate(cast("list[object]", stacks))
            ]

    def _with_signal(self, index: int, stack: object) -> object:
        held = _mapping(stack)
        autoscaler = _mapping(held.get("autoscaler"))
        signal = autoscaler.get("signal", {})
        moved = {key: autoscaler[key] for key in _SIGNAL_KEYS if key in autoscaler}
        plain = isinstance(signal, str)
        keys = _mapping(signal)
        if not plain and (not moved or is_encrypted(keys) or not isinstance(signal, Mapping)):
            return stack
        path = f"inference[{index}].autoscaler"
        current: _Raw = {"kind": signal} if plain else {"kind": "demand", **keys}
        moved = {key: value for key, value in moved.items() if key not in current}
        if plain:
            self._stated[f"{path}.signal.kind"] = f"{path}.signal"
        for key in moved:
            self._stated[f"{path}.signal.{key}"] = f"{path}.{key}"
        kept = {key: value for key, value in autoscaler.items() if key not in moved}
        counts = current["kind"] != "inFlight"
        kept["signal"] = current | (moved if counts else {})
        fixes = [f"set {path}.signal.kind to {signal}"] if plain else []
        if moved:
            names = " and ".join(moved)
            fixes.append(f"move {names} into it" if counts else f"delete {names}, without effect")
        self._warn(
            {
                **({f"{path}.signal": signal} if plain else {}),
                **{f"{path}.{key}": value for key, value in moved.items()},
            },
            "`autoscaler.signal` is one of several kinds, with keys of its own",
            ", and ".join(fixes),
        )
        return {**held, "autoscaler": kept}


def rewrite(stated: Mapping[str, object]) -> Rewritten:
    """Rewrite deprecated forms to the current ones.

    Args:
        stated: Values by top-level key, as the user wrote them; they are not changed.
    """
    rewritten = Rewritten(dict(stated))
    rewritten.rewrite_nodes()
    rewritten.rewrite_sharing()
    rewritten.rewrite_signals()
    return rewritten


def _mapping(value: object) -> _Raw:
    return dict(cast("_Raw", value)) if isinstance(value, Mapping) else {}


def _provision(kind: object) -> object:
    return _NODE_PROVISIONS.get(kind, kind) if isinstance(kind, str) else kind


def _provisions(text: str) -> str:
    kinds = "|".join(_NODE_PROVISIONS)
    return re.sub(rf"\b({kinds})\b", lambda match: _NODE_PROVISIONS[match[1]], text)
