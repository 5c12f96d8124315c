"""KEDA from its official chart, where the platform does not run one."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from config.sections.keda import RELEASE_NAME, HelmKeda


@dataclass(frozen=True, kw_only=True)
class KedaReleaseArgs:
    """Which chart, from where."""

    config: HelmKeda


class KedaRelease(pulumi.ComponentResource):
    """One Helm release, CRDs included; a cluster can hold one KEDA only.

    KEDA serves `external.metrics.k8s.io`, which has one owner in a cluster: where a platform team
    runs KEDA, use theirs.
    """

    release_name: pulumi.Output[str]
    """Name of the Helm release."""

    def __init__(
        self, name: str, args: KedaReleaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:KedaRelease", name, None, opts)
        keda = args.config
        Release(
            f"{name}-release",
            name=RELEASE_NAME,
            chart="keda",
            version=keda.chart_version,
            repository_opts=RepositoryOptsArgs(repo=keda.repository),
            namespace=keda.namespace,
            values={
                # One works and one stands by: without an operator nothing scales.
                "operator": {"replicaCount": 2},
                # The operator may read the Secrets of its own namespace alone. Without the second
                # value the chart lets it get every object of every kind, Secrets included; it
                # scales Deployments and StatefulSets all the same.
                "rbac": {"enabledCustomScaledRefKinds": False},
                "permissions": {
                    "operator": {"restrict": {"secret": True}},
                    "metricServer": {"restrict": {"secret": True}},
                },
            },
            # A failed install leaves nothing behind, so that the next run starts from nothing.
            atomic=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.release_name = pulumi.Output.from_input(RELEASE_NAME)
        self.register_outputs({"releaseName": self.release_name})
