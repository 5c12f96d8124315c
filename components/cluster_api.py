"""The few questions that preflight has for an API server, with short time limits."""

import base64
import json
import os
import subprocess
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec
from lightkube.config.client_adapter import Client, ConnectionParams
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User, UserExec
from lightkube.core.exceptions import ConfigError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
CREDENTIALS_SECONDS = 30.0
"""How long the kubeconfig's credential command may take; a cloud's CLI takes a second or two."""


class ApiUnreachableError(Exception):
    """Nothing that is a Kubernetes API server answers."""


class ApiRefusedError(Exception):
    """The API server answers, and does not accept who asks."""


class ClusterApi:
    """One cluster, as one user of it.

    Raises:
        ApiUnreachableError: by every method, where no API server answers.
        ApiRefusedError: by every method, where the credentials are not accepted or not to be had.
    """

    def __init__(self, target: SingleConfig) -> None:
        user = target.user or User()
        if user.exec:
            user = _user_by_command(user.exec)
        target = target._replace(user=user)
        host = httpx2.URL(target.cluster.server).host
        # As kubectl: nothing on this machine is asked for by way of a proxy.
        local = host == "localhost" or host.startswith("127.") or host == "::1"
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        try:
            self._http = Client(target, ConnectionParams(timeout=timeout, trust_env=not local))
        except (ConfigError, OSError, ValueError) as error:
            raise ApiRefusedError(
                f"the certificates in the kubeconfig cannot be used: {error}"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def version(self) -> str:
        """Version that the server reports, such as `v1.36.3`."""
        return str(self._ask("GET", "/version").get("gitVersion", ""))

    def serves(self, group_version: str, resource: str) -> bool:
        """Whether the server knows a resource, such as `scaledobjects` of `keda.sh/v1alpha1`."""
        known = self._ask("GET", f"/apis/{group_version}").get("resources", [])
        return any(item.get("name") == resource for item in known)

    def schema(self, group_version: str, kind: str) -> dict[str, Any]:
        """OpenAPI schema by which the server takes a kind; empty where it may not be read."""
        document = self._ask("GET", f"/openapi/v3/apis/{group_version}")
        schemas: dict[str, dict[str, Any]] = document.get("components", {}).get("schemas", {})
        for schema in schemas.values():
            kinds = schema.get("x-kubernetes-group-version-kind", ())
            if kind in [described.get("kind") for described in kinds]:
                return schema
        return {}

    def helm_release(self, crd: str) -> tuple[str, str] | None:
        """(namespace, name) of the Helm release that made a CRD, empty where none did.

        None where the CRD cannot be read, which takes rights that the stack itself does not need.
        """
        answer = self._ask("GET", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd}")
        if "metadata" not in answer:
            return None
        notes: dict[str, str] = answer["metadata"].get("annotations") or {}
        owner = "meta.helm.sh/release"
        return notes.get(f"{owner}-namespace", ""), notes.get(f"{owner}-name", "")

    def namespace_labels(self, name: str) -> dict[str, str] | None:
        """Labels of a namespace; None where there is none, or no right to read it."""
        answer = self._ask("GET", f"/api/v1/namespaces/{name}")
        return dict(answer["metadata"].get("labels") or {}) if "metadata" in answer else None

    def has_claim(self, namespace: str, name: str) -> bool:
        """Whether a PersistentVolumeClaim is there, and may be read."""
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        return "metadata" in self._ask("GET", path)

    def may(self, verb: str, group: str, resource: str, namespace: str = "") -> bool:
        """Whether the user may do a thing, as the server's own authorisers decide it."""
        wanted = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in wanted.items() if value}},
        }
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        answer = self._ask("POST", path, review)
        return bool(answer.get("status", {}).get("allowed", False))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer; empty where there is no such thing, or no right to read it."""
        try:
            response = self._http.request(method, path, json=body)
        except httpx2.TimeoutException:
            limits = f"{CONNECT_SECONDS:g} s to connect, {ANSWER_SECONDS:g} s to answer"
            raise ApiUnreachableError(f"it takes too long ({limits})") from None
        except httpx2.HTTPError as error:
            strange = "CERTIFICATE_VERIFY_FAILED" in str(error)
            why = "its certificate is not of the kubeconfig's authority" if strange else error
            raise ApiUnreachableError(f"{why}") from None
        if response.status_code == 401:
            raise ApiRefusedError("401 Unauthorized")
        if response.status_code in (403, 404):
            return {}
        if response.is_error:
            raise ApiUnreachableError(f"{path} answers {response.status_code}")
        try:
            return dict(response.json())
        except ValueError:
            raise ApiUnreachableError(f"{path} answers something that is not Kubernetes'") from None


def _user_by_command(command: UserExec) -> User:
    """Credentials by the kubeconfig's command (client-go's exec plug-in protocol).

    Raises:
        ApiRefusedError: the command is missing, fails, or hands out no credentials.
    """
    request: dict[str, object] = {
        "apiVersion": command.apiVersion,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    environment = {
        **os.environ,
        **{variable.name: variable.value for variable in command.env or ()},
        "KUBERNETES_EXEC_INFO": json.dumps(request),
    }
    try:
        done = subprocess.run(  # noqa: S603 - what the user's kubeconfig says, as kubectl does
            [command.command, *(command.args or ())],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CREDENTIALS_SECONDS,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
    except FileNotFoundError:
        hint = f" ({command.installHint.strip()})" if command.installHint else ""
        raise ApiRefusedError(
            f"its credential command {command.command} is not installed{hint}"
        ) from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"]
        raise ApiRefusedError(
            f"its credential command {command.command} failed: {said[-1]}"
        ) from None
    except subprocess.TimeoutExpired:
        raise ApiRefusedError(
            f"its credential command {command.command} takes longer than {CREDENTIALS_SECONDS:g} s"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ApiRefusedError(
            f"its credential command {command.command} gave no credentials"
        ) from None
    return msgspec.convert(
        {
            "token": status.get("token"),
            "client-certificate-data": _base64(status.get("clientCertificateData")),
            "client-key-data": _base64(status.get("clientKeyData")),
        },
        User,
    )


def _base64(pem: str | None) -> str | None:
    return base64.b64encode(pem.encode()).decode() if pem else None
