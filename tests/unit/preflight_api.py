"""An API server that answers preflight from recorded objects."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from components.common.kubernetes_api import Answer

Json = dict[str, Any]


class Api:
    """Answers by the end of a path; 404 for all others, and empty lists."""

    def __init__(
        self,
        answers: Mapping[str, tuple[int, Json]] | None = None,
        lists: Mapping[str, list[Json] | None] | None = None,
        served: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Hold what it answers.

        Args:
            answers: Status and object by the end of a path.
            lists: Objects by the end of a path; None for a list that the user may not read.
            served: Group and version, and resource, of what it serves beside Kubernetes.
        """
        self.answers, self.lists, self.served = dict(answers or {}), dict(lists or {}), set(served)

    def send(self, _method: str, path: str, timeout_seconds: float = 0) -> Answer:
        del timeout_seconds
        for end, (status, body) in self.answers.items():
            if path.endswith(end):
                return Answer(status, json.dumps(body))
        return Answer(404, "{}")

    def ask(self, method: str, path: str) -> Json:
        answer = self.send(method, path)
        return answer.body if answer.ok else {}

    def items(self, path: str) -> list[Json] | None:
        return next((found for end, found in self.lists.items() if path.endswith(end)), [])

    def serves(self, group_version: str, resource: str) -> bool:
        return (group_version, resource) in self.served
