"""NetworkPolicy as Kubernetes' API reference defines it, read from manifests alone.

Written from the reference and not from the product's own code, so that the two can disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or (no namespace) a node or an address outside."""

    address: str
    namespace: str = ""
    labels: Mapping[str, str] | None = None
    node: str = ""
    """Name of the node that a pod runs on, or that this is."""

    def is_node_of(self, other: "End") -> bool:
        """Return True if this is the node that the other runs on."""
        return not self.namespace and self.node != "" and self.node == other.node


@dataclass(frozen=True)
class World:
    """Policies as declared, and the labels of the namespaces."""

    policies: Sequence[Mapping[str, Any]]
    namespaces: Mapping[str, Mapping[str, str]]

    def allows(self, source: End, target: End, port: int, protocol: str = "TCP") -> bool:
        """Return True if the source's policies let a connection out and the target's let it in.

        Between a pod and its own node everything is allowed, whatever the policies say.
        """
        if source.is_node_of(target) or target.is_node_of(source):
            return True
        return self._passes("Egress", source, target, port, protocol) and self._passes(
            "Ingress", target, source, port, protocol
        )

    def _passes(self, direction: str, subject: End, other: End, port: int, protocol: str) -> bool:
        isolating = [policy for policy in self.policies if _isolates(policy, subject, direction)]
        rules = [
            (policy["metadata"]["namespace"], rule)
            for policy in isolating
            for rule in policy["spec"].get(direction.lower(), [])
        ]
        side = "from" if direction == "Ingress" else "to"
        return not isolating or any(
            (side not in rule or any(self._is(peer, home, other) for peer in rule[side]))
            and _has_port(rule.get("ports"), port, protocol)
            for home, rule in rules
        )

    def _is(self, peer: Mapping[str, Any], home: str, end: End) -> bool:
        if "ipBlock" in peer:
            # A pod's own address counts, too: some CNIs see it so, and the open end is the risk.
            block, address = peer["ipBlock"], ip_address(end.address)
            inside = address in ip_network(block["cidr"])
            return inside and not any(address in ip_network(cut) for cut in block.get("except", []))
        if not end.namespace:
            return False
        if "namespaceSelector" in peer:
            if not _selects(peer["namespaceSelector"], self.namespaces[end.namespace]):
                return False
        elif end.namespace != home:
            return False
        return _selects(peer.get("podSelector", {}), end.labels or {})


def _isolates(policy: Mapping[str, Any], subject: End, direction: str) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"]["namespace"] == subject.namespace
        and direction in spec["policyTypes"]
        and _selects(spec["podSelector"], subject.labels or {})
    )


def _has_port(ports: Sequence[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return not ports or any(
        rule.get("protocol", "TCP") == protocol and rule.get("port", port) == port for rule in ports
    )


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    def holds(term: Mapping[str, Any]) -> bool:
        value = labels.get(term["key"])
        match term["operator"]:
            case "In":
                return value in term["values"]
            case "NotIn":
                return value not in term["values"]
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case other:
                raise ValueError(other)

    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        map(holds, selector.get("matchExpressions", []))
    )
