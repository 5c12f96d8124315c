"""The autoscaler: KEDA's ScaledObject on Triton's Deployment."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.autoscaler.scaled_object import (
    authentication_name,
    scaled_object,
)
from components.common.labels import triton_labels
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus
from config.sections.prometheus_access import CLUSTER_AUTHENTICATION


@dataclass(frozen=True, kw_only=True)
class AutoscalerArgs:
    """The inference stack, and the Prometheus that has its load."""

    config: InferenceStack
    prometheus: Prometheus


class Autoscaler(pulumi.ComponentResource):
    """Owns the number of Triton replicas; KEDA makes its HorizontalPodAutoscaler.

    Where the Prometheus asks who asks, a ClusterTriggerAuthentication names the Secret.

    Nothing waits for the ScaledObject to be Ready: that is KEDA's operator's to say, and where it
    is missing (a simulated cluster) or slow the rest of the stack stands all the same. It must be
    deleted while KEDA runs, which takes its finalizer away: let the component depend on KEDA.
    """

    scaler_name: pulumi.Output[str]
    """Name of the ScaledObject."""

    def __init__(
        self, name: str, args: AutoscalerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:Autoscaler", name, None, opts)
        stack = args.config
        needs: list[pulumi.Resource] = []
        if authentication := args.prometheus.authentication.authentication_spec:
            needs = [
                CustomResource(
                    f"{name}-authentication",
                    api_version="keda.sh/v1alpha1",
                    kind=CLUSTER_AUTHENTICATION,
                    metadata=ObjectMetaArgs(
                        name=authentication_name(stack), labels=triton_labels(stack)
                    ),
                    spec=authentication,
                    opts=pulumi.ResourceOptions(parent=self),
                )
            ]
        CustomResource(
            f"{name}-scaled-object",
            api_version="keda.sh/v1alpha1",
            kind="ScaledObject",
            metadata=ObjectMetaArgs(
                name=stack.scaler_name, namespace=stack.namespace, labels=triton_labels(stack)
            ),
            spec=scaled_object(stack, args.prometheus),
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )
        self.scaler_name = pulumi.Output.from_input(stack.scaler_name)
        self.register_outputs({"scalerName": self.scaler_name})
