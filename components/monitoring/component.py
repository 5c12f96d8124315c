"""Prometheus: our own, or the objects by which an existing one's operator finds the stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
import yaml
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.common.kubernetes_api import KubernetesApi
from components.common.labels import (
    ROLLOUT_UNAWAITED,
    SKIP_AWAIT,
    prometheus_labels,
    triton_labels,
)
from components.monitoring import workload as specs
from components.monitoring.alerts import alert_rules
from components.monitoring.scrape import RULES_FILE, pod_monitors, prometheus_config
from components.network.policies import policy_spec
from components.rollout.component import Rollout
from components.state.contents import Workload, collect, content_config_map
from config.flows import Flow, joined, prometheus_flows, prometheus_pods
from config.inventory import discovered_namespaces
from config.sections.inference import InferenceStack
from config.sections.keda import Keda
from config.sections.prometheus import ExistingPrometheus, ManagedPrometheus


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """Our Prometheus, the stacks that it scrapes, and its client KEDA."""

    config: ManagedPrometheus
    stacks: tuple[InferenceStack, ...]
    keda: Keda
    """KEDA, which queries it."""
    dns_addresses: Sequence[str] = ()
    """Address ranges of a DNS server outside pods, by which it finds the Alertmanager."""
    flows: Sequence[Flow] = ()
    """Connections of other parts; those with Prometheus are allowed, too."""
    api: pulumi.Input[KubernetesApi | None] = None
    """Questions to the cluster; None where no engine runs."""
    protect: bool = False
    """True if the engine must refuse to delete the volume with the samples."""


class Prometheus(pulumi.ComponentResource):
    """One Prometheus for all inference stacks, with alert rules; for the scaler, not for archives.

    Its ServiceAccount reads pods in the inference namespaces and nothing else of the API. It sends
    alerts to the Alertmanager that the parameters name; without one they are the series `ALERTS`.
    """

    address: pulumi.Output[str]
    """URL that KEDA queries."""

    rollout: Rollout
    """The rollout that `await_rollouts` waits for."""

    def __init__(
        self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:Prometheus", name, None, opts)
        config = args.config
        child = pulumi.ResourceOptions(parent=self)

        def metadata(
            annotations: Mapping[str, str] | None = None, name: str = config.name
        ) -> ObjectMetaArgs:
            return ObjectMetaArgs(
                name=name,
                namespace=config.namespace,
                labels=prometheus_labels(config),
                annotations=annotations,
            )

        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=metadata(),
            # Only pods that ask for the token get it.
            automount_service_account_token=False,
            opts=child,
        )
        scrapes_keda = args.keda.metrics_port is not None
        rules = alert_rules(args.stacks, config, keda_is_scraped=scrapes_keda)
        files = {
            specs.CONFIG_FILE: yaml.safe_dump(
                prometheus_config(config, args.stacks, args.keda), sort_keys=False
            ),
            RULES_FILE: yaml.safe_dump(rules, sort_keys=False),
        }
        # Only pods of an earlier release mount this ConfigMap.
        kubernetes.core.v1.ConfigMap(f"{name}-config", metadata=metadata(), data=files, opts=child)
        config_name = specs.config_name(config, files)
        config_map = content_config_map(
            f"{name}-files", metadata=metadata(name=config_name), data=files, parent=self
        )
        needs: list[pulumi.Resource] = [account, config_map, *self._may_discover(name, args)]
        if config.persistent_volume:
            needs.append(
                kubernetes.core.v1.PersistentVolumeClaim(
                    f"{name}-volume",
                    # Most storage classes bind it when its first pod is scheduled.
                    metadata=metadata(SKIP_AWAIT),
                    spec=specs.volume_claim_spec(config),
                    opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
                )
            )
        spec = specs.deployment_spec(config, config_name)
        deployment = kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=metadata(ROLLOUT_UNAWAITED),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )
        collect(args.api, Workload.of(config.namespace, config.name, spec), deployment)
        self.rollout = Rollout(deployment=deployment)
        kubernetes.core.v1.Service(
            f"{name}-service",
            # Pulumi would wait 10 s more for endpoints; the Deployment's readiness is enough.
            metadata=metadata(SKIP_AWAIT),
            spec=specs.service_spec(config),
            opts=child,
        )
        kubernetes.networking.v1.NetworkPolicy(
            f"{name}-network-policy",
            metadata=metadata(),
            spec=policy_spec(
                prometheus_pods(config),
                joined(
                    prometheus_flows(config, args.stacks, args.keda, args.dns_addresses),
                    args.flows,
                ),
            ),
            opts=child,
        )
        self.address = pulumi.Output.from_input(config.address)
        self.register_outputs({"address": self.address})

    def _may_discover(self, name: str, args: PrometheusArgs) -> list[pulumi.Resource]:
        """Declare a Role in each namespace with pods to discover, and none for the cluster."""
        config = args.config
        resources: list[pulumi.Resource] = []
        for namespace in discovered_namespaces(args.stacks, args.keda):
            metadata = ObjectMetaArgs(
                name=config.name, namespace=namespace, labels=prometheus_labels(config)
            )
            role = kubernetes.rbac.v1.Role(
                f"{name}-role-{namespace}",
                metadata=metadata,
                rules=specs.RULES,
                opts=pulumi.ResourceOptions(parent=self),
            )
            binding = kubernetes.rbac.v1.RoleBinding(
                f"{name}-role-binding-{namespace}",
                metadata=metadata,
                role_ref=kubernetes.rbac.v1.RoleRefArgs(
                    api_group="rbac.authorization.k8s.io", kind="Role", name=config.name
                ),
                subjects=[
                    kubernetes.rbac.v1.SubjectArgs(
                        kind="ServiceAccount", name=config.name, namespace=config.namespace
                    )
                ],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
            )
            resources += [role, binding]
        return resources


@dataclass(frozen=True, kw_only=True)
class PodMonitorsArgs:
    """An existing Prometheus, and the stacks that it scrapes."""

    config: ExistingPrometheus
    stacks: tuple[InferenceStack, ...]


class PodMonitors(pulumi.ComponentResource):
    """PodMonitors and PrometheusRules for an existing Prometheus that an operator runs.

    Its owner decides which of them it follows, and in which namespaces. The labels by which it
    selects both are parameters. Without an operator there are none.
    """

    def __init__(
        self, name: str, args: PodMonitorsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:PodMonitors", name, None, opts)
        for stack in args.stacks if args.config.pod_monitors else ():
            for monitor, labels, spec in pod_monitors(stack, args.config):
                kubernetes.apiextensions.CustomResource(
                    f"{name}-{monitor}",
                    api_version="monitoring.coreos.com/v1",
                    kind="PodMonitor",
                    metadata=ObjectMetaArgs(name=monitor, namespace=stack.namespace, labels=labels),
                    spec=spec,
                    opts=pulumi.ResourceOptions(parent=self),
                )
        for stack in args.stacks if args.config.has_alert_rules else ():
            kubernetes.apiextensions.CustomResource(
                f"{name}-{stack.scaler_name}",
                api_version="monitoring.coreos.com/v1",
                kind="PrometheusRule",
                metadata=ObjectMetaArgs(
                    name=stack.scaler_name,
                    namespace=stack.namespace,
                    labels={**args.config.rule_labels, **triton_labels(stack)},
                ),
                # The platform team's Prometheus may scrape KEDA and kube-state-metrics; a rule
                # without series is silent.
                spec=alert_rules(
                    (stack,), args.config, keda_is_scraped=True, nodes_are_scraped=True
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
