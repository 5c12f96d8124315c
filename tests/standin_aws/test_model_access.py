"""The pods' access to models in S3, over the life of a stack under the real engine.

No proof about AWS: how long EKS takes to make an association effective is not shown.
"""

import pulumi
import pytest

from components.triton import model_access
from components.triton.eks_cluster import EksCluster
from components.triton.model_access import ModelAccess, ModelAccessArgs
from config.sections.triton import S3Repository
from tests.standin_aws.bed import CLUSTER, Bed
from tests.standin_aws.world import ASSOCIATION

ROLE = "aws:iam/role:Role"


def test_dependents_wait_for_a_new_association_and_never_for_an_old_one(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    bed = Bed.make(tmp_path)
    waits: list[list[str]] = []

    async def remember(seconds: float) -> None:
        assert seconds == 17
        waits.append([typ for operation, typ, _ in bed.world.read()["calls"]])

    class Sleeper:
        sleep = staticmethod(remember)

    monkeypatch.setattr(model_access, "asyncio", Sleeper)
    monkeypatch.setattr(model_access, "EFFECTIVE_SECONDS", 17)
    account = "triton"

    def program() -> None:
        access = ModelAccess(
            "access",
            ModelAccessArgs(
                config=S3Repository(
                    kind="s3", uri="s3://models/prod", role_arn="arn:aws:iam::1:role/r"
                ),
                namespace="ai-namespace",
                service_account=account,
                eks=EksCluster(name=CLUSTER),
            ),
        )
        # Stands for the Deployment.
        model_access.aws.iam.Role(
            "after",
            assume_role_policy="{}",
            tags={"identity": access.identity},
            opts=pulumi.ResourceOptions(depends_on=[access]),
        )

    bed.stack.workspace.program = program

    def identity() -> str:
        (role,) = bed.world.of(ROLE).values()
        return role["tags"]["identity"]

    bed.preview()
    assert waits == []
    bed.up()
    assert waits == [[ASSOCIATION]]
    assert "waits 17 s until EKS injects its role" in bed.output
    first = identity()
    bed.up()
    assert len(waits) == 1
    account = "other"
    bed.up()
    assert len(waits) == 2
    assert identity() != first
    # Nothing of the program is needed to destroy it.
    bed.stack.destroy()
    assert not any(bed.world.read()["resources"].values())
