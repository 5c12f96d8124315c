"""The NetworkPolicies that follow from the connections of `config.flows`."""

from collections.abc import Iterable

from components.common.labels import PART_OF, PART_OF_LABEL
from components.common.pods import Manifest
from config.flows import Addresses, Flow, Pods

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Label that the API server itself sets on every namespace."""

DEFAULT_DENY: Manifest = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
"""Spec of the policy that closes a namespace; the policies of its workloads open it again."""


def policy_spec(subject: Pods, flows: Iterable[Flow]) -> Manifest:
    """Build the spec of a workload's one NetworkPolicy: the flows that begin or end at it."""
    rows = list(flows)
    rules = {
        "ingress": [
            {"from": [_peer(flow.source)], "ports": _ports(flow)}
            for flow in rows
            if flow.target == subject
        ],
        "egress": [
            {"to": [_peer(flow.target)], "ports": _ports(flow)}
            for flow in rows
            if flow.source == subject
        ],
    }
    return {
        "podSelector": _pod_selector(subject),
        "policyTypes": ["Ingress", "Egress"],
        # The API server keeps no empty list, so a stated one would always look like a change.
        **{direction: peers for direction, peers in rules.items() if peers},
    }


def _pod_selector(pods: Pods) -> Manifest:
    if pods.other_pods:
        ours = {"key": PART_OF_LABEL, "operator": "NotIn", "values": [PART_OF]}
        return {"matchExpressions": [ours]}
    return {"matchLabels": pods.labels} if pods.labels else {}


def _peer(peer: Pods | Addresses) -> Manifest:
    # By kind: flows know no fields of a NetworkPolicy.
    if isinstance(peer, Addresses):
        but_not = {"except": list(peer.but_not)} if peer.but_not else {}
        return {"ipBlock": {"cidr": peer.cidr, **but_not}}
    # Both in one element: pods with these labels in that namespace, not either.
    selector = _pod_selector(peer)
    pods = {"podSelector": selector} if selector else {}
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: peer.namespace}}, **pods}


def _ports(flow: Flow) -> Manifest:
    return [
        {"protocol": protocol, "port": port} for protocol in flow.protocols for port in flow.ports
    ]
