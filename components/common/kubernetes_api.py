"""The interface of an API server's client that components need.

`components.cluster.api.ClusterApi` implements it. A program of another team may pass its own
client, or none.
"""

import json
from typing import Any, NamedTuple, Protocol

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ApiUnreachableError(Exception):
    """No Kubernetes API server answers."""


class ApiRefusedError(Exception):
    """The API server refuses the credentials, or there are none."""


class KubeconfigRefusedError(Exception):
    """client-go refuses the kubeconfig itself."""


class Answer(NamedTuple):
    """An answer of the API server."""

    status: int
    """HTTP status."""

    text: str
    """Body as text."""

    @property
    def ok(self) -> bool:
        """True for a status below 300."""
        return self.status < 300

    @property
    def body(self) -> dict[str, Any]:
        """Body as a JSON object; empty if it is not one."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]

    @property
    def message(self) -> str:
        """The API server's own words about an error."""
        return str(self.body.get("message") or self.text.strip() or self.status)


class KubernetesApi(Protocol):
    """A client of one cluster's API server, for one user.

    Several threads may call it at once. Every method raises `ApiUnreachableError`,
    `ApiRefusedError` or `KubeconfigRefusedError` if there is no answer.
    """

    def ask(
        self, method: str, path: str, body: object = None, content_type: str = JSON
    ) -> dict[str, Any]:
        """Return the answer as an object; empty for 403 (no permission) and 404 (not found).

        Args:
            method: HTTP method.
            path: Path with its query, such as `/api/v1/namespaces?limit=1`.
            body: Object to send as JSON; None sends nothing.
            content_type: Media type of the body; `MERGE_PATCH` or `APPLY_PATCH` for a PATCH.

        Raises:
            ApiUnreachableError: Also for any other error status.
        """
        ...

    def items(self, path: str) -> list[dict[str, Any]] | None:
        """Return all objects of a list, page by page; None for 403 and 404.

        Args:
            path: Path of the list, with or without a query.
        """
        ...

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = JSON,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Return the answer with its status, whatever it is except 401.

        Args:
            method: HTTP method.
            path: Path with its query.
            body: Object to send as JSON; None sends nothing.
            content_type: Media type of the body.
            timeout_seconds: Time limit for the answer to begin; None for the client's default.
        """
        ...
