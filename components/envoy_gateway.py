"""The Envoy gateway: per-call gRPC balancing, admission and drain for one inference stack."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.labels import gateway_labels
from components.specs import gateway
from config.gateway import InternalLoadBalancer
from config.inference import InferenceStack
from config.prometheus import Prometheus


@dataclass(frozen=True, kw_only=True)
class EnvoyGatewayArgs:
    """The stack's parameters, and what scrapes it."""

    config: InferenceStack
    prometheus: Prometheus


class EnvoyGateway(pulumi.ComponentResource):
    """Owns the only way in to Triton; who may take it is the NetworkPolicies' to say.

    Makes a ConfigMap (bootstrap and drain script), a ServiceAccount without rights, a Deployment of
    one-worker Envoys, a Service and a PodDisruptionBudget.
    """

    endpoint: pulumi.Output[str]
    """gRPC address, `host:port`: in the cluster, or of the internal load balancer."""

    def __init__(
        self, name: str, args: EnvoyGatewayArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:EnvoyGateway", name, None, opts)
        stack = args.config
        files = gateway.config_files(stack)
        child = pulumi.ResourceOptions(parent=self)

        def metadata(
            annotations: dict[str, str] | None = None,
        ) -> kubernetes.meta.v1.ObjectMetaArgs:
            return kubernetes.meta.v1.ObjectMetaArgs(
                name=stack.gateway_name,
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
        config_map = kubernetes.core.v1.ConfigMap(
            f"{name}-config", metadata=metadata(), data=files, opts=child
        )
        kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata(),
            spec=gateway.deployment_spec(stack, files, args.prometheus),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account, config_map]),
        )
        service = kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=metadata(gateway.service_annotations(stack) or None),
            spec=gateway.service_spec(stack),
            opts=child,
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{name}-disruption-budget",
            metadata=metadata(),
            spec=gateway.disruption_budget_spec(stack),
            opts=child,
        )
        host = f"{stack.gateway_name}.{stack.namespace}.svc.cluster.local"
        if isinstance(stack.gateway.exposure, InternalLoadBalancer):
            address = service.status.load_balancer.ingress[0].hostname
        else:
            # By way of the Service, so that whoever uses the address waits for it to be there.
            address = service.metadata.name.apply(lambda _: host)
        self.endpoint = pulumi.Output.concat(address, f":{stack.gateway.port}")
        self.register_outputs({"endpoint": self.endpoint})
