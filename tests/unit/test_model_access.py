"""Declared AWS resources; not shown: AWS grants the access."""

import json
import subprocess
import sys
from typing import Any

import pulumi
import pytest

from components.triton.eks_cluster import EksCluster
from components.triton.model_access import ModelAccess, ModelAccessArgs, read_policy
from config.sections.triton import S3Repository

ROLE_ARN = "arn:aws:iam::123456789012:role/models"


@pytest.fixture
def made(declare):
    def of(**raw: Any):
        repository = S3Repository.model_validate(
            {"kind": "s3", "uri": "s3://models/prod/current", **raw}
        )

        def program() -> None:
            known = pulumi.Output.from_input
            args = ModelAccessArgs(
                config=repository,
                namespace="ai-namespace",
                service_account="triton",
                eks=EksCluster(
                    name=known("eks-prod"),
                    oidc_provider_arn=known("arn:aws:iam::1:oidc-provider/oidc.eks/1"),
                    oidc_provider_url=known("https://oidc.eks/1"),
                ),
            )
            ModelAccess("access", args)

        return declare(program)

    return of


def test_role_reads_one_folder_and_can_do_nothing_else(made):
    policy = json.loads(made().one("iam/rolePolicy:RolePolicy")["policy"])
    assert [(s["Action"], s["Resource"]) for s in policy["Statement"]] == [
        ("s3:ListBucket", "arn:aws:s3:::models"),
        ("s3:GetObject", "arn:aws:s3:::models/prod/current/*"),
    ]
    listed = policy["Statement"][0]["Condition"]["StringLike"]["s3:prefix"]
    assert listed == ["prod/current", "prod/current/*"]


def test_a_replica_of_an_earlier_revision_may_read_it(made):
    policies = [
        made(revision=one).one("iam/rolePolicy:RolePolicy")["policy"] for one in ("r1", "r2")
    ]
    assert policies[0] == policies[1] == made().one("iam/rolePolicy:RolePolicy")["policy"]


@pytest.mark.parametrize("uri", ["s3://models", "s3://models/"])
def test_a_whole_bucket_is_a_folder_too(uri):
    listing, reading = read_policy(uri, "aws")["Statement"]
    assert "Condition" not in listing
    assert reading["Resource"] == "arn:aws:s3:::models/*"


@pytest.mark.parametrize("partition", ["aws-us-gov", "aws-cn"])
def test_the_policy_is_of_the_partition(partition):
    for statement in read_policy("s3://models/prod", partition)["Statement"]:
        assert statement["Resource"].startswith(f"arn:{partition}:s3:::models")


def test_pod_identity_ties_the_role_to_one_service_account(made):
    declared = made()
    trust = json.loads(declared.one("iam/role:Role")["assumeRolePolicy"])
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    association = declared.one("eks/podIdentityAssociation:PodIdentityAssociation")
    assert association == {
        "clusterName": "eks-prod",
        "namespace": "ai-namespace",
        "serviceAccount": "triton",
        "roleArn": "arn:aws:iam::123456789012:role/mock",
    }


def test_irsa_trusts_one_service_account_of_one_cluster(made):
    declared = made(identity="irsa")
    trust = json.loads(declared.one("iam/role:Role")["assumeRolePolicy"])
    (statement,) = trust["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"] == {"Federated": "arn:aws:iam::1:oidc-provider/oidc.eks/1"}
    assert statement["Condition"]["StringEquals"] == {
        "oidc.eks/1:sub": "system:serviceaccount:ai-namespace:triton",
        "oidc.eks/1:aud": "sts.amazonaws.com",
    }
    assert not declared.all("eks/podIdentityAssociation:PodIdentityAssociation")


@pytest.mark.parametrize("identity", ["podIdentity", "irsa"])
def test_a_given_role_is_taken_and_none_is_made(made, identity):
    declared = made(identity=identity, roleArn=ROLE_ARN)
    assert not declared.all("iam/role:Role")
    assert declared.outputs["access"] == {"roleArn": ROLE_ARN}
    ties = declared.all("eks/podIdentityAssociation:PodIdentityAssociation")
    assert [tie.inputs["roleArn"] for tie in ties] == [ROLE_ARN] * (identity == "podIdentity")


@pytest.mark.parametrize(
    ("identity", "missing"),
    [("podIdentity", "name of the EKS cluster"), ("irsa", "ARN of the cluster's OIDC provider")],
)
def test_a_platform_with_too_few_outputs_is_refused(declare, identity, missing):
    repository = S3Repository(kind="s3", uri="s3://models", identity=identity)
    args = ModelAccessArgs(config=repository, namespace="ai", service_account="triton")
    with pytest.raises(pulumi.RunError, match=missing):
        declare(lambda: ModelAccess("access", args))


def test_a_stack_without_s3_does_not_pay_for_pulumi_aws():
    program = "import sys, components.triton.component; sys.exit('pulumi_aws' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
