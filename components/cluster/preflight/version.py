"""Version of the cluster's Kubernetes."""

import re
from collections.abc import Iterable

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from config.problem import Problem
from config.sections.platform import Platform
from config.versions import MIN_KUBERNETES


def version(platform: Platform, api: ClusterApi) -> Iterable[Problem]:
    """Refuse a Kubernetes that is too old for the pods."""
    running = api.version()
    found = tuple(int(number) for number in re.findall(r"\d+", running)[:2])
    if found and found < MIN_KUBERNETES:
        wanted = ".".join(map(str, MIN_KUBERNETES))
        yield kubeconfig.problem(
            platform,
            f"the API server is Kubernetes {running}; pods need {wanted} (preStop sleep)",
            f"upgrade the cluster to {wanted} or newer, or name another cluster under platform",
        )
