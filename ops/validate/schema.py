"""Offline schema validation: Kubernetes' kinds by its schemas, others by their CRDs.

Validation is strict: unknown fields are refused, as a typo in an optional field would otherwise
have no effect and no message. CEL rules, admission and the state of an API server are not checked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import kubernetes_validate  # pyright: ignore[reportMissingTypeStubs]
import yaml
from jsonschema import Draft202012Validator

from local_cluster import toolchain

KUBERNETES_VERSION = toolchain.TABLE["kube-apiserver"].version.rpartition(".")[0]
"""Minor version of Kubernetes whose schemas are used: the local cluster's."""


@dataclass(frozen=True, order=True)
class Finding:
    """A fault that a validator finds in an object."""

    tool: str
    """Validator: `schema`, `kube-score` or `checkov`."""

    rule: str
    """The tool's id of the rule."""

    resource: str
    """Object, as `Kind/namespace/name`, or `Kind/name` if cluster-scoped."""

    message: str
    """The fault."""


def identity(manifest: Mapping[str, Any]) -> str:
    """Return an object's name in findings: `Kind/namespace/name`, or `Kind/name`."""
    metadata = manifest.get("metadata", {})
    parts = (manifest.get("kind", "?"), metadata.get("namespace"), metadata.get("name", "?"))
    return "/".join(part for part in parts if part)


def check_schemas(manifests: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Check objects with their schemas; the toolchain has the CRDs.

    Raises:
        ToolchainError: The CRDs cannot be had.
    """
    findings: list[Finding] = []
    for manifest in manifests:
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        try:
            kubernetes_validate.validate(dict(manifest), KUBERNETES_VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            findings.append(_finding("schema", manifest, error.absolute_path, error.message))
        except kubernetes_validate.SchemaNotFoundError:
            schema = _custom_schemas().get((api_version, kind))
            if schema is None:
                message = f"no schema is known for {api_version} {kind}"
                findings.append(_finding("no-schema", manifest, (), message))
                continue
            errors = Draft202012Validator(schema).iter_errors(manifest)  # pyright: ignore[reportUnknownMemberType]
            findings += [
                _finding("schema", manifest, error.absolute_path, error.message) for error in errors
            ]
    return findings


def _finding(
    rule: str, manifest: Mapping[str, Any], path: Iterable[str | int], message: str
) -> Finding:
    where = ".".join(map(str, path))
    return Finding("schema", rule, identity(manifest), f"{where}: {message}" if where else message)


CRDS = (
    "keda-crds",
    "podmonitor-crd",
    "prometheusrule-crd",
    "nodepool-crd",
    "ec2nodeclass-crd",
    "certificate-crd",
)
"""Tools with the CRDs of every kind that the stack may create."""


@cache
def _custom_schemas() -> dict[tuple[str, str], dict[str, Any]]:
    files = toolchain.ensure(*CRDS).values()
    return {key: schema for file in files for key, schema in _crds(file).items()}


def _crds(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    schemas: dict[tuple[str, str], dict[str, Any]] = {}
    for crd in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
        spec = crd["spec"]
        for version in spec["versions"]:
            schema = strict_schema(version["schema"]["openAPIV3Schema"])
            # A structural schema does not describe the object's own metadata.
            schema["properties"]["metadata"] = {"type": "object"}
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def strict_schema(structural: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CRD's structural schema as a JSON schema that refuses unknown fields."""
    schema = dict(structural)
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("type", None)
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in schema:
        properties = cast("dict[str, dict[str, Any]]", schema["properties"])
        schema["properties"] = {name: strict_schema(item) for name, item in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = strict_schema(schema[key])
    keeps_unknown = schema.get("x-kubernetes-preserve-unknown-fields", False)
    if schema.get("type") == "object" and not keeps_unknown:
        schema.setdefault("additionalProperties", False)
    if schema.pop("nullable", False) and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return schema
