"""How the models get into a Triton pod, by the kind of repository: volumes, mounts, a copy."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.specs.pods import Manifest, config_hash, container_security, resources
from config.triton import PvcRepository, S3Repository
from config.units import MIB_PER_GIB

MODELS_PATH = "/models"
"""Where Triton finds the repository in its pod."""

_VOLUME = "models"

# Of a folder that is not there the CLI copies nothing and is content, and so is Triton: it would
# be ready, and know no model.
_SYNC = f"""\
aws s3 sync "$SOURCE" {MODELS_PATH} --no-progress
test -n "$(ls -A {MODELS_PATH})" || {{ echo "nothing found in $SOURCE" >&2; exit 1; }}
"""


@dataclass(frozen=True)
class Repository:
    """The pieces that a repository adds to Triton's pod template."""

    volumes: list[Manifest]
    mounts: list[Manifest]
    """Of the Triton container; all read-only."""
    init_containers: list[Manifest] = field(default_factory=list[Manifest])


def s3(repository: S3Repository, cpu: float, memory_mib: int) -> Repository:
    """Copy from S3 to a volume of the pod's own, before Triton starts.

    Triton could read S3 itself, but its SDK may be older than Pod Identity (aws-sdk-cpp 1.11.263).

    Args:
        repository: where the models are, and with what they are copied.
        cpu: cores of the init container; as many as Triton's own cost the pod nothing.
        memory_mib: memory of the init container, MiB; likewise.
    """
    environment = {
        "SOURCE": repository.uri,
        # The CLI caches credentials in its home, and the root file system is read-only.
        "HOME": "/tmp",  # noqa: S108 - the pod's own emptyDir
        # Or a pod without an identity of its own would silently take the node's.
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"AWS_REGION": repository.region} if repository.region else {}),
    }
    sync = {
        "name": "model-sync",
        "image": repository.sync_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-ec", _SYNC],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": resources(
            cpu=cpu, memory_mib=memory_mib, storage_mib=repository.cache_gib * MIB_PER_GIB
        ),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": _VOLUME, "mountPath": MODELS_PATH},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own emptyDir
        ],
    }
    size = {"sizeLimit": f"{repository.cache_gib}Gi"}
    return Repository(
        volumes=[{"name": _VOLUME, "emptyDir": size}],
        mounts=[_mount()],
        init_containers=[sync],
    )


def pvc(repository: PvcRepository) -> Repository:
    """Mount a volume that is there, or a folder of it."""
    claim = {"claimName": repository.claim, "readOnly": True}
    path = repository.path.strip("/")
    return Repository(
        volumes=[{"name": _VOLUME, "persistentVolumeClaim": claim}],
        mounts=[_mount(**({"subPath": path} if path else {}))],
    )


def config_map(name: str, files: Mapping[str, bytes]) -> Repository:
    """Mount the ConfigMap that `config_map_data` fills.

    Args:
        name: of the ConfigMap.
        files: contents by path, as `read_model_files` returns them.
    """
    items = [{"key": _key(path), "path": path} for path in files]
    models = sorted({path.partition("/")[0] for path in files})
    return Repository(
        volumes=[{"name": _VOLUME, "configMap": {"name": name, "items": items}}],
        # Model by model: in the volume's root lie kubelet's own `..data` folders, which Triton
        # takes for models that it cannot load.
        mounts=[_mount(mountPath=f"{MODELS_PATH}/{model}", subPath=model) for model in models],
    )


def config_map_name(prefix: str, files: Mapping[str, bytes]) -> str:
    """Name an immutable ConfigMap by its contents, so that running pods keep theirs."""
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return f"{prefix}-models-{config_hash(digests)[:8]}"


def config_map_data(files: Mapping[str, bytes]) -> tuple[dict[str, str], dict[str, str]]:
    """Spread files over a ConfigMap's `data` (text) and `binaryData` (the rest, base64)."""
    text: dict[str, str] = {}
    binary: dict[str, str] = {}
    for path, content in files.items():
        try:
            text[_key(path)] = content.decode("utf-8")
        except UnicodeDecodeError:
            binary[_key(path)] = base64.b64encode(content).decode("ascii")
    return text, binary


def _key(path: str) -> str:
    """Make a ConfigMap key of a path: no slashes, and no two paths with the same key."""
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return f"{re.sub('[^-._a-zA-Z0-9]', '-', path)[-240:]}.{digest}"


def _mount(**fields: Any) -> Manifest:
    return {"name": _VOLUME, "mountPath": MODELS_PATH, "readOnly": True, **fields}
