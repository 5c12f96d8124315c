"""The controller that creates the gateway's load balancer, and its webhook for pods."""

from collections.abc import Iterable, Iterator

from components.cluster.preflight.reader import ClusterReader, dig
from config.checks.stack_paths import stacks
from config.problem import Problem
from config.sections.gateway import InternalLoadBalancer
from config.settings import Settings

_CONTROLLER = "aws-load-balancer-controller"
_POD_WEBHOOK = "mpod.elbv2.k8s.aws"
"""Webhook by which the controller adds the readiness gate to pods (its webhooks/core)."""

_WEBHOOKS_PATH = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def balancer(settings: Settings, reader: ClusterReader) -> Iterable[Problem]:
    """Refuse a load balancer that no controller would create."""
    # By kind: only this check asks which stacks want a load balancer.
    keys: dict[str, object] = {
        at.key("gateway.exposure.kind"): at.stack.gateway.exposure.kind
        for at in stacks(settings)
        if isinstance(at.stack.gateway.exposure, InternalLoadBalancer)
    }
    if not keys:
        return
    wait = "`up` would wait for its address until its timeout"
    if not reader.api.serves("elbv2.k8s.aws/v1beta1", "targetgroupbindings"):
        auto = reader.api.serves("eks.amazonaws.com/v1", "targetgroupbindings")
        but = " (EKS Auto Mode's own serves only the class eks.amazonaws.com/nlb)" if auto else ""
        yield Problem(
            check="preflight",
            severity="refuse",
            keys=keys,
            reason=(
                "the cluster has no AWS Load Balancer Controller, which creates load balancers of "
                f"class service.k8s.aws/nlb{but}: {wait}"
            ),
            fix="install the AWS Load Balancer Controller first, or set the kind to cluster",
        )
        return
    yield from _without_webhook(settings, keys, reader)
    deployments = reader.items("/apis/apps/v1/deployments", "Deployments of all namespaces")
    if deployments is None:
        return
    controllers = [
        found
        for found in deployments
        if _CONTROLLER in str(found["spec"]["template"]["spec"]["containers"])
        or _CONTROLLER in found["metadata"]["name"]
    ]
    if not any(dig(found, "status", "readyReplicas") for found in controllers):
        how = "is not ready" if controllers else "does not run as a Deployment of the cluster"
        yield Problem(
            check="preflight",
            severity="warn",
            keys=keys,
            reason=f"the AWS Load Balancer Controller {how}: without it {wait}",
            fix=f"inspect it: kubectl get deployments -A | grep {_CONTROLLER}",
        )


def _without_webhook(
    settings: Settings, keys: dict[str, object], reader: ClusterReader
) -> Iterator[Problem]:
    found = reader.items(_WEBHOOKS_PATH, "MutatingWebhookConfigurations")
    if found is None:
        return
    hooks = [hook["name"] for one in found for hook in one.get("webhooks") or ()]
    if _POD_WEBHOOK not in hooks:
        yield Problem(
            check="preflight",
            severity="refuse" if settings.tier == "prod" else "warn",
            keys=keys,
            reason=(
                f"the cluster has no webhook {_POD_WEBHOOK}, by which pods wait for the load "
                "balancer's health checks: a rollout would replace all gateways before the "
                "balancer knows one of the new ones"
            ),
            fix=f"install the {_CONTROLLER} with its webhooks, as its chart does",
        )
