"""Requests that RBAC may forbid the user, and a note of each such request."""

from collections.abc import Iterator
from typing import Any

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.platform import Platform


def dig(thing: Any, *keys: str) -> Any:
    """Return what lies under the keys of nested objects; None where one of them is missing."""
    for key in keys:
        thing = thing.get(key) if thing else None
    return thing


class Look:
    """An API server, and everything that it forbade the user to read."""

    def __init__(self, api: ClusterApi) -> None:
        self.api = api
        self._unseen: dict[str, None] = {}

    def items(self, path: str, what: str) -> list[dict[str, Any]] | None:
        """Return all objects of a kind that every cluster has; None, and a note, without the right.

        Args:
            path: Path of the list.
            what: The objects, for the note.
        """
        found = self.api.items(path)
        if found is None:
            self.miss(what)
        return found

    def get(self, path: str, what: str) -> dict[str, Any] | None:
        """Return one object, empty where there is none; None, and a note, without the right."""
        answer = self.api.send("GET", path)
        if answer.status == 403:
            self.miss(what)
            return None
        return answer.body if answer.ok else {}

    def miss(self, what: str) -> None:
        """Note something that the user cannot read."""
        self._unseen[what] = None

    def unseen(self, platform: Platform) -> Iterator[Problem]:
        """Warn of everything that the user cannot read."""
        if self._unseen:
            yield kubeconfig.problem(
                platform,
                f"preflight could not see {'; '.join(self._unseen)}, so it does not know if they "
                "stand in the way",
                "grant the user of the kubeconfig these rights, or go on",
                "warn",
            )
