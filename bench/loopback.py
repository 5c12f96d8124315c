"""The stack's gateway on loopback, where no cluster is."""

import copy

from components.gateway.envoy.bootstrap import bootstrap
from components.gateway.envoy.protojson import Json, address
from config.sections.inference import InferenceStack


def local_bootstrap(stack: InferenceStack, host: str, dns_port: int) -> Json:
    """Return the stack's bootstrap, moved to a loopback address; nothing else differs.

    Args:
        stack: The inference stack.
        host: Address of its listeners, and of the DNS server that it asks.
        dns_port: Port of that server.
    """
    config = copy.deepcopy(bootstrap(stack))
    for listener in config["static_resources"]["listeners"]:
        # Some are sockets without a port.
        if "socket_address" in listener["address"]:
            listener["address"]["socket_address"]["address"] = host
    dns = config["static_resources"]["clusters"][0]["cluster_type"]["typed_config"]
    resolver = dns["typed_dns_resolver_config"]["typed_config"]
    resolver["resolvers"] = [address(host, dns_port)]
    return config
