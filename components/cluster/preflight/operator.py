"""PodMonitors and PrometheusRules, resources of the Prometheus operator."""

from collections.abc import Iterable

from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.prometheus import ExistingPrometheus
from config.settings import Settings

_API = "monitoring.coreos.com/v1"


def prometheus_operator(settings: Settings, api: ClusterApi) -> Iterable[Problem]:
    """Refuse objects of the Prometheus operator that the cluster does not serve."""
    prometheus = settings.prometheus
    # By kind: the message names keys that only an existing Prometheus has.
    if not isinstance(prometheus, ExistingPrometheus):
        return
    made = {"PodMonitors": prometheus.pod_monitors, "PrometheusRules": prometheus.has_alert_rules}
    missing = [kind for kind, is_made in made.items() if is_made and not _serves(api, kind)]
    if not missing:
        return
    keys: dict[str, object] = {}
    if "PodMonitors" in missing:
        keys["prometheus.podMonitors"] = True
    if "PrometheusRules" in missing and (prometheus.alert_rules or not keys):
        keys["prometheus.alertRules"] = prometheus.alert_rules
    without = "pods then carry scrape annotations" if "PodMonitors" in missing else "no alerts then"
    yield Problem(
        check="preflight",
        severity="refuse",
        keys=keys,
        reason=f"the cluster does not serve {_API} {' and '.join(missing)}",
        fix=f"set {' and '.join(keys)} to false ({without}), or install the Prometheus operator "
        "first",
    )


def _serves(api: ClusterApi, kind: str) -> bool:
    return api.serves(_API, kind.lower())
