"""Files of a render: one YAML file an object, and a list of the files that it wrote."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import yaml

from ops.render.program import Declared, RenderError

MANIFEST = ".render.json"
"""File that lists the stack and the files of a render, so that the next one replaces only those."""

KUSTOMIZATION = "kustomization.yaml"
"""File that lists the objects in an order that can be applied: `kubectl apply -k DIR`."""

MASKED = "[secret]"

_CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
    "PersistentVolume",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
}
_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount")
"""Kinds that are applied before the others, which need them."""


def files_of(declared: Iterable[Declared]) -> dict[str, str]:
    """Return the files of a render, as text by relative path.

    Kubernetes objects go to `<namespace>/<kind>-<name>.yaml` (`cluster/` without a namespace),
    Helm releases to `helm/<name>.yaml`, all other resources to `aws.yaml`.

    Raises:
        RenderError: Two objects have the same identity, or a resource has an unknown provider.
    """
    objects: dict[str, dict[str, Any]] = {}
    releases: dict[str, dict[str, Any]] = {}
    aws: list[dict[str, Any]] = []
    for resource in declared:
        if resource.type == "kubernetes:helm.sh/v3:Release":
            path = f"helm/{_file_name(resource.inputs.get('name', resource.name))}"
            releases[_unique(path, releases)] = _release(resource)
        elif resource.type.startswith("kubernetes:"):
            document = manifest_of(resource)
            objects[_unique(_path(document), objects)] = document
        elif resource.type.startswith("aws:"):
            inputs = resource.inputs | dict.fromkeys(resource.secret, MASKED)
            aws.append({"type": resource.type, "name": resource.name, "inputs": inputs})
        else:
            raise RenderError(f"{resource.name} is of type {resource.type}, which has no rendering")
    files = {path: to_yaml(document) for path, document in (objects | releases).items()}
    if aws:
        files["aws.yaml"] = "".join("---\n" + to_yaml(item) for item in aws)
    order = sorted(objects, key=lambda path: (_rank(objects[path]["kind"]), path))
    files[KUSTOMIZATION] = to_yaml(
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": order,
        }
    )
    return files


def manifest_of(resource: Declared) -> dict[str, Any]:
    """Return the manifest that the provider applies, with the values of a Secret masked.

    Raises:
        RenderError: The object has no name; Pulumi would choose one at run time.
    """
    manifest = dict(resource.inputs)
    if not manifest.get("metadata", {}).get("name"):
        raise RenderError(f"{resource.type} {resource.name} states no metadata.name")
    if manifest["kind"] == "Secret":
        for key in manifest.keys() & {"data", "stringData"}:
            manifest[key] = dict.fromkeys(manifest[key], MASKED)
    return manifest


def _release(resource: Declared) -> dict[str, Any]:
    # One secret option, such as a password, makes all options secret; the URL is public.
    repository: dict[str, Any] = resource.inputs.get("repositoryOpts", {})
    inputs = resource.inputs | dict.fromkeys(resource.secret, MASKED)
    return {
        "chart": inputs.get("chart"),
        "version": inputs.get("version"),
        "repository": repository.get("repo"),
        "name": inputs.get("name", resource.name),
        "namespace": inputs.get("namespace"),
        "values": inputs.get("values", {}),
    }


def _path(document: Mapping[str, Any]) -> str:
    metadata = document["metadata"]
    kind = document["kind"]
    folder = "cluster" if kind in _CLUSTER_SCOPED else metadata.get("namespace", "default")
    return f"{folder}/{_file_name(kind.lower() + '-' + metadata['name'])}"


def _file_name(name: str) -> str:
    # RBAC names may hold ':', which some file systems refuse.
    return re.sub(r"[^A-Za-z0-9.-]", "_", name) + ".yaml"


def _unique(path: str, taken: Mapping[str, object]) -> str:
    if path in taken:
        raise RenderError(f"two objects would be written to {path}")
    return path


def _rank(kind: str) -> int:
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes strings that another YAML parser may read as another type."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif re.fullmatch(r"[-+]?[.0-9][-+.:_0-9A-Fa-fOoXx]*|[yYnN]", text):
        # PyYAML does not quote 12e4 and y, which Kubernetes' YAML parser reads as 120000 and true.
        style = "'"
    represent = cast("Callable[..., yaml.ScalarNode]", dumper.represent_scalar)  # pyright: ignore[reportUnknownMemberType]
    return represent("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def to_yaml(document: object) -> str:
    """Return a document as YAML, with sorted keys and texts of several lines as blocks."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=True, width=100, allow_unicode=True)


def rendered_files(folder: Path) -> list[str]:
    """Return the relative paths that an earlier render wrote into a folder."""
    return _manifest(folder)["files"]


def rendered_stack(folder: Path) -> str:
    """Return the stack that a folder was rendered from.

    Raises:
        RenderError: The folder holds no render, or an interrupted one.
    """
    manifest = _manifest(folder)
    if not manifest["complete"]:
        raise RenderError(f"{folder} holds no complete render; run: make render OUT={folder}")
    return manifest["stack"]


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads((folder / MANIFEST).read_text()))
    except FileNotFoundError:
        return {"stack": "", "complete": False, "files": []}


def write(folder: Path, stack: str, files: Mapping[str, str]) -> None:
    """Write the files of a render into a folder and delete those of an earlier one.

    Other files in the folder stay. Each file is written atomically. The folder is marked
    incomplete meanwhile, so that the next run detects and repairs an interrupted one.

    Raises:
        RenderError: A file that no render wrote is in the way; nothing was changed.
    """
    earlier = rendered_files(folder)
    foreign = [path for path in files if path not in earlier and (folder / path).exists()]
    if foreign:
        raise RenderError(
            f"{folder / foreign[0]} is in the way and no render wrote it; "
            "move it, or render into another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    stale = set(earlier) - set(files)
    _replace(folder / MANIFEST, _manifest_text(stack, sorted(stale | set(files)), complete=False))
    for path, text in files.items():
        _replace(folder / path, text)
    for path in stale:
        (folder / path).unlink(missing_ok=True)
        with suppress(OSError):
            (folder / path).parent.rmdir()
    _replace(folder / MANIFEST, _manifest_text(stack, sorted(files), complete=True))


def _manifest_text(stack: str, files: list[str], *, complete: bool) -> str:
    return json.dumps({"stack": stack, "complete": complete, "files": files}, indent=1) + "\n"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
