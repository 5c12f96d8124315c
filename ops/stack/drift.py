"""Drift: objects whose state in the cluster differs from the stack's state."""

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from components.cluster.api import ClusterApi
from components.cluster.kubeconfig import KubeconfigContext, KubeconfigError, file_of, read
from components.common.kubernetes_api import (
    ApiRefusedError,
    ApiUnreachableError,
    KubeconfigRefusedError,
)
from components.state.drift import Found, describe, examine, plain
from components.state.drift_report import last_foreign
from components.state.objects import Kinds
from config.sections.platform import KubeconfigPlatform, ReferencePlatform
from ops.errors import OpsError
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment

_AT_ONCE = 8
_VALUE_WIDTH = 80
_PROVIDER = "pulumi:providers:kubernetes"

_NODE_COUNT = "scalingConfig.desiredSize"
"""Field of a node group that the cluster's autoscaler changes."""


def drift(env: StackEnvironment) -> list[str]:
    """Return one line for each difference; change nothing.

    The API server itself compares Kubernetes objects, in a dry run. The engine's refresh compares
    the other resources (nodes in AWS, KEDA's chart).

    Raises:
        OpsError: The stack has no state, or its cluster or backend cannot be read.
    """
    held: list[dict[str, Any]] = pulumi.deployment(env, secrets=True).get("resources") or []
    resources = [
        one
        for one in held
        if one.get("custom") and not one.get("delete") and not one.get("external")
    ]
    if not resources:
        raise OpsError(f"{env.stack} is not provisioned, so nothing can have drifted")
    objects = [one for one in resources if _is_object(one)]
    others = [one["urn"] for one in resources if not _is_object(one) and not _is_engines(one)]
    found = list(_objects(env, resources, objects))
    return [*found, *(_others(env, others) if others else ())]


def _is_engines(resource: Mapping[str, Any]) -> bool:
    return str(resource["type"]).startswith("pulumi:")


def _is_object(resource: Mapping[str, Any]) -> bool:
    inputs = resource.get("inputs", {})
    return resource["type"].startswith("kubernetes:") and {"kind", "metadata"} <= inputs.keys()


def _objects(
    env: StackEnvironment, resources: list[dict[str, Any]], objects: list[dict[str, Any]]
) -> Iterator[str]:
    # Find kubectl and relative paths as the program does.
    os.environ["PATH"] = env.variables()["PATH"]
    os.chdir(env.project)
    for provider in (one for one in resources if one["type"] == _PROVIDER):
        reference = f"{provider['urn']}::{provider['id']}"
        mine = [plain(one["inputs"]) for one in objects if one["provider"] == reference]
        try:
            with (
                ClusterApi(_target(provider["inputs"])) as api,
                ThreadPoolExecutor(_AT_ONCE) as pool,
            ):
                # Connect once before eight threads do.
                api.version()
                for found in pool.map(partial(examine, Kinds(api)), mine):
                    yield from _lines(found)
        except KubeconfigError as error:
            raise OpsError(str(error)) from None
        except (ApiUnreachableError, ApiRefusedError, KubeconfigRefusedError) as error:
            raise OpsError(f"the cluster of {env.stack} cannot be read: {error}") from None


def _lines(found: Found) -> Iterator[str]:
    if not found.live:
        yield f"{found.name} is gone"
        return
    if found.replaced:
        yield f"{found.name}: {found.describe()[0]}"
    for change in found.changes:
        last = last_foreign(found.live)
        hint = f" (last changed by {last})" if not change.managers and last else ""
        value = textwrap.shorten(json.dumps(change.live), _VALUE_WIDTH, placeholder=" ...")
        yield f"{found.name}: {describe(change)}{hint}; it is {value}"


def _target(inputs: Mapping[str, Any]) -> KubeconfigContext:
    """Return the cluster of a provider in the state: a file, or the kubeconfig itself."""
    kubeconfig, context = pulumi.unwrap(inputs["kubeconfig"]), inputs.get("context")
    named = KubeconfigPlatform(kind="kubeconfig", path=str(kubeconfig), context=context)
    is_text = not isinstance(kubeconfig, str) or "\n" in kubeconfig or "{" in kubeconfig
    if is_text or not Path(file_of(named)).exists():
        told = ReferencePlatform(kind="stackReference", stack="a/b/c", context=context)
        return read(told, kubeconfig) if is_text else read(named)
    return read(named)


def _others(env: StackEnvironment, urns: list[str]) -> Iterator[str]:
    targets = [argument for urn in urns for argument in ("--target", urn)]
    arguments = ("refresh", "--stack", env.stack, "--preview-only", "--json", *targets)
    for step in json.loads(pulumi.capture(env, *arguments))["steps"]:
        types, name = str(step["urn"]).split("::")[2:4]
        what = f"{types.rpartition('$')[2]} {name}"
        fields = [*(step.get("detailedDiff") or step.get("diffReasons") or ())]
        if step["op"] == "delete":
            yield f"{what} is gone"
        elif step["op"] == "update" and fields != [_NODE_COUNT]:
            yield f"{what} differs: {', '.join(fields)}"
