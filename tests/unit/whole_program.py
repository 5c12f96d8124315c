"""The whole program declared under mocks, for the tests of what it is made of."""

import json
import runpy
from functools import cache
from typing import Any

from config.base import PROJECT_FOLDER
from config.load import read_stack_file
from tests import recording
from tests.recording import Declared, Resource

STACKS = ("dev", "staging", "prod")

KUBECONFIG = {
    "current-context": "eks",
    "clusters": [{"name": "eks", "cluster": {"server": "https://eks.example.com"}}],
    "contexts": [{"name": "eks", "context": {"cluster": "eks", "user": "me"}}],
    "users": [{"name": "me", "user": {"token": "secret"}}],
}
PLATFORM = {
    "kubeconfig": json.dumps(KUBECONFIG),
    "clusterName": "inference",
    "subnetIds": ["subnet-a", "subnet-b"],
    "oidcProviderArn": "arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/1",
    "oidcProviderUrl": "https://oidc.example.com/id/1",
}
"""Outputs of the platform team's stack of each environment."""


def program() -> None:
    """Run the program itself."""
    runpy.run_path(str(PROJECT_FOLDER / "__main__.py"))


def config_of(stack: str) -> dict[str, Any]:
    """Parameters of a stack file."""
    return read_stack_file(PROJECT_FOLDER / f"Pulumi.{stack}.yaml")


def run(config: dict[str, Any], stack: str = "test", **how: Any) -> Declared:
    """Declare the program with the given configuration."""
    references = {f"organization/platform/{name}": PLATFORM for name in STACKS}
    return recording.declare(program, config=config, stack=stack, stack_outputs=references, **how)


@cache
def declared_by(stack: str) -> Declared:
    """Resources that a stack file declares."""
    return run(config_of(stack), stack)


def kubernetes_objects(declared: Declared) -> list[Resource]:
    """Objects that are applied to the cluster one by one; a chart's are not known here."""
    return [
        r
        for r in declared.resources
        if r.typ.startswith("kubernetes:") and r.typ != "kubernetes:helm.sh/v3:Release"
    ]
