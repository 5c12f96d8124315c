"""Warm spares of one inference stack."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.labels import ROLLOUT_UNAWAITED, spare_labels
from components.common.pods import Manifest
from components.spare import workload as spare
from config.sections.inference import InferenceStack


@dataclass(frozen=True, kw_only=True)
class WarmSpareArgs:
    """The stack's parameters, and its replicas."""

    config: InferenceStack
    replica: Manifest
    """Spec of Triton's pods."""


class WarmSpare(pulumi.ComponentResource):
    """Placeholders that hold room for new replicas, and give it up at once.

    Declares a Deployment of pods that do nothing, and their PriorityClass. A replica for which no
    node has room preempts a placeholder and starts in its place. The placeholder is then pending,
    and the cluster's autoscaler adds a node for it. `up` waits for no placeholder.
    """

    deployment_name: pulumi.Output[str]
    """Name of the Deployment."""

    def __init__(
        self, name: str, args: WarmSpareArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:WarmSpare", name, None, opts)
        stack = args.config
        priority = kubernetes.scheduling.v1.PriorityClass(
            f"{name}-priority",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=spare.priority_class_name(stack), labels=spare_labels(stack)
            ),
            value=spare.PRIORITY,
            # Placeholders take no room from pods of an even lower priority.
            preemption_policy="Never",
            description="Placeholders that give way to replicas of Triton.",
            opts=pulumi.ResourceOptions(parent=self),
        )
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=kubernetes.meta.v1.ObjectMetaArgs(
                name=stack.spare_name,
                namespace=stack.namespace,
                labels=spare_labels(stack),
                annotations=ROLLOUT_UNAWAITED,
            ),
            spec=spare.deployment_spec(stack, args.replica),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[priority]),
        )
        self.deployment_name = deployment.metadata.name
        self.register_outputs({"deploymentName": self.deployment_name})
