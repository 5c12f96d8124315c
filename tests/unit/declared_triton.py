"""Triton declared under mocks, for the tests of its parts."""

from typing import Any

from components.triton.component import Triton, TritonArgs
from components.triton.eks_cluster import EksCluster
from config.settings import Settings
from tests.recording import Declared, declare

S3 = {"kind": "s3", "uri": "s3://models/prod", "roleArn": "arn:aws:iam::1:role/r"}


def made(stack: dict[str, Any] | None = None, **raw: Any) -> tuple[dict[str, Any], Declared]:
    """Declare Triton of raw settings: its Deployment's spec, and all that is made."""
    settings = Settings.model_validate({"inference": [stack or {}], **raw})
    args = TritonArgs(
        config=settings.inference[0],
        nodes=settings.gpu_nodes.pool,
        prometheus=settings.prometheus,
        sharing=settings.gpu_sharing,
        eks=EksCluster(name="eks"),
    )
    declared = declare(lambda: Triton("triton", args))
    return declared.one("apps/v1:Deployment")["spec"], declared


def pod_of(**triton: Any) -> dict[str, Any]:
    """Spec of the pod."""
    return made({"triton": triton})[0]["template"]["spec"]


def container_of(**triton: Any) -> dict[str, Any]:
    """Triton's container."""
    (container,) = pod_of(**triton)["containers"]
    return container
