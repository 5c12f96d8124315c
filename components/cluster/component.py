"""The stack's cluster: its provider, and the platform's other facts about it."""

import atexit
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pulumi
import pulumi_kubernetes as kubernetes

from components.cluster.api import ClusterApi
from components.cluster.kubeconfig import KubeconfigError, as_text, read
from components.cluster.preflight import preflight, unowned
from components.rollout.node_groups import node_groups
from components.rollout.outage import outages, served
from components.state.drift import DriftWatch
from components.state.engine import is_applied
from components.state.ownership import Claim, Ownership
from components.triton.eks_cluster import EksCluster
from config.load import Refused, require
from config.problem import Problem
from config.sections.platform import (
    LOCAL_IDENTIFIER,
    PLATFORM_OUTPUTS,
    LocalPlatform,
    ReferencePlatform,
)
from config.sections.triton import S3Repository
from config.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that passed preflight; `provider` is the only way in which objects reach it."""

    provider: kubernetes.Provider
    ownership: Ownership
    """The stack's identity, and the marks on all of its objects."""
    api: pulumi.Output[ClusterApi | None]
    """Client of its API server; None if no engine runs (tests, `make render`)."""
    dns_addresses: Sequence[str] = ()
    """Address ranges of a DNS server outside pods."""
    eks: EksCluster = field(default_factory=EksCluster)
    """EKS cluster, as far as the platform states it."""
    subnet_ids: pulumi.Input[Sequence[str]] = ()
    """Subnets of the GPU nodes."""

    def open(self) -> None:
        """Apply the declared objects, unless another stack owns one of them.

        Call it after the last declaration: until then every object waits.
        """
        self.ownership.complete()

    def __post_init__(self) -> None:
        """Let everything else wait for the provider."""
        self.ownership.gate(self.provider)


def connect(settings: Settings) -> Cluster:
    """Check the cluster, make its provider, and watch for drift; see `_connect`.

    Raises:
        Refused: The stack cannot be applied there; the message names every obstacle.
    """
    # First: its start lets the engine run, which must not see a part of the declarations.
    watch = DriftWatch() if is_applied() else None
    cluster = _connect(settings)
    if watch:
        watch.api = cluster.api
    return cluster


def _connect(settings: Settings) -> Cluster:
    """Check the cluster and make its provider, for which everything else waits.

    Preflight checks a known kubeconfig before the program declares anything, and one that another
    stack exports when it is read. The provider waits for it, and so must everything that does not
    use the provider. The search for the program's objects follows their declaration
    (`Cluster.open`).

    Raises:
        Refused: The stack cannot be applied there; the message names every obstacle.
    """
    platform = settings.platform
    # By kind here and below: sections know neither providers nor outputs of other stacks.
    if isinstance(platform, ReferencePlatform):
        return _referenced(platform, settings)
    api = _check(settings)
    ownership = Ownership(applied=is_applied())
    file = _unowned(settings, ownership, api, platform.path)
    if isinstance(platform, LocalPlatform):
        return Cluster(
            ownership=ownership,
            provider=_provider(file, platform.context, LOCAL_IDENTIFIER),
            api=pulumi.Output.from_input(api),
        )
    return Cluster(
        ownership=ownership,
        provider=_provider(
            file,
            # Kept in the state, so that `pulumi destroy` never follows the file's current context.
            api.target.context if api else platform.context,
            api.target.server if api else None,
        ),
        api=pulumi.Output.from_input(api),
        dns_addresses=platform.dns_addresses,
        eks=EksCluster(
            name=platform.cluster_name or "",
            oidc_provider_arn=platform.oidc_provider_arn,
            oidc_provider_url=platform.oidc_provider_url,
        ),
        subnet_ids=platform.subnet_ids,
    )


def needed_outputs(settings: Settings) -> list[str]:
    """Return the outputs of `PLATFORM_OUTPUTS` that these parameters need."""
    repositories = [stack.triton.model_repository for stack in settings.inference]
    # By kind: the platform stack's outputs depend on several sections.
    in_s3 = [repository for repository in repositories if isinstance(repository, S3Repository)]
    for_nodes = settings.gpu_nodes.needed_outputs
    # An existing role already trusts the provider.
    trust = any(r.identity == "irsa" and not r.role_arn for r in in_s3)
    needed = {
        "kubeconfig": True,
        "clusterName": any(r.identity == "podIdentity" for r in in_s3),
        "oidcProviderArn": trust,
        "oidcProviderUrl": trust,
    }
    return [name for name in PLATFORM_OUTPUTS if needed.get(name) or name in for_nodes]


def _referenced(platform: ReferencePlatform, settings: Settings) -> Cluster:
    ownership = Ownership(applied=is_applied())
    reference = pulumi.StackReference("platform", stack_name=platform.stack)

    def check(known: Sequence[Any]) -> ClusterApi | None:
        contents, outputs = known
        _require(platform, needed_outputs(settings), outputs)
        return _check(settings, contents)

    # `outputs` is secret as a whole if one output is, so each output is read by itself.
    contents = reference.get_output("kubeconfig")
    # The credentials stay inside the object.
    api = pulumi.Output.unsecret(pulumi.Output.all(contents, reference.outputs).apply(check))
    text = pulumi.Output.all(api, contents).apply(lambda both: as_text(both[1]))
    kubeconfig = _unowned(settings, ownership, api, text)
    server = cast("pulumi.Output[str]", api.apply(lambda api: api.target.server if api else None))
    _log_if_unknown(contents)

    def checked(name: str) -> pulumi.Output[Any]:
        # Through the check, so that only one message names the missing outputs.
        return pulumi.Output.all(api, reference.get_output(name)).apply(lambda both: both[1])

    return Cluster(
        ownership=ownership,
        provider=_provider(pulumi.Output.secret(kubeconfig), platform.context, server),
        api=api,
        dns_addresses=platform.dns_addresses,
        eks=EksCluster(
            name=checked("clusterName"),
            oidc_provider_arn=checked("oidcProviderArn"),
            oidc_provider_url=checked("oidcProviderUrl"),
        ),
        subnet_ids=checked("subnetIds"),
    )


def _require(platform: ReferencePlatform, names: Sequence[str], outputs: dict[str, Any]) -> None:
    missing = [f"{name} ({PLATFORM_OUTPUTS[name]})" for name in names if not outputs.get(name)]
    if missing:
        problem = Problem(
            check="platform",
            severity="refuse",
            keys={"platform.stack": platform.stack},
            reason=f"that stack does not export {', '.join(missing)}",
            fix="export the missing outputs, and run `pulumi up` there first",
        )
        raise Refused(f"stack {pulumi.get_stack()}", [problem])


def _check(settings: Settings, contents: Any = None) -> ClusterApi | None:
    if not is_applied():
        pulumi.log.info("preflight skipped: this run applies nothing, so it reads no cluster")
        return None
    stack = pulumi.get_stack()
    try:
        api = ClusterApi(read(settings.platform, contents))
    except KubeconfigError as error:
        raise Refused(f"stack {stack}", [error.problem]) from None
    # Requests go on until the program ends, such as those of rollouts.
    atexit.register(api.close)
    problems = preflight(settings, stack, api, preview=pulumi.runtime.is_dry_run())
    require(f"stack {stack}", problems)
    for problem in problems:
        pulumi.log.warn(str(problem))
    return api


def _unowned(
    settings: Settings,
    ownership: Ownership,
    api: pulumi.Input[ClusterApi | None],
    kubeconfig: pulumi.Input[str],
) -> pulumi.Output[str]:
    """Withhold the kubeconfig until the cluster has no object that this run must not touch.

    Such an object is a declared one that another stack owns and, in tier prod, a live inference
    stack that the program no longer declares.
    """
    if not is_applied():
        return pulumi.Output.from_input(kubeconfig)

    def require_ours(known: Sequence[Any]) -> str:
        claim, client, file = known
        claim = cast("Claim", claim)
        before = served((one.kind, one.namespace, one.name) for one in claim.held)
        found = [
            *outages(settings, before, preview=pulumi.runtime.is_dry_run()),
            *node_groups(settings, client, claim.node_groups, preview=pulumi.runtime.is_dry_run()),
            *unowned(settings, client, ownership.declared, claim),
        ]
        require(f"stack {pulumi.get_stack()}", found)
        for problem in found:
            pulumi.log.warn(str(problem))
        return file

    def check(known: Sequence[Any]) -> pulumi.Output[str]:
        # Only now: the claim reads the state, which is not needed if preflight refuses.
        return pulumi.Output.all(ownership.claim(), *known).apply(require_ours)

    return pulumi.Output.all(api, kubeconfig).apply(check)


def _log_if_unknown(contents: pulumi.Output[Any]) -> None:
    async def log() -> None:
        if not await contents.is_known():
            pulumi.log.info("preflight skipped: the platform's kubeconfig is not known yet")

    # An Output, so that the program waits for it.
    pulumi.Output.from_input(log())


def _provider(
    kubeconfig: pulumi.Input[str],
    context: str | None,
    server: pulumi.Input[str] | None,
) -> kubernetes.Provider:
    return kubernetes.Provider(
        "cluster",
        kubeconfig=kubeconfig,
        context=context,
        # Another path or other credentials are not another cluster: without this identifier the
        # provider would replace everything.
        cluster_identifier=server,
        # A hash of the configuration rolls the pods. A replaced ConfigMap would be missing for a
        # moment, in which a pod that starts would not find it.
        enable_config_map_mutable=True,
    )
