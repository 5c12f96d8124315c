"""KEDA from its official chart, for clusters that have none."""

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release, RepositoryOptsArgs

from config.sections.keda import METRICS_PORT, RELEASE_NAME, HelmKeda
from config.versions import KEDA_IMAGE_REGISTRY


@dataclass(frozen=True, kw_only=True)
class KedaReleaseArgs:
    """The chart, and its repository."""

    config: HelmKeda


class KedaRelease(pulumi.ComponentResource):
    """One Helm release with its CRDs; a cluster can hold only one KEDA.

    KEDA serves `external.metrics.k8s.io`, which has one owner in a cluster: use the platform
    team's KEDA if there is one.
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
                **_images(keda),
                # One active and one standby: without an operator nothing scales.
                "operator": {"replicaCount": 2},
                "prometheus": {"operator": {"enabled": True, "port": METRICS_PORT}},
                # The operator may read the Secrets of its own namespace only. Unless
                # `enabledCustomScaledRefKinds` is false, the chart lets it get every object of
                # every kind, Secrets included. It scales Deployments and StatefulSets either way.
                "rbac": {"enabledCustomScaledRefKinds": False},
                "permissions": {
                    "operator": {"restrict": {"secret": True}},
                    "metricServer": {"restrict": {"secret": True}},
                },
            },
            # A failed install leaves nothing behind, so that the next run starts clean.
            atomic=True,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.release_name = pulumi.Output.from_input(RELEASE_NAME)
        self.register_outputs({"releaseName": self.release_name})


def _images(keda: HelmKeda) -> dict[str, Any]:
    """Return the chart's values that differ from its own."""
    secrets = [{"name": name} for name in keda.image_pull_secrets]
    elsewhere = keda.image_registry != KEDA_IMAGE_REGISTRY
    return {
        **({"global": {"image": {"registry": keda.image_registry}}} if elsewhere else {}),
        **({"imagePullSecrets": secrets} if secrets else {}),
    }
