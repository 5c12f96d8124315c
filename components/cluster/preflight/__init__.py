"""Checks that the cluster can take the stack, before the program changes anything.

Each module checks one aspect and yields its problems.
"""

import contextlib
from collections.abc import Generator, Iterable

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.preflight.admission import admission
from components.cluster.preflight.balancer import balancer
from components.cluster.preflight.certificates import certificates
from components.cluster.preflight.claims import claims
from components.cluster.preflight.contents import contents
from components.cluster.preflight.eks import eks
from components.cluster.preflight.gpus import gpus
from components.cluster.preflight.keda import keda
from components.cluster.preflight.network import network
from components.cluster.preflight.node_agents import node_agents
from components.cluster.preflight.operator import prometheus_operator
from components.cluster.preflight.ownership import foreign_objects
from components.cluster.preflight.permissions import permissions
from components.cluster.preflight.prometheus import prometheus
from components.cluster.preflight.pull_secrets import pull_secrets
from components.cluster.preflight.quota import quota
from components.cluster.preflight.reader import ClusterReader
from components.cluster.preflight.storage import storage
from components.cluster.preflight.token_keys import token_keys
from components.cluster.preflight.version import version
from components.common.kubernetes_api import (
    ApiRefusedError,
    ApiUnreachableError,
    KubeconfigRefusedError,
)
from components.state.marks import ObjectName
from components.state.objects import Kinds
from components.state.ownership import Claim
from config.problem import Problem
from config.sections.platform import LocalPlatform, Platform
from config.settings import Settings


def preflight(
    settings: Settings, stack: str, api: ClusterApi, *, preview: bool = False
) -> list[Problem]:
    """Check that the cluster meets the needs of the stack.

    It sends about thirty short requests, and more than a hundred if the user lacks a permission.

    Args:
        settings: The stack's parameters.
        stack: Name of the Pulumi stack.
        api: Client of the cluster that the parameters name.
        preview: True for a preview, which only warns of missing permissions, so that a user with
            read access alone can preview.

    Returns:
        All obstacles and all warnings.
    """
    platform, reader = settings.platform, ClusterReader(api)
    with _answers(platform, api) as problems:
        problems += [
            *version(platform, api),
            *keda(settings, api),
            *prometheus_operator(settings, api),
            *prometheus(settings, reader),
            *claims(settings, stack, reader),
            *pull_secrets(settings, stack, reader),
            *storage(settings, reader),
            *network(settings, reader),
            *balancer(settings, reader),
            *certificates(settings, stack, reader),
            *token_keys(settings, stack, reader),
            *gpus(settings, reader),
            *node_agents(settings, api),
            *eks(settings, reader),
            *quota(settings, reader),
            *admission(settings, stack, reader),
            *contents(settings, stack, api),
            *permissions(settings, api, preview),
            *reader.unreadable(platform),
        ]
    return problems


def unowned(
    settings: Settings, api: ClusterApi, declared: Iterable[ObjectName], claim: Claim
) -> list[Problem]:
    """Find declared objects that exist and that the stack does not own.

    Args:
        settings: The stack's parameters.
        api: Client of the cluster that the parameters name.
        declared: Every object that the program declares.
        claim: Evidence by which the stack owns an object.

    Returns:
        All obstacles.
    """
    with _answers(settings.platform, api) as problems:
        problems += foreign_objects(settings, Kinds(api), declared, claim)
    return problems


@contextlib.contextmanager
def _answers(platform: Platform, api: ClusterApi) -> Generator[list[Problem]]:
    """Collect problems; a cluster that does not answer replaces all others."""
    target, problems = api.target, list[Problem]()
    try:
        yield problems
    except KubeconfigRefusedError as error:
        reason = f"context {target.context!r} of the kubeconfig cannot be used: {error}"
        problems[:] = [kubeconfig.problem(platform, reason, _correct_fix(platform))]
    except ApiUnreachableError as error:
        reason = (
            f"the API server {target.server} (context {target.context}) does not answer: {error}"
        )
        problems[:] = [kubeconfig.problem(platform, reason, _reach_fix(platform))]
    except ApiRefusedError as error:
        reason = (
            f"the API server {target.server} refuses the credentials of {target.context}: {error}"
        )
        problems[:] = [kubeconfig.problem(platform, reason, _login_fix(platform))]


def _correct_fix(platform: Platform) -> str:
    # By kind: the wording of this fix.
    if isinstance(platform, LocalPlatform):
        return "recreate the local cluster: make down, then make up"
    return (
        "correct the kubeconfig, or choose another platform.context (the provider reads relative "
        "paths in it from the project's folder)"
    )


def _reach_fix(platform: Platform) -> str:
    # By kind: the wording of this fix.
    if isinstance(platform, LocalPlatform):
        return "start the local cluster: make up"
    return "start the cluster, connect to its network, or name another cluster under platform"


def _login_fix(platform: Platform) -> str:
    # By kind: the wording of this fix.
    if isinstance(platform, LocalPlatform):
        return "recreate the local cluster: make down, then make up"
    return "renew the credentials in the kubeconfig, or choose another platform.context"
