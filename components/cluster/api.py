"""A client of an API server, for the user of a kubeconfig.

client-go, on which the Kubernetes provider is built, reads the kubeconfig and connects
(`kubectl_proxy.py`). Proxies, server names, certificates and credential plug-ins therefore work as
they do in the provider.
"""

import contextlib
import http.client
import json
import time
from types import TracebackType
from typing import Any, Self

from components.cluster.kubeconfig import KubeconfigContext
from components.cluster.kubectl_proxy import KubectlProxy
from components.common.kubernetes_api import JSON, Answer, ApiRefusedError, ApiUnreachableError

REACH_SECONDS = 15.0
"""Time limit for connecting and the first answer; an unreachable address takes all of it."""

ANSWER_SECONDS = 30.0
"""Time limit for each further answer to begin; a busy API server is not gone."""

CREDENTIALS_SECONDS = 30.0
"""Additional time for a credential plug-in; a cloud's CLI takes a second or two."""

_PAGE = 500
"""Objects per answer of a list, as kubectl asks for them."""


class ClusterApi:
    """A client of one cluster, for one user. Several threads may share it.

    The first request starts kubectl. `close` and the end of the program end it.

    Raises:
        ApiUnreachableError: By every method, if no API server answers.
        ApiRefusedError: By every method, if the server rejects the credentials, or there are none.
        KubeconfigRefusedError: By every method, if client-go cannot use the kubeconfig.
    """

    def __init__(self, target: KubeconfigContext) -> None:
        self.target = target
        self._proxy = KubectlProxy(target)
        self._reached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End kubectl; the next request starts it again."""
        self._proxy.close()

    def ask(
        self, method: str, path: str, body: object = None, content_type: str = JSON
    ) -> dict[str, Any]:
        """Return the answer as an object; empty for 403 (forbidden) and 404 (not found).

        Args:
            method: HTTP method.
            path: Path with its query, such as `/api/v1/namespaces?limit=1`.
            body: Body, sent as JSON; None sends none.
            content_type: Type of the body; `MERGE_PATCH` or `APPLY_PATCH` for a PATCH.

        Raises:
            ApiUnreachableError: Also if the server answers with any other error.
        """
        answer = self.send(method, path, body, content_type)
        if answer.status in (403, 404):
            return {}
        if not answer.ok:
            raise ApiUnreachableError(f"{path} answers {answer.status}: {answer.message}")
        if not answer.body:
            raise ApiUnreachableError(
                f"{path} answers with something that is not a Kubernetes object"
            )
        return answer.body

    def items(self, path: str) -> list[dict[str, Any]] | None:
        """Return all objects of a list, page by page; None for 403 and 404.

        Args:
            path: Path of the list, with or without a query.
        """
        found: list[dict[str, Any]] = []
        page = f"{path}{'&' if '?' in path else '?'}limit={_PAGE}"
        following = ""
        while True:
            answer = self.ask("GET", f"{page}&continue={following}" if following else page)
            if not answer:
                return None
            found.extend(answer.get("items") or ())
            following = answer.get("metadata", {}).get("continue", "")
            if not following:
                return found

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = JSON,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """Return the answer with its status, which is any except 401.

        Args:
            method: HTTP method.
            path: Path with its query.
            body: Body, sent as JSON; None sends none.
            content_type: Type of the body.
            timeout_seconds: Time limit for the answer to begin; None for the default.
        """
        headers = {"Accept": f"{JSON}, */*"}
        content = None
        if body is not None:
            headers["Content-Type"] = content_type
            content = json.dumps(body).encode()
        patience = timeout_seconds or (ANSWER_SECONDS if self._reached else REACH_SECONDS)
        if self.target.command:
            patience += CREDENTIALS_SECONDS
        end = time.monotonic() + patience
        cut_off = False
        while True:
            with contextlib.closing(self._proxy.connect(patience)) as connection:
                try:
                    connection.request(method, path, content, headers)
                    response = connection.getresponse()
                    text = response.read().decode(errors="replace")
                except TimeoutError:
                    raise ApiUnreachableError(f"{path} takes longer than {patience:g} s") from None
                except (OSError, http.client.HTTPException) as error:
                    # Someone ended kubectl in the meantime. Every request here is safe to repeat.
                    if isinstance(error, ConnectionError) and not cut_off:
                        cut_off = True
                        continue
                    raise ApiUnreachableError(
                        f"kubectl proxy: {self._proxy.last_error_line() or error}"
                    ) from None
            if response.status != http.HTTPStatus.TOO_MANY_REQUESTS or time.monotonic() > end:
                break
            # As client-go does: a busy server, or one that begins to store a new kind, says when.
            time.sleep(float(response.headers.get("Retry-After") or 1))
        # The API server's own errors are objects; plain text is kubectl's.
        if response.status >= 500 and (response.headers.get_content_type() == "text/plain"):
            raise self._proxy.failure(text.strip())
        if response.status == 401:
            raise ApiRefusedError("401 Unauthorized")
        self._reached = True
        return Answer(response.status, text)

    def version(self) -> str:
        """Return the server's version, such as `v1.36.3`; empty if the user cannot read it."""
        answer = self.send("GET", "/version")
        if answer.status == 404:
            raise ApiUnreachableError("it has no /version, so it is not a Kubernetes API server")
        return str(answer.body.get("gitVersion", ""))

    def serves(self, group_version: str, resource: str) -> bool:
        """Return True if the server knows a resource (`scaledobjects` of `keda.sh/v1alpha1`)."""
        known = self.ask("GET", f"/apis/{group_version}").get("resources", [])
        return any(item.get("name") == resource for item in known)

    def schema(self, group_version: str, kind: str) -> dict[str, Any]:
        """Return the server's OpenAPI schema of a kind; empty if the user cannot read it."""
        document = self.ask("GET", f"/openapi/v3/apis/{group_version}")
        schemas: dict[str, dict[str, Any]] = document.get("components", {}).get("schemas", {})
        for schema in schemas.values():
            kinds = schema.get("x-kubernetes-group-version-kind", ())
            if kind in [described.get("kind") for described in kinds]:
                return schema
        return {}

    def namespace_labels(self, name: str) -> dict[str, str] | None:
        """Return a namespace's labels; None if it does not exist, or the user cannot read it."""
        answer = self.ask("GET", f"/api/v1/namespaces/{name}")
        return dict(answer["metadata"].get("labels") or {}) if answer else None

    def may(self, verb: str, group: str, resource: str, namespace: str = "") -> bool:
        """Return True if the server's authorizers allow the user an action."""
        wanted = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in wanted.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self.ask("POST", path, review)
        return bool(answer.get("status", {}).get("allowed", False))
