"""Messages of refusals by registries, the API server's admission and volume plug-ins.

Kubernetes passes them on as prose. An unrecognised text proves nothing: the rollout then
waits until its timeout, and names the reason.
"""

import re

_IMAGE_REFUSED = re.compile(
    r"not found|manifest unknown|does not exist|pull access denied|"
    r"401 unauthorized|403 forbidden|unauthorized|authorization failed|no basic auth credentials|"
    r"no match for platform|no such host|invalid reference format|insufficient_scope|"
    r"name unknown|denied:",
    re.IGNORECASE,
)
"""A registry that lacks the image, denies it to us, or has no DNS name. These are the distribution
specification's errors as containerd and CRI-O report them."""

_REGISTRY_AWAY = re.compile(
    r"connection refused|i/o timeout|timeout|too ?many ?requests|429|50[0234] |server misbehaving|"
    r"temporary failure|connection reset|unexpected eof|tls handshake|network is unreachable|"
    r"no route to host|service unavailable|context canceled|deadline exceeded",
    re.IGNORECASE,
)
"""A registry that does not answer for now."""

_PODS_REFUSED = re.compile(
    r"exceeded quota|violates PodSecurity|denied the request|is forbidden|is invalid|"
    r"must specify (limits|requests|cpu|memory)",
    re.IGNORECASE,
)
"""The API server's quota, LimitRange, pod security, webhooks and validation."""

_WEBHOOK_AWAY = re.compile(
    r"failed calling webhook|error looking up service account", re.IGNORECASE
)
"""An admission that does not answer now, or waits for an object that is being created."""

_MOUNT_REFUSED = re.compile(
    r"\b(configmaps?|secrets?|persistentvolumeclaims?|serviceaccounts?)\b.*not found|"
    r"references non-existent (secret|config) key|does not exist|non-?existent|"
    r"not ?found|accessdenied|unauthorizedoperation|is forbidden|permission denied|"
    r"invalid(parameter|argument)|no such file or directory",
    re.IGNORECASE,
)
"""A volume that names a missing object, or denies access."""

_MOUNT_LATE = re.compile(
    r"timed out waiting|failed to sync (configmap|secret) cache|list of registered CSI drivers|"
    r"deadline exceeded|connection refused|not registered|rate exceeded|throttl",
    re.IGNORECASE,
)
"""A node whose plug-ins are still being started, or a cloud that is slow."""


def image_refused(text: str, image: str) -> bool:
    """Return True if no later pull of an image can succeed while the registry stays as it is.

    Args:
        text: Message of kubelet.
        image: Image; its name is no part of the reason.
    """
    text = text.replace(image, "")
    return bool(_IMAGE_REFUSED.search(text)) and not _REGISTRY_AWAY.search(text)


def pods_refused(text: str) -> bool:
    """Return True if the API server refuses the pods themselves."""
    return bool(_PODS_REFUSED.search(text)) and not _WEBHOOK_AWAY.search(text)


def mount_refused(text: str) -> bool:
    """Return True if a volume can never be mounted as the pod requests it."""
    return bool(_MOUNT_REFUSED.search(text)) and not mount_late(text)


def mount_late(text: str) -> bool:
    """Return True if a volume's refusal is temporary, such as a plug-in that is starting."""
    return bool(_MOUNT_LATE.search(text))
