"""Checks of the cluster before anything is touched: can this stack be applied there?

Each module checks one aspect and yields its problems.
"""

import contextlib
from collections.abc import Generator, Iterable

from components.cluster import kubeconfig
from components.cluster.api import ClusterApi
from components.cluster.preflight.admission import admission
from components.cluster.preflight.balancer import balancer
from components.cluster.preflight.claims import claims
from components.cluster.preflight.contents import contents
from components.cluster.preflight.gpus import gpus
from components.cluster.preflight.keda import keda
from components.cluster.preflight.look import Look
from components.cluster.preflight.network import network
from components.cluster.preflight.ownership import strangers
from components.cluster.preflight.pod_monitors import pod_monitors
from components.cluster.preflight.prometheus import prometheus
from components.cluster.preflight.quota import quota
from components.cluster.preflight.rights import rights
from components.cluster.preflight.storage import storage
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
    """Ask the API server for all that the stack needs of it.

    Some thirty short requests; a hundred and more for a user that may not do everything.

    Args:
        settings: The stack's parameters.
        stack: Name of the Pulumi stack.
        api: The cluster that the parameters mean.
        preview: True if nothing is to be applied: missing rights are warned of then, so that a
            user who may only read can preview.

    Returns:
        Everything that stands in the way, and what is to be warned of.
    """
    platform, look = settings.platform, Look(api)
    with _answers(platform, api) as problems:
        problems += [
            *version(platform, api),
            *keda(settings, api),
            *pod_monitors(settings, api),
            *prometheus(settings, look),
            *claims(settings, stack, look),
            *storage(settings, look),
            *network(settings, look),
            *balancer(settings, look),
            *gpus(settings, look),
            *quota(settings, look),
            *admission(settings, stack, look),
            *contents(settings, stack, api),
            *rights(settings, api, preview),
            *look.unseen(platform),
        ]
    return problems


def unowned(
    settings: Settings, api: ClusterApi, declared: Iterable[ObjectName], claim: Claim
) -> list[Problem]:
    """Ask the API server for declared objects that are there, and not the stack's own.

    Args:
        settings: The stack's parameters.
        api: The cluster that the parameters mean.
        declared: Every object that the program declares.
        claim: Grounds on which an object is the stack's.

    Returns:
        Everything that stands in the way.
    """
    with _answers(settings.platform, api) as problems:
        problems += strangers(settings, Kinds(api), declared, claim)
    return problems


@contextlib.contextmanager
def _answers(platform: Platform, api: ClusterApi) -> Generator[list[Problem]]:
    """Collect problems; a cluster that does not answer is the only one then."""
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
    if isinstance(platform, LocalPlatform):
        return "make the local cluster anew: make down, then make up"
    return (
        "correct the kubeconfig, or choose another platform.context (relative paths in it start "
        "in the project's folder, as the provider reads them)"
    )


def _reach_fix(platform: Platform) -> str:
    if isinstance(platform, LocalPlatform):
        return "start the local cluster: make up"
    return "start the cluster, connect to its network, or name another one under platform"


def _login_fix(platform: Platform) -> str:
    if isinstance(platform, LocalPlatform):
        return "make the local cluster anew: make down, then make up"
    return "renew the credentials in the kubeconfig, or choose another platform.context"
