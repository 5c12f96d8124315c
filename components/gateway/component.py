"""The Envoy gateway of one inference stack: load balancing by call, admission and drain."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.cert_manager import API_VERSION
from components.common.kubernetes_api import KubernetesApi
from components.common.labels import ROLLOUT_UNAWAITED, gateway_labels
from components.gateway import workload as gateway
from components.gateway.certificate import certificate_spec
from components.rollout.component import Rollout
from components.state.contents import Workload, collect, content_config_map
from config.sections.gateway import InternalLoadBalancer
from config.sections.gateway_tls import CertManagerTls
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus


@dataclass(frozen=True, kw_only=True)
class EnvoyGatewayArgs:
    """The stack's parameters, and the Prometheus that scrapes it."""

    config: InferenceStack
    prometheus: Prometheus
    separate_nodes: bool = False
    """True if the first two gateways never share a node."""
    api: pulumi.Input[KubernetesApi | None] = None
    """Questions to the cluster; None where no engine runs."""
    protect: bool = False
    """True if the engine must refuse to delete the Service, whose address callers have."""


class EnvoyGateway(pulumi.ComponentResource):
    """The only way in to Triton; NetworkPolicies decide who may call.

    The component declares ConfigMaps (bootstrap and drain script), a ServiceAccount without
    permissions, a Deployment of one-worker Envoys, a Service and a PodDisruptionBudget. If
    cert-manager issues the gateway's certificate, it also declares the Certificate.
    """

    endpoint: pulumi.Output[str]
    """gRPC address `host:port`, in the cluster or of the internal load balancer."""

    cluster_endpoint: pulumi.Output[str]
    """gRPC address `host:port` in the cluster. Its pods use it, because a balancer that preserves
    client addresses cannot lead a pod to a gateway on the pod's own node."""

    rollout: Rollout
    """The rollout that `await_rollouts` waits for."""

    def __init__(
        self, name: str, args: EnvoyGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:EnvoyGateway", name, None, opts)
        stack = args.config
        files = gateway.config_files(stack)
        child = pulumi.ResourceOptions(parent=self)

        def metadata(
            annotations: dict[str, str] | None = None, name: str = stack.gateway_name
        ) -> kubernetes.meta.v1.ObjectMetaArgs:
            return kubernetes.meta.v1.ObjectMetaArgs(
                name=name,
                namespace=stack.namespace,
                labels=gateway_labels(stack),
                annotations=annotations,
            )

        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=metadata(),
            automount_service_account_token=False,
            opts=child,
        )
        # Only pods of an earlier release mount this ConfigMap.
        kubernetes.core.v1.ConfigMap(f"{name}-config", metadata=metadata(), data=files, opts=child)
        config_name = gateway.config_name(stack, files)
        config_map = content_config_map(
            f"{name}-files",
            metadata=metadata(name=config_name),
            data=files,
            parent=self,
        )
        tls = stack.gateway.tls
        issued: pulumi.Input[str] = ""
        # By kind: sections know no API objects. Pods wait by themselves for the Secret.
        if isinstance(tls, CertManagerTls):
            certificate = kubernetes.apiextensions.CustomResource(
                f"{name}-certificate",
                api_version=API_VERSION,
                kind="Certificate",
                metadata=metadata(),
                spec=certificate_spec(stack, tls.issuer, tls.valid_hours),
                opts=child,
            )
            issued = certificate.id.apply(lambda _: stack.gateway_name)
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=metadata(gateway.service_annotations(stack) or None),
            spec=gateway.service_spec(stack),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        exposure = stack.gateway.exposure
        # By kind: sections know no Services and no pods.
        balanced = isinstance(exposure, InternalLoadBalancer)
        # The controller's webhook gives a readiness gate to pods alone that are created after it
        # has made the target group.
        first = [service] if balanced else []
        spec = gateway.deployment_spec(
            stack, files, args.prometheus, separate_nodes=args.separate_nodes
        )
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata({**ROLLOUT_UNAWAITED}),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account, config_map, *first]),
        )
        collected = Workload(
            namespace=stack.namespace, name=stack.gateway_name, mounted=frozenset({config_name})
        )
        collect(args.api, collected, deployment)
        self.rollout = Rollout(
            deployment=deployment, least=stack.gateway.replicas, certificate=issued
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata(),
            spec=gateway.disruption_budget_spec(stack),
            opts=child,
        )
        # Derived from the Service, so that users of the address wait for the Service.
        host = service.metadata.name.apply(lambda _: stack.gateway_host)
        if balanced:
            balancer = service.status.load_balancer.ingress[0].hostname
            address = balancer.apply(lambda generated: exposure.host_name or generated)
        else:
            address = host
        self.endpoint = pulumi.Output.concat(address, f":{stack.gateway.port}")
        self.cluster_endpoint = pulumi.Output.concat(host, f":{stack.gateway.port}")
        self.register_outputs({"endpoint": self.endpoint, "clusterEndpoint": self.cluster_endpoint})
