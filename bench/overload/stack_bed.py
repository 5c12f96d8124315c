"""Test bed of the stack that a checkout has provisioned on a local cluster."""

from typing import Any

from lightkube.resources.core_v1 import Service

from bench.overload.overload import OverloadBed, Queries
from components.autoscaler.queries import in_flight, refusals, scaler_query
from components.gateway.envoy.stats import MEMBERSHIP_HEALTHY, cluster_selector
from config.sections.inference import InferenceStack
from config.settings import Settings
from config.sizing.hpa import growth_needs
from local_cluster.serving.node import Node
from ops.stack.cluster_spec import cluster_of
from ops.stack.environment import StackEnvironment
from ops.stack.serving import hpa_name, prometheus_address, require_serving


def stack_bed(env: StackEnvironment, settings: Settings, name: str) -> OverloadBed:
    """Describe the first inference stack of a local cluster that serves.

    Args:
        env: Environment of the stack, which is provisioned.
        settings: Its parameters.
        name: Name in tables and plots.

    Raises:
        OpsError: Nothing serves.
    """
    require_serving(env)
    stack: InferenceStack = settings.inference[0]
    cluster = cluster_of(env)
    client: Any = cluster.client()
    service: Any = client.get(Service, stack.gateway_name, namespace=stack.namespace)
    scaler, fleet = stack.autoscaler, cluster_selector(stack.envoy_cluster)
    window = stack.rate_window_seconds(settings.prometheus)
    members = MEMBERSHIP_HEALTHY + fleet
    return OverloadBed(
        name=name,
        address=f"{service.spec.clusterIP}:{stack.gateway.port}",
        enter=tuple(Node(paths=cluster.paths, report=print).enter("--net")),
        prometheus=f"http://{prometheus_address(env)}",
        client=client,
        namespace=stack.namespace,
        deployment=stack.deployment_name,
        hpa=hpa_name(stack.scaler_name),
        least=scaler.min_replicas,
        most=scaler.max_replicas,
        growth_needs=growth_needs(scaler, scaler.min_replicas),
        replica_rps=stack.traffic.replica_rps,
        queries=Queries(
            signal=scaler_query(stack, settings.prometheus),
            in_flight=in_flight(fleet),
            refusals=refusals(fleet, window),
            routed=f"min({members}) == max({members})",
        ),
    )
