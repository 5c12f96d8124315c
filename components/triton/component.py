"""Triton: the model servers of one inference stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.kubernetes_api import KubernetesApi
from components.common.labels import ROLLOUT_UNAWAITED, triton_labels
from components.common.pods import Manifest
from components.rollout.component import Rollout
from components.state.contents import Workload, collect, content_config_map
from components.triton import model_repository
from components.triton import workload as triton
from components.triton.eks_cluster import EksCluster
from components.triton.model_repository import Repository
from config.model_files import read_model_files
from config.sections.gpu_nodes import GpuNodes
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus
from config.sections.triton import ConfigMapRepository, PvcRepository, S3Repository
from config.sizing.rollout import rollout_seconds, start_seconds


@dataclass(frozen=True, kw_only=True)
class TritonArgs:
    """The stack's parameters, GPU nodes and Prometheus; `eks` serves models in S3."""

    config: InferenceStack
    nodes: GpuNodes
    prometheus: Prometheus
    sharing: GpuSharing = field(default_factory=NotShared)
    """Sharing of the GPUs."""
    evictable: int = 1
    """Replicas that drains may evict at once, unless `config` states them."""
    api: pulumi.Input[KubernetesApi | None] = None
    """Client of the API server; without one, old ConfigMaps stay."""
    eks: EksCluster = field(default_factory=EksCluster)
    """EKS cluster, for models in S3."""


@dataclass(frozen=True)
class _Access:
    """The pods' access to models in S3; empty for models that are elsewhere."""

    needs: list[pulumi.Resource] = field(default_factory=list[pulumi.Resource])
    """Resources that pods must not precede."""
    account_annotations: Mapping[str, pulumi.Output[str]] = field(
        default_factory=dict[str, pulumi.Output[str]]
    )
    identity: pulumi.Output[str] | None = None


class Triton(pulumi.ComponentResource):
    """The model servers and their access to the models; the autoscaler owns their number.

    Declares a Deployment without `spec.replicas`, a headless Service, a ServiceAccount, a
    PodDisruptionBudget and, depending on the kind of model repository, a ConfigMap or an IAM role.
    """

    deployment_name: pulumi.Output[str]
    """Name of the Deployment, which the autoscaler scales."""

    service_name: pulumi.Output[str]
    """Name of the headless Service, whose DNS name has the ready replicas' addresses."""

    pod: Manifest
    """Spec of the pods."""

    rollout: Rollout
    """The rollout that `await_rollouts` waits for."""

    def __init__(
        self, name: str, args: TritonArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:Triton", name, None, opts)
        stack = args.config
        child = pulumi.ResourceOptions(parent=self)
        metadata = kubernetes.meta.v1.ObjectMetaArgs(
            name=stack.deployment_name, namespace=stack.namespace, labels=triton_labels(stack)
        )
        access = self._access(name, args)
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=stack.deployment_name,
                namespace=stack.namespace,
                labels=triton_labels(stack),
                annotations=access.account_annotations or None,
            ),
            automount_service_account_token=False,
            opts=child,
        )
        repository, config_maps = self._repository(name, stack, access.identity)
        spec = triton.deployment_spec(stack, args.nodes, repository, args.prometheus, args.sharing)
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=stack.deployment_name,
                namespace=stack.namespace,
                labels=triton_labels(stack),
                annotations=ROLLOUT_UNAWAITED,
            ),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account, *access.needs, *config_maps],
            ),
        )
        self.pod = spec["template"]["spec"]
        collect(args.api, Workload.of(stack.namespace, stack.deployment_name, spec), deployment)
        self.rollout = Rollout(
            deployment=deployment,
            start_seconds=start_seconds(stack, args.nodes),
            rollout_seconds=rollout_seconds(stack, args.nodes),
            least=stack.autoscaler.min_replicas,
            awaited=stack.triton.await_rollout,
        )
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=stack.service_name, namespace=stack.namespace, labels=triton_labels(stack)
            ),
            spec=triton.service_spec(stack),
            opts=child,
        )
        if stack.triton.watchdog.enabled:
            kubernetes.core.v1.Service(
                f"{name}-discovery",
                metadata=kubernetes.meta.v1.ObjectMetaArgs(
                    name=stack.discovery_service_name,
                    namespace=stack.namespace,
                    labels=triton_labels(stack),
                ),
                spec=triton.discovery_service_spec(stack),
                opts=child,
            )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata,
            spec=triton.disruption_budget_spec(stack, args.evictable),
            opts=child,
        )
        self.deployment_name = deployment.metadata.name
        self.service_name = service.metadata.name
        self.register_outputs(
            {"deploymentName": self.deployment_name, "serviceName": self.service_name}
        )

    def _access(self, name: str, args: TritonArgs) -> _Access:
        repository = args.config.triton.model_repository
        # By kind: sections know no resources of AWS.
        if not isinstance(repository, S3Repository):
            return _Access()
        # Imported only for S3: a stack without AWS need not pay for pulumi_aws (1.5 s, 60 MB).
        from components.triton.model_access import ModelAccess, ModelAccessArgs

        access = ModelAccess(
            f"{name}-model-access",
            ModelAccessArgs(
                config=repository,
                namespace=args.config.namespace,
                service_account=args.config.deployment_name,
                eks=args.eks,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return _Access([access], access.account_annotations, access.identity)

    def _repository(
        self, name: str, stack: InferenceStack, identity: pulumi.Output[str] | None
    ) -> tuple[Repository, list[pulumi.Resource]]:
        # By kind: sections know no volumes and no init containers.
        match stack.triton.model_repository:
            case S3Repository() as s3:
                return model_repository.s3(s3, stack.triton, identity), []
            case PvcRepository() as pvc:
                return model_repository.pvc(pvc, stack.triton), []
            case ConfigMapRepository(folder=folder):
                files = read_model_files(stack, folder)
        text, binary = model_repository.config_map_data(files)
        config_map_name = model_repository.config_map_name(stack.deployment_name, files)
        config_map = content_config_map(
            f"{name}-models",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=config_map_name, namespace=stack.namespace, labels=triton_labels(stack)
            ),
            data=text,
            binary_data=binary,
            parent=self,
        )
        return model_repository.config_map(config_map_name, files), [config_map]
