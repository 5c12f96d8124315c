"""The NetworkPolicies of one inference stack."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.common.labels import gateway_labels, spare_labels, triton_labels
from components.network.policies import policy_spec
from config.flows import (
    Flow,
    gateway_flows,
    gateway_pods,
    joined,
    namespace_callers,
    spare_pods,
    triton_flows,
    triton_pods,
)
from config.sections.inference import InferenceStack
from config.sections.prometheus import Prometheus


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    """The inference stack, its Prometheus, and its DNS outside pods."""

    config: InferenceStack
    prometheus: Prometheus
    dns_addresses: Sequence[str] = ()
    """Ranges of a DNS outside pods."""
    flows: Sequence[Flow] = ()
    """Connections of parts outside the stack; those with the stack's pods are allowed, too."""


class NetworkPolicies(pulumi.ComponentResource):
    """NetworkPolicies that open the stack's namespace for its flows: one policy per workload.

    `Namespaces` declares the namespace's default deny; our Prometheus has its own policy.
    """

    def __init__(
        self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:NetworkPolicies", name, None, opts)
        stack = args.config
        own = [
            flow
            for of in (gateway_flows, triton_flows)
            for flow in of(stack, args.prometheus, args.dns_addresses)
        ]
        flows = joined(own, args.flows)
        # Beside the namespace's default deny, which a program of another team may lack.
        spares = [("warm-spare", spare_pods(stack), stack.spare_name, spare_labels(stack))]
        for role, subject, policy, labels in (
            ("gateway", gateway_pods(stack), stack.gateway_name, gateway_labels(stack)),
            ("triton", triton_pods(stack), stack.deployment_name, triton_labels(stack)),
            (
                "callers",
                namespace_callers(stack),
                f"{stack.gateway_name}-callers",
                gateway_labels(stack),
            ),
            *(spares if stack.triton.warm_spare.replicas else ()),
        ):
            kubernetes.networking.v1.NetworkPolicy(
                f"{name}-{role}",
                metadata=kubernetes.meta.v1.ObjectMetaArgs(
                    name=policy, namespace=stack.namespace, labels=labels
                ),
                spec=policy_spec(subject, flows),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
