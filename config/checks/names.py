"""Names, namespaces and ports: unique, short enough, and not those of somebody else."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from config.checks.places import stacks
from config.checks.problem import Finding, refuse
from config.inference import InferenceStack
from config.keda import HelmKeda
from config.prometheus import ManagedPrometheus
from config.settings import Settings

MAX_SCALER_NAME = 54
"""KEDA names the HPA `keda-hpa-<ScaledObject>`, and 63 characters are the most it may have."""

MAX_NAME = 63
"""A DNS label's length, which Services have, and which label values of pods have."""

_CLUSTERS_OWN = ("default", "kube-node-lease", "kube-public", "kube-system")


def _limits(stack: InferenceStack) -> dict[str, int]:
    return {
        stack.scaler_name: MAX_SCALER_NAME,
        stack.deployment_name: MAX_NAME,
        stack.gateway_name: MAX_NAME,
        stack.service_name: MAX_NAME,
    }


@refuse
def name_length(settings: Settings) -> Iterator[Finding]:
    """Prefixed names stay within KEDA's and Kubernetes' limits."""
    for at in stacks(settings):
        key = at.key("namePrefix")
        limits = _limits(at.stack)
        long = [name for name, most in limits.items() if len(name) > most]
        if long:
            room = min(most - len(name) for name, most in limits.items())
            allowed = len(at.stack.name_prefix) + room
            yield Finding(
                keys={key: at.stack.name_prefix},
                reason="too long: "
                + ", ".join(f"{name} ({len(name)}, at most {limits[name]})" for name in long),
                fix=f"a prefix of at most {allowed} characters",
                change={key: at.stack.name_prefix[: allowed - 1].rstrip("-") + "-"},
            )


@refuse
def name_prefixes(settings: Settings) -> Iterator[Finding]:
    """Every stack has a prefix of its own: the scaler finds its stack's calls by it."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at in stacks(settings):
        places[at.stack.name_prefix].append(at.index)
    for prefix, indices in places.items():
        if len(indices) > 1:
            yield Finding(
                keys={f"inference[{index}].namePrefix": prefix for index in indices},
                reason=(
                    "stacks of one prefix have the same metric label, so that each scaler would "
                    "count the calls of all of them (in one namespace their names clash, too)"
                ),
                fix="give each stack a namePrefix of its own, such as `b-`",
            )


def made_namespaces(settings: Settings) -> Mapping[str, str]:
    """Return the namespaces that the stack makes, by the key that names each."""
    made = {at.key("namespace"): at.stack.namespace for at in stacks(settings)}
    if settings.device_plugin_enabled:
        made["devicePlugin.namespace"] = settings.device_plugin.namespace
    if isinstance(settings.prometheus, ManagedPrometheus):
        made["prometheus.namespace"] = settings.prometheus.namespace
    if isinstance(settings.keda, HelmKeda):
        made["keda.namespace"] = settings.keda.namespace
    return made


@refuse
def namespaces(settings: Settings) -> Iterator[Finding]:
    """Parts of different privileges have namespaces of their own."""
    parts = {
        "devicePlugin.namespace": settings.device_plugin.namespace,
        "prometheus.namespace": settings.prometheus.namespace,
        "keda.namespace": settings.keda.namespace,
        **{at.key("namespace"): at.stack.namespace for at in stacks(settings)},
    }
    if not settings.device_plugin_enabled:
        del parts["devicePlugin.namespace"]
    ours = made_namespaces(settings)
    users: defaultdict[str, list[str]] = defaultdict(list)
    for key, namespace in parts.items():
        users[namespace].append(key)
    for namespace, keys in users.items():
        several = len({key.partition("[")[0] for key in keys}) > 1
        if several and any(key in ours for key in keys):
            yield Finding(
                keys=dict.fromkeys(keys, namespace),
                reason=(
                    f"{namespace} would be shared: pod security and network policies are set per "
                    "namespace, and these parts need different ones"
                ),
                fix="give each a namespace of its own",
            )


@refuse
def own_namespaces(settings: Settings) -> Iterator[Finding]:
    """The stack makes its namespaces, and never takes over the cluster's own."""
    for key, namespace in made_namespaces(settings).items():
        if namespace in _CLUSTERS_OWN:
            yield Finding(
                keys={key: namespace},
                reason=(
                    f"the stack would set its own pod security on {namespace}, which is the "
                    "cluster's, and remove it on destroy"
                ),
                fix="name another namespace",
            )


@refuse
def ports(settings: Settings) -> Iterator[Finding]:
    """Ports of one pod differ, and those of one Service."""
    for at in stacks(settings):
        gateway, triton = at.stack.gateway, at.stack.triton
        metrics = {at.key("triton.metricsPort"): triton.metrics_port}
        pods = (
            {
                at.key("gateway.port"): gateway.port,
                at.key("gateway.opsPort"): gateway.ops_port,
                at.key("gateway.adminPort"): gateway.admin_port,
            },
            {
                at.key("triton.grpcPort"): triton.grpc_port,
                at.key("triton.httpPort"): triton.http_port,
                **metrics,
            },
        )
        service = {at.key("triton.servicePort"): triton.service_port, **metrics}
        for owner, taken in (*(("pod", pod) for pod in pods), ("Service", service)):
            if len(set(taken.values())) < len(taken):
                yield Finding(
                    keys=taken,
                    reason=f"the ports of one {owner} must differ, or it cannot be made",
                    fix="give each a port of its own",
                )
