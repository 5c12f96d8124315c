"""Checks that pods can read their models, and the same models all."""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.sections.platform import KubeconfigPlatform, LocalPlatform
from config.sections.triton import S3Repository
from config.settings import Settings


@refuse
def model_identity(settings: Settings) -> Iterator[Finding]:
    """Pods that read models from S3 can get an identity in the cluster."""
    platform = settings.platform
    for at in stacks(settings):
        repository = at.stack.triton.model_repository
        # By kind here and below: the check compares repository and platform.
        if not isinstance(repository, S3Repository):
            continue
        identity = at.key("triton.modelRepository.identity")
        keys: dict[str, object] = {identity: repository.identity}
        if isinstance(platform, LocalPlatform):
            yield Finding(
                keys={
                    at.key("triton.modelRepository.kind"): repository.kind,
                    **keys,
                    "platform.kind": platform.kind,
                },
                reason="AWS does not know the embedded cluster: its pods get no identity",
                fix="use a cluster on EKS, or models in a ConfigMap or on a volume",
                change={at.key("triton.modelRepository"): {"kind": "configMap"}},
            )
        if not isinstance(platform, KubeconfigPlatform):
            continue
        oidc = {
            "platform.oidcProviderArn": platform.oidc_provider_arn,
            "platform.oidcProviderUrl": platform.oidc_provider_url,
        }
        if repository.identity == "podIdentity" and not platform.cluster_name:
            yield Finding(
                keys={**keys, "platform.clusterName": platform.cluster_name},
                reason="AWS associates a pod identity with a cluster by the cluster's name",
                fix="set platform.clusterName",
            )
        elif repository.identity == "irsa" and not repository.role_arn and not all(oidc.values()):
            yield Finding(
                keys={**keys, at.key("triton.modelRepository.roleArn"): None, **oidc},
                reason="the role that `up` creates for the pods trusts the cluster's OIDC provider",
                fix="set both, or the ARN of a role that trusts the provider",
            )


@refuse
def model_revision(settings: Settings) -> Iterator[Finding]:
    """In prod all replicas of a fleet serve the same models, and a rollback finds the former."""
    for at in stacks(settings):
        repository = at.stack.triton.model_repository
        # By kind: the check compares tier and repository.
        if settings.tier != "prod" or not isinstance(repository, S3Repository):
            continue
        if not repository.revision:
            uri = repository.uri.rstrip("/")
            yield Finding(
                keys={
                    "tier": settings.tier,
                    at.key("triton.modelRepository.uri"): repository.uri,
                    at.key("triton.modelRepository.revision"): repository.revision,
                },
                reason=(
                    "each replica copies what the folder holds when it starts: after a change in "
                    "S3 replicas of one fleet serve different models, nothing rolls, and no "
                    "rollback finds the former ones"
                ),
                fix="copy the models to a folder of their own and state its name: aws s3 sync "
                f"{uri} {uri}/<revision>",
            )
