"""One cluster of a kubeconfig, as the Kubernetes provider reads it.

client-go itself parses the document (`kubectl config view`). The provider differs from kubectl in
three ways, and this module follows the provider:

- It reads the one file or text that it is given. `KUBECONFIG`, `~/.kube/config`,
  `KUBERNETES_MASTER`, a service account inside a cluster and the user's `kuberc` have no effect.
- It reads relative paths in the kubeconfig (certificates, token files, credential commands) from
  the project's folder, where kubectl reads them from the kubeconfig's own folder.
- It expands a leading `~/` to the user's home directory of the system, not to `$HOME`, and expands
  no `~user`.
"""

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.problem import Problem, Severity
from config.sections.platform import (
    LOCAL_KUBECONFIG,
    KubeconfigPlatform,
    LocalPlatform,
    Platform,
    ReferencePlatform,
)

READ_SECONDS = 30.0
"""Time limit for kubectl to parse a kubeconfig, which takes 0.1 s on an idle machine."""

Document = dict[str, Any]

_PATHS = {
    "cluster": ("certificate-authority",),
    "user": ("client-certificate", "client-key", "tokenFile"),
}
"""Fields of a kubeconfig that name files, as client-go resolves them."""


class KubeconfigError(Exception):
    """No cluster can be read from the kubeconfig; carries the one problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _UnusableError(Exception):
    """The reason why a kubeconfig cannot be read, for a message."""


@dataclass(frozen=True, kw_only=True)
class KubeconfigContext:
    """One context of a kubeconfig: a cluster, as one user of it."""

    context: str
    """Name of the context."""

    server: str
    """Address of the API server, as the kubeconfig states it."""

    document: Document
    """Kubeconfig of this context alone, which means the same in every folder."""

    @property
    def command(self) -> Mapping[str, Any]:
        """Credential plug-in (`exec`) of the user; empty if there is none."""
        users = self.document["users"]
        return (users[0]["user"].get("exec") or {}) if users else {}


def kubectl_environment() -> dict[str, str]:
    """Return the environment in which kubectl obeys its arguments and the kubeconfig alone."""
    return {**os.environ, "KUBERC": "off"}


def file_of(platform: LocalPlatform | KubeconfigPlatform) -> Path:
    """Return the kubeconfig file that the provider opens for this platform.

    The state holds the path as it is spelled, so the stack is the same on every machine. The
    provider expands `~` and starts in the project's folder.
    """
    spelled = platform.path
    if spelled == "~" or spelled.startswith("~/"):
        return Path(pwd.getpwuid(os.getuid()).pw_dir, spelled[2:])
    return Path(spelled)


def as_text(contents: object) -> str:
    """Return an exported kubeconfig as the text that the provider takes.

    Args:
        contents: Text, or the object that libraries such as pulumi-eks export.
    """
    return contents if isinstance(contents, str) else json.dumps(contents, sort_keys=True)


def read(platform: Platform, contents: object = None) -> KubeconfigContext:
    """Read the one cluster that a platform names.

    Args:
        platform: The `platform` section.
        contents: Kubeconfig, for a platform that reads it from another stack.

    Raises:
        KubeconfigError: The file is missing or no kubeconfig, or lacks the context.
    """
    if not shutil.which("kubectl"):
        raise KubeconfigError(
            problem(
                platform,
                "kubectl is not on PATH, and the program reads the cluster through it",
                "run eval \"$(make -s env)\" in the project's folder, which puts the project's own "
                "kubectl first on PATH; or install it (https://kubernetes.io/docs/tasks/tools)",
            )
        )
    try:
        # By kind: reading another stack's output takes Pulumi, so the caller does it.
        if isinstance(platform, ReferencePlatform):
            document = _parse(as_text(contents))
        else:
            document = _parse(file_of(platform).read_text(encoding="utf-8"))
    except OSError as error:
        raise KubeconfigError(_unreadable(platform, error.strerror or str(error))) from None
    except ValueError:
        raise KubeconfigError(_unreadable(platform, "it is not a kubeconfig")) from None
    except _UnusableError as error:
        raise KubeconfigError(_unreadable(platform, str(error))) from None
    try:
        return _target(document, platform.context or document.get("current-context") or "")
    except _UnusableError as error:
        fix = _local_fix(platform) or "set platform.context to one of them, or correct it"
        raise KubeconfigError(problem(platform, str(error), fix)) from None


def problem(platform: Platform, reason: str, fix: str, severity: Severity = "refuse") -> Problem:
    """Build a problem of the cluster, with the keys of the platform."""
    return Problem(
        check="preflight",
        severity=severity,
        keys=platform.identifying_keys,
        reason=reason,
        fix=fix,
    )


def _parse(text: str) -> Document:
    """Parse a kubeconfig as client-go does."""
    if not text.strip():
        raise _UnusableError("it is empty")
    # A file, because kubectl reads its kubeconfig more than once; it may hold secrets.
    with tempfile.TemporaryDirectory(prefix="kubemind-") as folder:
        file = Path(folder, "kubeconfig")
        file.write_text(text, encoding="utf-8")
        try:
            ran = subprocess.run(  # noqa: S603 - kubectl, as found on PATH
                [
                    *("kubectl", "config", "view", "--raw", "-o", "json"),
                    *("--kubeconfig", str(file)),
                ],
                env=kubectl_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=READ_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _UnusableError(
                f"kubectl took longer than {READ_SECONDS:g} s to parse it"
            ) from None
        if ran.returncode:
            why = ran.stderr.replace(f' "{file}"', "").strip().removeprefix("error: ")
            why = why.removeprefix("error loading config file: ")
            raise _UnusableError(f"it is not a kubeconfig: {why}")
        return json.loads(ran.stdout)


def _target(document: Document, context: str) -> KubeconfigContext:
    contexts, clusters, users = (
        {item["name"]: item[key] for item in document.get(f"{key}s") or ()}
        for key in ("context", "cluster", "user")
    )
    known = ", ".join(sorted(contexts)) or "none"
    if not context:
        raise _UnusableError(f"the kubeconfig has no current context; its contexts: {known}")
    if context not in contexts:
        raise _UnusableError(f"the kubeconfig has no context {context!r}; its contexts: {known}")
    cluster_name, user_name = (contexts[context].get(key) or "" for key in ("cluster", "user"))
    named = {"cluster": (cluster_name, clusters), "user": (user_name, users)}
    for kind, (name, held) in named.items():
        # A context without a user sends anonymous requests.
        if name not in held and (name or kind == "cluster"):
            raise _UnusableError(
                f"context {context!r} names the {kind} {name!r}, which the kubeconfig lacks"
            )
    cluster = clusters[cluster_name]
    if not cluster.get("server"):
        raise _UnusableError(f"cluster {cluster_name!r} of the kubeconfig has no address (server)")
    user = _from_project("user", users.get(user_name, {}))
    reduced: Document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": contexts[context]}],
        "clusters": [
            {
                "name": cluster_name,
                "cluster": {
                    **_from_project("cluster", cluster),
                    "server": _with_scheme(cluster, user),
                },
            }
        ],
        "users": [{"name": user_name, "user": user}] if user_name else [],
    }
    return KubeconfigContext(context=context, server=cluster["server"], document=reduced)


def _from_project(kind: str, section: Document) -> Document:
    """Resolve the files that a section names against the project's folder, where programs start."""
    spelled = dict(section)
    for key in _PATHS[kind]:
        if spelled.get(key):
            spelled[key] = str(Path(spelled[key]).absolute())
    command = spelled.get("exec")
    # A bare name is resolved by PATH.
    if command and "/" in command["command"]:
        spelled["exec"] = {**command, "command": str(Path(command["command"]).absolute())}
    return spelled


def _with_scheme(cluster: Document, user: Document) -> str:
    """Return the server's URL: client-go guesses a missing scheme, and kubectl proxy does not."""
    server: str = cluster["server"]
    if "://" in server:
        return server
    authority = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")
    identity = ("client-certificate", "client-certificate-data")
    tls = any(cluster.get(key) for key in authority) or any(user.get(key) for key in identity)
    return f"{'https' if tls else 'http'}://{server}"


def _local_fix(platform: Platform) -> str | None:
    # By kind: the wording of this message.
    return "start the local cluster: make up" if isinstance(platform, LocalPlatform) else None


def _unreadable(platform: Platform, why: str) -> Problem:
    # By kind: the wording of this message.
    if isinstance(platform, LocalPlatform):
        reason = f"there is no local cluster: {LOCAL_KUBECONFIG} cannot be read ({why})"
        return problem(platform, reason, "start it: make up")
    if isinstance(platform, KubeconfigPlatform):
        reason = f"the kubeconfig {platform.path} cannot be read: {why}"
        return problem(platform, reason, "correct platform.path, or the file")
    reason = f"the output kubeconfig of stack {platform.stack} cannot be read: {why}"
    return problem(platform, reason, "export a kubeconfig there, as text or as an object")
