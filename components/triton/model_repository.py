"""Paths of the models into a Triton pod, by the kind of repository: volumes, mounts, a copy."""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from components.common.pods import Manifest, container_security, resources
from components.state.content_names import content_name
from components.triton import model_scripts
from components.triton.model_scripts import MODELS_PATH, SOURCE_PATH
from config.repository_reader import is_program
from config.sections.triton import PvcRepository, S3Repository, Triton
from config.units import MIB_PER_GIB

IDENTITY_ANNOTATION = "kubemind.io/model-identity"
"""Annotation of pods that read models from S3: `ModelAccess.identity`."""

REVISION_ANNOTATION = "kubemind.io/model-revision"
"""Annotation of pods that read models from S3: the revision that they serve."""

_VOLUME = "models"
_SOURCE_VOLUME = "repository"

_LINKS_MIB = 16
"""Room for links to the models, MiB: a block each."""


@dataclass(frozen=True)
class Repository:
    """The pieces that a repository adds to Triton's pod template."""

    volumes: list[Manifest]
    mounts: list[Manifest]
    """Mounts of the Triton container; all are read-only."""
    init_containers: list[Manifest] = field(default_factory=list[Manifest])
    annotations: Manifest = field(default_factory=dict[str, Any])
    """Annotations of the pods; a change rolls them."""


def s3(repository: S3Repository, triton: Triton, identity: Any = None) -> Repository:
    """Copy from S3 to a volume of the pod's own, before Triton starts.

    Triton could read S3 itself, but its SDK may be older than Pod Identity (aws-sdk-cpp 1.11.263).
    One container copies and checks: kubelet would not repeat the copy if a separate check failed.

    Args:
        repository: Source of the models, and the image of the copy.
        triton: The server.
        identity: `ModelAccess.identity`. Pods get credentials by it when they are created, so
            another one must roll them.
    """
    environment = {
        "SOURCE": repository.source,
        # The CLI caches credentials in its home, and the root file system is read-only.
        "HOME": "/tmp",  # noqa: S108 - the pod's own emptyDir
        # Otherwise a pod without an identity of its own would silently use the node's.
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"AWS_REGION": repository.region} if repository.region else {}),
    }
    linked = _linked(
        triton,
        {"emptyDir": {"sizeLimit": f"{repository.cache_gib}Gi"}},
        where=repository.source,
        name="model-sync",
        image=repository.sync_image,
        environment=environment,
        storage_mib=repository.cache_gib * MIB_PER_GIB,
        command=model_scripts.sync(repository.identity),
        copied=True,
    )
    stated = {IDENTITY_ANNOTATION: identity, REVISION_ANNOTATION: repository.revision}
    return replace(linked, annotations={key: value for key, value in stated.items() if value})


def pvc(repository: PvcRepository, triton: Triton) -> Repository:
    """Mount an existing volume; Triton gets links to the models in one of its folders.

    Args:
        repository: The claim.
        triton: The server, whose image and user check the models.
    """
    path = repository.path.strip("/")
    return _linked(
        triton,
        {"persistentVolumeClaim": {"claimName": repository.claim, "readOnly": True}},
        where=f"{repository.claim}:/{path}",
        folder=path,
        name="model-check",
        image=triton.image,
        environment={"HOME": "/tmp"},  # noqa: S108 - the pod's own emptyDir
        storage_mib=triton.scratch_mib,
        command=model_scripts.check(),
    )


def _linked(
    triton: Triton,
    source: Manifest,
    *,
    where: str,
    folder: str = "",
    name: str,
    image: str,
    environment: Mapping[str, str],
    storage_mib: int,
    command: Sequence[str],
    copied: bool = False,
) -> Repository:
    """Check the contents of a volume before Triton starts, and link Triton's repository to it.

    Args:
        triton: The server; the check may use as much as it requests, which costs the pod nothing.
        source: The volume.
        where: Name of the repository in messages.
        folder: The repository in the volume; its root where empty.
        name: Name of the init container.
        image: Its image.
        environment: Its variables.
        storage_mib: Its scratch storage, MiB.
        command: Its command, which checks the volume's contents.
        copied: The command fills the volume, and the pod's files have no modes of their own.
    """
    options = ["complete"] * triton.complete_model_configs + ["copied"] * copied
    check = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "args": [where, f"{SOURCE_PATH}/{folder}".rstrip("/"), MODELS_PATH, *options],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        # The pod's status then has the last log lines.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": resources(
            cpu=triton.cpu, memory_mib=triton.memory_mib, storage_mib=storage_mib
        ),
        "securityContext": container_security(),
        "volumeMounts": [
            {
                "name": _SOURCE_VOLUME,
                "mountPath": SOURCE_PATH,
                **({} if copied else {"readOnly": True}),
            },
            {"name": _VOLUME, "mountPath": MODELS_PATH},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own emptyDir
        ],
    }
    return Repository(
        volumes=[
            {"name": _SOURCE_VOLUME, **source},
            {"name": _VOLUME, "emptyDir": {"sizeLimit": f"{_LINKS_MIB}Mi"}},
        ],
        mounts=[
            {"name": _SOURCE_VOLUME, "mountPath": SOURCE_PATH, "readOnly": True},
            {"name": _VOLUME, "mountPath": MODELS_PATH, "readOnly": True},
        ],
        init_containers=[check],
    )


def config_map(name: str, files: Mapping[str, bytes]) -> Repository:
    """Mount the ConfigMap that `config_map_data` fills.

    Args:
        name: Name of the ConfigMap.
        files: Contents by path, as `read_model_files` returns them.
    """
    items = [
        {"key": _key(path), "path": path, **({"mode": 0o755} if is_program(content) else {})}
        for path, content in files.items()
    ]
    models = sorted({path.partition("/")[0] for path in files})
    return Repository(
        volumes=[{"name": _VOLUME, "configMap": {"name": name, "items": items}}],
        # One mount for each model: the volume's root has kubelet's own `..data` folders, which
        # Triton would take for models that it cannot load.
        mounts=[
            {
                "name": _VOLUME,
                "mountPath": f"{MODELS_PATH}/{model}",
                "subPath": model,
                "readOnly": True,
            }
            for model in models
        ],
    )


def config_map_name(prefix: str, files: Mapping[str, bytes]) -> str:
    """Name an immutable ConfigMap by its contents, so that running pods keep theirs."""
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return content_name(f"{prefix}-models", digests)


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
    """Derive a ConfigMap key from a path, without slashes and unique for each path."""
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    # No key may begin with two dots.
    return f"{re.sub('[^-._a-zA-Z0-9]', '-', path)[-240:].lstrip('.')}.{digest}"
