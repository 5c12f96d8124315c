"""PodMonitors, a resource of the Prometheus operator."""

from collections.abc import Iterable

from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.prometheus import ExistingPrometheus
from config.settings import Settings


def pod_monitors(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    """Refuse PodMonitors if the cluster does not serve them."""
    prometheus = settings.prometheus
    if not isinstance(prometheus, ExistingPrometheus) or not prometheus.pod_monitors:
        return
    if not api.serves("monitoring.coreos.com/v1", "podmonitors"):
        yield Problem(
            check="preflight",
            severity="refuse",
            keys={"prometheus.podMonitors": True},
            reason="the cluster does not serve monitoring.coreos.com/v1 PodMonitors",
            fix="set prometheus.podMonitors to false (pods then carry scrape annotations), "
            "or install the Prometheus operator first",
        )
