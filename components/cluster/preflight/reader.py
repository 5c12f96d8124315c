"""Read requests that RBAC may forbid, and a note of each request that it forbids."""

from collections.abc import Iterator
from typing import Any

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.platform import Platform


def dig(value: Any, *keys: str) -> Any:
    """Return the value under the keys of nested objects; None if one of them is missing."""
    for key in keys:
        value = value.get(key) if value else None
    return value


class ClusterReader:
    """An API server, and a note of everything that the user cannot read."""

    def __init__(self, api: ClusterApi) -> None:
        self.api = api
        self._unreadable: dict[str, None] = {}

    def items(self, path: str, what: str) -> list[dict[str, Any]] | None:
        """Return all objects of a kind that every cluster has; without permission, None and a note.

        Args:
            path: Path of the list.
            what: The objects, for the note.
        """
        found = self.api.items(path)
        if found is None:
            self.note(what)
        return found

    def get(self, path: str, what: str) -> dict[str, Any] | None:
        """Return one object, empty if it does not exist; without permission, None and a note."""
        answer = self.api.send("GET", path)
        if answer.status == 403:
            self.note(what)
            return None
        return answer.body if answer.ok else {}

    def note(self, what: str) -> None:
        """Note something that the user cannot read."""
        self._unreadable[what] = None

    def unreadable(self, platform: Platform) -> Iterator[Problem]:
        """Warn of everything that the user cannot read."""
        if self._unreadable:
            yield kubeconfig.problem(
                platform,
                f"preflight could not see {'; '.join(self._unreadable)}, so it does not know if "
                "they are obstacles",
                "grant the user of the kubeconfig these permissions, or continue",
                "warn",
            )
