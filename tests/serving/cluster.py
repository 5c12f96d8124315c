"""Answers of the served cluster's API server: objects, and the order of deletions."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from components.common.labels import PART_OF, PART_OF_LABEL
from local_cluster.cluster import Cluster
from tests.integration.checkout import Checkout

Object = dict[str, Any]

_WATCHED = {
    "ScaledObject": "/apis/keda.sh/v1alpha1/scaledobjects",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/horizontalpodautoscalers",
    "Deployment": "/apis/apps/v1/deployments",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/networkpolicies",
    "Namespace": "/api/v1/namespaces",
}


def cluster(checkout: Checkout) -> Cluster:
    """The local cluster of a checkout."""
    return Cluster(checkout.env.state_dir)


def get(checkout: Checkout, *arguments: str) -> list[Object]:
    """Return the objects that `kubectl get` lists."""
    shown = checkout.kubectl("get", *arguments, "-o", "json").ok().stdout
    return json.loads(shown)["items"]


def staying(objects: Iterable[Object]) -> list[Object]:
    """Those that are not at their end, as an earlier rollout's pods may still be."""
    return [found for found in objects if "deletionTimestamp" not in found["metadata"]]


def selected(labels: dict[str, str]) -> str:
    """Spell labels as kubectl's selector."""
    return ",".join(f"{name}={value}" for name, value in labels.items())


def ours(checkout: Checkout, namespaces: Iterable[str]) -> set[str]:
    """Every object of every kind that the API server lists, in these namespaces or of the stack."""
    kinds = checkout.kubectl("api-resources", "--verbs=list", "-o", "name").ok().stdout.split()
    # Metrics are served under these groups too, and are no objects.
    listed = [kind for kind in kinds if not kind.endswith(".metrics.k8s.io")]
    found: set[str] = set()
    for item in get(checkout, ",".join(listed), "-A"):
        metadata = item["metadata"]
        where = metadata.get("namespace", "")
        is_part = metadata.get("labels", {}).get(PART_OF_LABEL) == PART_OF
        if is_part or where in namespaces:
            found.add(f"{where}/{item['kind']}/{metadata['name']}")
    return found


@dataclass
class Deletion:
    """When an object went, in revisions of the one etcd, which order all objects alike."""

    began: int
    """Its deletion was asked for; its finalizers have not run."""
    ended: int | None = None
    """It is no more."""


@dataclass(frozen=True)
class Deletions:
    """Return the deletions since a moment; the API server remembers minutes of them."""

    checkout: Checkout
    since: str

    @classmethod
    def watch(cls, checkout: Checkout) -> Self:
        """Remember this moment."""
        listed = checkout.kubectl("get", "--raw", "/api/v1/namespaces").ok().stdout
        return cls(checkout, json.loads(listed)["metadata"]["resourceVersion"])

    def seen(self) -> dict[str, Deletion]:
        """Every deletion since, by `kind/name`."""
        found: dict[str, Deletion] = {}
        for kind, path in _WATCHED.items():
            # The events up to now come at once.
            asked = f"{path}?watch=1&timeoutSeconds=1&resourceVersion={self.since}"
            for line in self.checkout.kubectl("get", "--raw", asked).ok().stdout.splitlines():
                event = json.loads(line)
                assert event["type"] != "ERROR", event
                metadata = event["object"]["metadata"]
                revision, is_gone = int(metadata["resourceVersion"]), event["type"] == "DELETED"
                if is_gone or "deletionTimestamp" in metadata:
                    name = f"{kind}/{metadata['name']}"
                    deletion = found.setdefault(name, Deletion(revision))
                    deletion.ended = revision if is_gone else None
        return found
