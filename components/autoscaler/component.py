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
    """The owner of the number of Triton replicas; KEDA creates its HorizontalPodAutoscaler.

    If Prometheus requires authentication, a ClusterTriggerAuthentication names the Secret.

    Nothing waits until the ScaledObject is Ready. KEDA's operator decides that, and the rest of
    the stack does not depend on an operator that is slow or missing (a simulated cluster). The
    ScaledObject must be deleted while KEDA runs, because KEDA removes its finalizer: let the
    component depend on KEDA.
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
