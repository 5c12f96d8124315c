"""The list of clusters, and the sums of what they and the filters add to the gateway."""

from components.gateway.envoy.clusters.admin import ADMIN
from components.gateway.envoy.clusters.collector import COLLECTOR
from components.gateway.envoy.clusters.start_check import START_CHECK
from components.gateway.envoy.clusters.triton import TRITON
from components.gateway.envoy.filters.registry import filter_clusters, filter_mounts
from components.gateway.envoy.protojson import Json
from components.gateway.envoy.registration import Cluster, Mount
from config.sections.inference import InferenceStack

CLUSTERS: tuple[Cluster, ...] = (TRITON, ADMIN, COLLECTOR, START_CHECK)
"""All clusters but those that filters call."""


def clusters(stack: InferenceStack) -> list[Json]:
    """Build the bootstrap's clusters: the registered ones, then those that filters call."""
    own = [each.config(stack) for each in CLUSTERS if each.is_on(stack)]
    return [*own, *filter_clusters(stack)]


def mounts(stack: InferenceStack) -> list[Mount]:
    """Return the volumes that Envoy's container mounts beside its configuration."""
    own = [mount for each in CLUSTERS if each.is_on(stack) for mount in each.mounts(stack)]
    return [*own, *filter_mounts(stack)]
