"""Reading a kubeconfig the way the provider will, with messages that name the key and the fix."""

from pathlib import Path

import msgspec
import yaml
from lightkube import KubeConfig
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from config.checks.problem import Problem, Severity
from config.platform import (
    LOCAL_CONTEXT,
    LOCAL_KUBECONFIG,
    KubeconfigPlatform,
    LocalPlatform,
    Platform,
    ReferencePlatform,
)


class KubeconfigError(Exception):
    """No cluster can be read from the kubeconfig; carries the one problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def path_of(platform: LocalPlatform | KubeconfigPlatform) -> str:
    """Kubeconfig file as the configuration spells it.

    The provider expands `~` and starts in the project's folder, so the spelling goes into the
    state as it is and the stack is the same on every machine.
    """
    return LOCAL_KUBECONFIG if isinstance(platform, LocalPlatform) else platform.path


def read(platform: Platform, contents: str | None = None) -> SingleConfig:
    """Read the one cluster that a platform means.

    Args:
        platform: the `platform` section.
        contents: the kubeconfig itself, for a platform that has it from another stack.

    Raises:
        KubeconfigError: the file is missing or no kubeconfig, or lacks the context.
    """
    file = None if isinstance(platform, ReferencePlatform) else Path(path_of(platform)).expanduser()
    try:
        text = file.read_text(encoding="utf-8") if file else contents
        document: dict[str, object] = dict(yaml.safe_load(text or ""))
        # kubectl writes null where there are none.
        document |= {key: document.get(key) or [] for key in ("clusters", "contexts", "users")}
        kubeconfig = KubeConfig.from_dict(document, fname=file)  # pyright: ignore[reportUnknownMemberType]
    except OSError as error:
        raise KubeconfigError(_unreadable(platform, error.strerror or str(error))) from None
    except (
        yaml.YAMLError,
        msgspec.ValidationError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):
        raise KubeconfigError(_unreadable(platform, "it is not a kubeconfig")) from None
    asked = LOCAL_CONTEXT if isinstance(platform, LocalPlatform) else platform.context
    context = asked or kubeconfig.current_context
    try:
        return kubeconfig.get(context) or _no_context()
    except (ConfigError, KeyError) as error:
        known = ", ".join(sorted(kubeconfig.contexts)) or "none"
        reason = f"the kubeconfig has no usable context {context!r}; its contexts: {known}"
        if isinstance(error, KeyError):
            reason = f"context {context!r} names {error}, which the kubeconfig does not hold"
        elif not context:
            reason = f"the kubeconfig has no current context; its contexts: {known}"
        raise KubeconfigError(
            problem(platform, reason, _local_fix(platform) or "set platform.context to one of them")
        ) from None


def problem(platform: Platform, reason: str, fix: str, severity: Severity = "refuse") -> Problem:
    """Word a problem of the cluster, with the keys that lead to it."""
    return Problem(
        check="preflight",
        severity=severity,
        keys=_keys(platform),
        reason=reason,
        fix=fix,
    )


def _no_context() -> SingleConfig:
    raise ConfigError("no current context")


def _keys(platform: Platform) -> dict[str, object]:
    if isinstance(platform, LocalPlatform):
        return {"platform.kind": "local"}
    if isinstance(platform, KubeconfigPlatform):
        return {"platform.path": platform.path, "platform.context": platform.context}
    return {"platform.stack": platform.stack, "platform.context": platform.context}


def _local_fix(platform: Platform) -> str | None:
    return "start the local cluster: make up" if isinstance(platform, LocalPlatform) else None


def _unreadable(platform: Platform, why: str) -> Problem:
    if isinstance(platform, LocalPlatform):
        reason = f"there is no local cluster: {LOCAL_KUBECONFIG} cannot be read ({why})"
        return problem(platform, reason, "start it: make up")
    if isinstance(platform, KubeconfigPlatform):
        reason = f"the kubeconfig {platform.path} cannot be read: {why}"
        return problem(platform, reason, "correct platform.path, or the file")
    reason = f"the output kubeconfig of stack {platform.stack} cannot be read: {why}"
    return problem(platform, reason, "export the contents of a kubeconfig there")
