"""KEDA: already installed, or installed from its chart."""

from typing import Literal

from pydantic import Field

from config.base import DnsLabel, Section, SemanticVersion
from config.sections.pods import PullSecrets
from config.versions import KEDA_CHART_REPOSITORY, KEDA_CHART_VERSION, KEDA_IMAGE_REGISTRY

RELEASE_NAME = "keda"
"""Name of the Helm release: its objects carry it, so preflight can tell it from another KEDA."""


METRICS_PORT = 8080
"""Port of the operator's metrics in the release."""


class ExistingKeda(Section):
    """A KEDA that the platform team runs; preflight looks for its CRDs first."""

    kind: Literal["existing"] = "existing"
    """An installed KEDA."""

    namespace: DnsLabel = "keda"
    """Namespace of KEDA; Prometheus accepts its queries."""

    @property
    def metrics_port(self) -> int | None:
        """Port of the operator's metrics for a managed Prometheus: none, it is another team's."""
        return None


class HelmKeda(Section):
    """The official chart, as one Helm release; one per cluster."""

    kind: Literal["helm"]
    """KEDA from its chart."""

    namespace: DnsLabel = "keda"
    """Namespace of the release."""

    chart_version: SemanticVersion = KEDA_CHART_VERSION
    """Version of the chart."""

    repository: str = KEDA_CHART_REPOSITORY
    """Chart repository; a mirror works too."""

    image_registry: str = Field(default=KEDA_IMAGE_REGISTRY, pattern=r"^[a-z0-9][-a-z0-9.:/_]*$")
    """Registry of the chart's images, with a path if need be; `images.mirrors` applies to it."""

    image_pull_secrets: PullSecrets = ()
    """Secrets with credentials for the registry, in the release's namespace."""

    @property
    def metrics_port(self) -> int | None:
        """Port of the operator's metrics for a managed Prometheus."""
        return METRICS_PORT


Keda = ExistingKeda | HelmKeda
