"""Models of an earlier release, which the engine would delete while pods may use them."""

import json
import subprocess
from collections.abc import Iterable
from typing import Any

import pulumi

from components.cluster.api import ClusterApi
from components.state.content_names import unprotected
from components.state.contents import contents_path
from components.triton.model_repository import config_map_name
from config.checks.stack_paths import StackAt, stacks
from config.model_files import read_model_files
from config.problem import Problem
from config.sections.triton import ConfigMapRepository
from config.settings import Settings


def contents(settings: Settings, stack: str, api: ClusterApi) -> Iterable[Problem]:
    """Refuse a state by which the engine would delete models that ReplicaSets may mount.

    Before version 1.0 the state did not retain models. The check reads the state only if the
    cluster holds models that no later run has taken over.
    """
    for at in stacks(settings):
        path = contents_path(at.stack.namespace, at.stack.deployment_name)
        found = [item for item in api.items(path) or () if item.get("immutable")]
        legacy = {
            item["metadata"]["name"]
            for item in found
            if not item["metadata"].get("ownerReferences")
        }
        wanted = _wanted(at)
        if not legacy - {wanted}:
            continue
        at_risk = unprotected(_state(stack), at.stack.namespace, legacy, wanted)
        if at_risk:
            yield Problem(
                check="preflight",
                severity="refuse",
                keys={at.key("triton.modelRepository"): ", ".join(at_risk)},
                reason=(
                    "an earlier release made these ConfigMaps, and the engine would delete them "
                    "although pods or ReplicaSets may still mount them"
                ),
                fix=f"let the state keep them: make retain STACK={stack}; then run this again",
            )


def _wanted(at: StackAt) -> str:
    repository = at.stack.triton.model_repository
    # By kind: sections know no ConfigMaps.
    if not isinstance(repository, ConfigMapRepository):
        return ""
    return config_map_name(at.stack.deployment_name, read_model_files(at.stack, repository.folder))


def _state(stack: str) -> list[dict[str, Any]]:
    """Return the resources of the stack's state before this run.

    Raises:
        pulumi.RunError: The engine does not export the state.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    command = ["pulumi", "stack", "export", "--stack", name, "--non-interactive"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise pulumi.RunError(f"pulumi stack export failed: {done.stderr.strip()}")
    return json.loads(done.stdout)["deployment"].get("resources") or []
