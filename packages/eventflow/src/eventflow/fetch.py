"""Requests to other servers over HTTP: counters of calls per replica, and Prometheus."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventflow.errors import EventFlowError

_TIMEOUT_SECONDS = 5.0

_SERIES = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PROXIED_POD = re.compile(r"/namespaces/[^/]+/pods/(?:https?:)?(?P<pod>[^/:]+)[^/]*/proxy(?:/|$)")
_ENVOY_HOST = re.compile(r"(?P<cluster>[^:\s]+)::(?P<host>\S+)::rq_total::(?P<value>\d+)")


def get(url: str) -> str:
    """Fetch a page and return its text.

    Raises:
        EventFlowError: The page cannot be fetched.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise EventFlowError(f"{url}: expected an http:// or https:// URL")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - see above
            return response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        detail = error.read().decode("utf-8", "replace")[:200]
        raise EventFlowError(f"{url}: HTTP {error.code}: {detail}") from error
    except (OSError, ValueError) as error:
        raise EventFlowError(f"{url}: {error}") from error


def read_counters(url: str) -> dict[str, float]:
    """Read the number of calls that each replica has answered.

    - Triton's `/metrics`: `nv_inference_request_success` and `_failure`, all models. The replica is
      the host of the page, or the pod if a Kubernetes API server proxies the page.
    - Envoy's `/stats/prometheus` with `per_endpoint_stats`: `envoy_cluster_endpoint_rq_total`.
    - Envoy's `/clusters` (admin): `rq_total` of each host.

    Raises:
        EventFlowError: The page cannot be fetched, or has no such counter.
    """
    page, pods = get(url), dict[str, float]()
    address = urllib.parse.urlsplit(url)
    proxied = _PROXIED_POD.search(address.path)
    page_host = proxied["pod"] if proxied else address.netloc
    for line in page.splitlines():
        if host := _ENVOY_HOST.fullmatch(line.strip()):
            pods[host["host"]] = pods.get(host["host"], 0.0) + float(host["value"])
            continue
        series = _SERIES.match(line)
        if series is None:
            continue
        labels = dict(_LABEL.findall(series["labels"] or ""))
        if series["name"] in ("nv_inference_request_success", "nv_inference_request_failure"):
            pod = page_host
        elif series["name"] == "envoy_cluster_endpoint_rq_total":
            pod = labels.get("envoy_endpoint_address", "?")
        else:
            continue
        pods[pod] = pods.get(pod, 0.0) + float(series["value"])
    if not pods:
        raise EventFlowError(
            f"{url}: no counter of calls per replica; give Triton's /metrics, Envoy's /clusters, "
            "or Envoy's /stats/prometheus with per_endpoint_stats"
        )
    return pods


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, int]:
    """Return the increase of each counter; a counter that fell was restarted at 0."""
    return {
        pod: int(value - before.get(pod, 0.0) if value >= before.get(pod, 0.0) else value)
        for pod, value in after.items()
    }


@dataclass(frozen=True)
class Series:
    """A time series; `at` holds seconds since the epoch."""

    at: tuple[float, ...]
    values: tuple[float, ...]


def query_range(prometheus: str, query: str, start: float, end: float, step: float) -> Series:
    """Query Prometheus for one series over a range of time; empty if there is none.

    Raises:
        EventFlowError: The request fails, or the query yields several series.
    """
    arguments = {"query": query, "start": start, "end": end, "step": step}
    url = f"{prometheus.rstrip('/')}/api/v1/query_range?{urllib.parse.urlencode(arguments)}"
    try:
        answer: dict[str, Any] = json.loads(get(url))
        results: list[dict[str, Any]] = answer["data"]["result"]
        points: list[tuple[float, str]] = results[0]["values"] if results else []
    except (ValueError, KeyError, TypeError) as error:
        raise EventFlowError(f"{prometheus}: not a response of Prometheus: {error}") from error
    if len(results) > 1:
        raise EventFlowError(f"query {query!r}: {len(results)} series; sum() makes one of them")
    return Series(tuple(float(at) for at, _ in points), tuple(float(value) for _, value in points))
