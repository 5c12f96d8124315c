"""Waits for the rollouts of a stack that `up` has applied."""

import asyncio
import functools
from collections.abc import Callable

from components.cluster.api import ClusterApi
from components.cluster.kubeconfig import KubeconfigError
from components.common.kubernetes_api import KubernetesApi
from components.rollout.watch import PROGRESS_SECONDS, Watch
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings
from config.sizing.rollout import rollout_seconds, start_seconds
from ops.errors import OpsError
from ops.stack import pulumi
from ops.stack.environment import StackEnvironment
from ops.stack.teardown import cluster_target

Say = Callable[[str], None]


def wait(env: StackEnvironment, settings: Settings, say: Say) -> None:
    """Wait until every Deployment of a stack is rolled out.

    Raises:
        OpsError: `up` has not applied all parameters, a rollout cannot succeed, or the cluster
            does not answer.
    """
    applied = pulumi.run(env, "preview", "--stack", env.stack, "--expect-no-changes", check=False)
    if applied:
        raise OpsError(
            f"the cluster is not as the parameters of {env.stack} state it, so no rollout would "
            f"make it so; correct the error or run: make up STACK={env.stack}"
        )
    try:
        with ClusterApi(cluster_target(env, settings)) as api:
            failures = asyncio.run(_failures(api, settings, say))
    except KubeconfigError as error:
        raise OpsError(str(error)) from None
    if failures:
        raise OpsError("\n\n".join(failures))


async def _failures(api: KubernetesApi, settings: Settings, say: Say) -> list[str]:
    ended = await asyncio.gather(*(watch.result() for watch in watches(api, settings, say)))
    return [text for text in ended if text]


def watches(api: KubernetesApi, settings: Settings, say: Say) -> list[Watch]:
    """Return the watches over all Deployments of a stack, with the times of their components."""

    def watch(
        namespace: str,
        name: str,
        least: int,
        times: tuple[float, float] | None = None,
        certificate: str = "",
    ) -> Watch:
        default = PROGRESS_SECONDS, PROGRESS_SECONDS
        report = functools.partial(_report, say, name)
        return Watch(api, namespace, name, least, times or default, report, certificate)

    found: list[Watch] = []
    nodes = settings.gpu_nodes.pool
    for stack in settings.inference:
        times = start_seconds(stack, nodes), rollout_seconds(stack, nodes)
        least = stack.autoscaler.min_replicas
        # The Certificate has the gateway's name.
        certificate = stack.gateway_name if stack.gateway.tls.issuer else ""
        found += [
            watch(stack.namespace, stack.deployment_name, least, times),
            watch(
                stack.namespace,
                stack.gateway_name,
                stack.gateway.replicas,
                certificate=certificate,
            ),
        ]
    # By kind: another team rolls out an existing one.
    if isinstance(settings.prometheus, ManagedPrometheus):
        found.append(watch(settings.prometheus.namespace, settings.prometheus.name, 1))
    return found


def _report(say: Say, name: str, text: str) -> None:
    say(f"{name}: {text}")
