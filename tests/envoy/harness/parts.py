"""Where a bootstrap keeps what the mutations take away."""

from typing import Any

from components.gateway.envoy.protojson import Json


def cluster(config: Json) -> Json:
    return config["static_resources"]["clusters"][0]


def breakers(config: Json) -> Json:
    return cluster(config)["circuit_breakers"]


def http2_up(config: Json) -> Json:
    (options,) = cluster(config)["typed_extension_protocol_options"].values()
    return options["explicit_http_config"]["http2_protocol_options"]


def dns(config: Json) -> Json:
    return cluster(config)["cluster_type"]["typed_config"]


def listener(config: Json) -> Json:
    """The callers' listener."""
    return config["static_resources"]["listeners"][0]


def _monitor(config: Json, name: str) -> Json:
    monitors = config["overload_manager"]["resource_monitors"]
    (found,) = [each for each in monitors if each["name"].endswith(name)]
    return found["typed_config"]


def fixed_heap(config: Json) -> Json:
    return _monitor(config, "fixed_heap")


def max_connections(config: Json) -> Json:
    return _monitor(config, "global_downstream_max_connections")


def manager(config: Json) -> Json:
    (chain,) = listener(config)["filter_chains"]
    return chain["filters"][0]["typed_config"]


def remove_filter(config: Json, name: str) -> None:
    """Take an HTTP filter away, and its configuration of routes."""
    filters = manager(config)["http_filters"]
    filters[:] = [each for each in filters if not each["name"].endswith(name)]
    for route in virtual_host(config)["routes"]:
        configs = route.get("typed_per_filter_config", {})
        for each in [each for each in configs if each.endswith(name)]:
            del configs[each]


def http2_down(config: Json) -> Json:
    return manager(config)["http2_protocol_options"]


def virtual_host(config: Json) -> Json:
    return manager(config)["route_config"]["virtual_hosts"][0]


def named_route(config: Json, name: str) -> Json:
    (found,) = [route for route in virtual_host(config)["routes"] if route["name"] == name]
    return found


def routes(config: Json) -> list[Json]:
    """The actions of the routes that lead to replicas."""
    return [route["route"] for route in virtual_host(config)["routes"] if "route" in route]


def runtime(config: Json) -> dict[str, Any]:
    return config["layered_runtime"]["layers"][0]["static_layer"]


def retry_policies(config: Json) -> list[Json]:
    return [route["retry_policy"] for route in routes(config)]


def retry_budget(config: Json) -> Json:
    return breakers(config)["thresholds"][0]["retry_budget"]


def health_check(config: Json) -> Json:
    (check,) = cluster(config)["health_checks"]
    return check


def common_balance(config: Json) -> Json:
    return cluster(config)["common_lb_config"]


def outliers(config: Json) -> Json:
    return cluster(config)["outlier_detection"]


def http_filter(config: Json, name: str) -> Json:
    """Configuration of one HTTP filter."""
    (found,) = [each for each in manager(config)["http_filters"] if each["name"] == name]
    return found["typed_config"]
