"""What the parameters are held to beyond their types, all of it before anything is touched."""

from config.checks import (
    drain,
    images,
    models,
    names,
    nodes,
    platform,
    plugin,
    production,
    reach,
    sizing,
    survival,
    timing,
)
from config.checks.problem import Check, Problem
from config.settings import Settings

CHECKS: tuple[Check, ...] = (
    reach.reach,
    reach.client_streams,
    survival.survival,
    reach.reach_placement,
    reach.reach_refusals,
    nodes.instance_types,
    nodes.node_bounds,
    nodes.replica_bounds,
    nodes.node_fit,
    nodes.nodes,
    nodes.cold_start,
    nodes.stranded_gpus,
    drain.pre_stop,
    drain.grace,
    drain.spot,
    drain.eks_update,
    timing.service_time,
    timing.startup_budget,
    timing.scrape_interval,
    timing.rate_window,
    timing.refused_weight,
    timing.stream_length,
    timing.stream_idle,
    sizing.gateway_memory,
    sizing.gateway_calls,
    sizing.triton_queue,
    sizing.shared_memory,
    sizing.largest_calls,
    names.name_length,
    names.name_prefixes,
    names.namespaces,
    names.own_namespaces,
    names.privileged_ports,
    names.ports,
    platform.eks_platform,
    platform.keda_version,
    platform.local_tier,
    platform.load_balancer,
    drain.balancer_lag,
    platform.local_nodes,
    plugin.device_plugin,
    plugin.time_slices,
    models.model_folder,
    models.model_identity,
    images.local_images,
    images.envoy_version,
    production.image_tags,
    production.image_digests,
    production.gateways,
)
"""Every check, in the order in which problems are printed."""


def run(settings: Settings) -> list[Problem]:
    """Run every check and return all problems, of both severities."""
    return [problem for check in CHECKS for problem in check.run(settings)]
