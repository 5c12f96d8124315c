"""Checks that a stopping replica or gateway has enough time to finish its calls."""

import math
from collections.abc import Iterator

from config.checks.stack_paths import StackAt, smallest_passing, stacks
from config.problem import Finding, derived, number, refuse, warn
from config.sections.gateway import InternalLoadBalancer
from config.settings import Settings

BALANCER_LAG_SECONDS = 60
"""Time until a network load balancer sends no new connections to a deregistered target; an
estimate, because AWS states no bound."""

SPOT_NOTICE_SECONDS = 120
"""Time from a spot node's notice to its end (AWS EC2 user guide, spot interruption notices)."""

EKS_EVICTION_SECONDS = 900
"""Time that an EKS node-group update gives pods to leave a node before it fails, or ends them when
forced (AWS EKS user guide, managed node update behaviour)."""

SHUTDOWN_SECONDS = 120
"""Time that kubelet gives pods when their node shuts down undrained: 150 s less 30 s for critical
pods, on EKS's AL2023 from Kubernetes 1.34 (awslabs/amazon-eks-ami 81fec2e,
`nodeadm/internal/kubelet/config.go`, `withVersionToggles`; pull request 2390)."""


def _lag_keys(at: StackAt) -> dict[str, object]:
    gateway, checks = at.stack.gateway, at.stack.gateway.health_checks
    if at.stack.triton.watchdog.enabled:
        return {
            at.key("gateway.healthChecks.intervalSeconds"): checks.interval_seconds,
            at.key("gateway.healthChecks.timeoutSeconds"): checks.timeout_seconds,
        }
    return {
        at.key("gateway.dnsTtlSeconds"): gateway.dns_ttl_seconds,
        at.key("gateway.dnsRefreshSeconds"): gateway.dns_refresh_seconds,
        at.key("gateway.dnsJitterSeconds"): gateway.dns_jitter_seconds,
    }


def _grace_keys(at: StackAt) -> dict[str, object]:
    triton, traffic = at.stack.triton, at.stack.traffic
    stop = at.key("triton.preStopSeconds")
    grace = at.key("triton.terminationGraceSeconds")
    return {
        grace if triton.termination_grace_seconds else derived(grace): (
            at.stack.triton_grace_seconds
        ),
        stop if triton.pre_stop_seconds else derived(stop): at.stack.triton_pre_stop_seconds,
        at.key("traffic.maxStreamSeconds"): traffic.max_stream_seconds,
        at.key("traffic.deadlineSeconds"): traffic.deadline_seconds,
    }


def _shorter_streams(settings: Settings, at: StackAt, limit_seconds: int) -> dict[str, object]:
    shortest = math.ceil(at.stack.traffic.deadline_seconds)
    longest = math.floor(at.stack.traffic.max_stream_seconds)

    def passes(after: Settings) -> bool:
        stack = after.inference[at.index]
        return max(stack.triton_grace_seconds, stack.gateway_grace_seconds) <= limit_seconds

    return smallest_passing(
        settings,
        at.key("traffic.maxStreamSeconds"),
        range(longest, shortest - 1, -1),
        passes,
    )


@refuse
def pre_stop(settings: Settings) -> Iterator[Finding]:
    """A stated preStop lasts until no gateway sends calls to the replica any more."""
    for at in stacks(settings):
        stated, lag = at.stack.triton.pre_stop_seconds, at.stack.stop_lag_seconds
        if stated is not None and at.stack.triton_pre_stop_seconds < lag:
            key = at.key("triton.preStopSeconds")
            yield Finding(
                keys={key: stated, **_lag_keys(at)},
                reason=(
                    f"gateways send calls to a stopping replica for up to {number(lag)} s (the sum "
                    f"of the other values), but Triton gets SIGTERM after {number(stated)} s: "
                    "calls in between fail"
                ),
                change={key: None},
            )


@refuse
def grace(settings: Settings) -> Iterator[Finding]:
    """A stated grace period covers preStop and the longest call or stream."""
    for at in stacks(settings):
        stack = at.stack
        needed = stack.triton_pre_stop_seconds + stack.triton_exit_seconds
        stated = stack.triton.termination_grace_seconds
        if stated is not None and stack.triton_grace_seconds < needed:
            yield Finding(
                keys=_grace_keys(at),
                reason=(
                    f"a stopping replica needs {stack.triton_pre_stop_seconds} s for preStop and "
                    f"{stack.triton_exit_seconds} s for the longest call or stream with its margin "
                    f"= {needed} s, but is killed after {number(stated)} s"
                ),
                change={at.key("triton.terminationGraceSeconds"): None},
            )


@refuse
def spot(settings: Settings) -> Iterator[Finding]:
    """On spot nodes a replica has stopped before AWS removes the node."""
    on_spot = {
        pool.key("capacityType"): "SPOT" for pool in settings.gpu_nodes.pools if pool.nodes.spot
    }
    for at in stacks(settings) if on_spot else ():
        taken = at.stack.triton_grace_seconds
        if not at.stack.triton.gpus or taken <= SPOT_NOTICE_SECONDS:
            continue
        yield Finding(
            keys={
                **on_spot,
                **_grace_keys(at),
                **_lag_keys(at),
            },
            reason=(
                f"a spot node is removed {SPOT_NOTICE_SECONDS} s after its notice, but a "
                f"replica may take {taken} s to stop: streams that still run are cut"
            ),
            change=_shorter_streams(settings, at, SPOT_NOTICE_SECONDS)
            or dict.fromkeys(on_spot, "ON_DEMAND"),
        )


@refuse
def eks_update(settings: Settings) -> Iterator[Finding]:
    """An EKS node-group update waits long enough for replicas and gateways to stop."""
    if not settings.gpu_nodes.groups:
        return
    for at in stacks(settings):
        triton, gateway = at.stack.triton_grace_seconds, at.stack.gateway_grace_seconds
        if max(triton, gateway) <= EKS_EVICTION_SECONDS:
            continue
        change = _shorter_streams(settings, at, EKS_EVICTION_SECONDS)
        yield Finding(
            keys={
                "gpuNodes.kind": settings.gpu_nodes.kind,
                **_grace_keys(at),
                at.key("gateway.endpointLagSeconds"): at.stack.gateway.endpoint_lag_seconds,
                derived(at.key("gateway.terminationGraceSeconds")): gateway,
            },
            reason=(
                f"EKS gives pods {EKS_EVICTION_SECONDS} s to leave a node that it updates, but a "
                f"replica may take {triton} s and a gateway {gateway} s"
            ),
            change=change,
            fix="" if change else "lower the values that the grace periods derive from",
        )


@warn
def node_shutdown(settings: Settings) -> Iterator[Finding]:
    """A replica has stopped before its node ends, also if nobody drained the node."""
    own = {
        pool.path
        for group, pool in settings.gpu_nodes.groups_at
        if not group.takes_user_data or "shutdownGracePeriod" in (group.user_data or "")
    }
    # With user data, the finding shows that it states no time.
    silent: dict[str, object] = {
        pool.key("userData"): "(no shutdownGracePeriod)"
        for group, pool in settings.gpu_nodes.groups_at
        if group.user_data and pool.path not in own and not group.brings_device_plugin
    }
    bounded: dict[str, object] = {
        pool.key("amiType"): nodes.ami_type
        for nodes, pool in settings.gpu_nodes.created
        # Bottlerocket sets no time at all (docs/eks.md, Nodes that shut down).
        if not (nodes.brings_device_plugin or nodes.retiring or pool.path in own)
    }
    for at in stacks(settings) if bounded else ():
        taken = at.stack.triton_grace_seconds
        # `spot` and `eks_update` refuse longer ones.
        spot = any(nodes.spot for nodes, _ in settings.gpu_nodes.created)
        if not at.stack.triton.gpus or spot or not SHUTDOWN_SECONDS < taken <= EKS_EVICTION_SECONDS:
            continue
        yield Finding(
            keys={**bounded, **silent, **_grace_keys(at)},
            reason=(
                f"a node that EC2 stops undrained (a failed host, a stop by hand) ends its pods "
                f"after {SHUTDOWN_SECONDS} s, but a replica may take {taken} s to stop: streams "
                "that still run are cut"
            ),
            fix=f"shorten {at.key('traffic.maxStreamSeconds')} by {taken - SHUTDOWN_SECONDS} s, or "
            "state shutdownGracePeriod in the user data (docs/eks.md, Nodes that shut down), or "
            "continue if clients repeat such calls",
        )


@warn
def balancer_lag(settings: Settings) -> Iterator[Finding]:
    """A gateway behind a load balancer stays until the balancer has deregistered it."""
    for at in stacks(settings):
        lag = at.stack.gateway.endpoint_lag_seconds
        exposure = at.stack.gateway.exposure
        # By kind: only this check compares an exposure with the gateway's stop.
        if isinstance(exposure, InternalLoadBalancer) and lag < BALANCER_LAG_SECONDS:
            yield Finding(
                keys={
                    at.key("gateway.exposure.kind"): exposure.kind,
                    at.key("gateway.endpointLagSeconds"): lag,
                },
                reason=(
                    f"a load balancer deregisters a target in about {BALANCER_LAG_SECONDS} s, but "
                    f"a stopping gateway drains after {number(lag)} s: a client that it "
                    "disconnects may be sent back to it. The balancer itself ends no connection "
                    f"within {at.stack.gateway_grace_seconds} s of failed health checks"
                ),
                change={at.key("gateway.endpointLagSeconds"): BALANCER_LAG_SECONDS},
            )
