"""Checks that names, namespaces and ports are unique, allowed, and not used by others."""

from collections import defaultdict
from collections.abc import Iterator

from config.checks.stack_paths import StackAt, stacks
from config.inventory import made_namespaces, parts
from config.problem import Finding, refuse
from config.sections.inference import InferenceStack
from config.sections.prometheus import ManagedPrometheus
from config.settings import Settings

MAX_SCALER_NAME = 54
"""Longest name of a ScaledObject: KEDA names the HPA `keda-hpa-<ScaledObject>`, and 63 characters
are allowed."""

MAX_NAME = 63
"""Longest DNS label, and so the longest name of a Service and value of a pod's label."""

FIRST_UNPRIVILEGED_PORT = 1024
"""First port that a process without CAP_NET_BIND_SERVICE may bind (ip(7), and the default of
`net.ipv4.ip_unprivileged_port_start`; some container runtimes lower it, but none guarantees it)."""

_CLUSTERS_OWN = ("default", "kube-node-lease", "kube-public", "kube-system")


def _limits(stack: InferenceStack) -> dict[str, int]:
    return {
        stack.scaler_name: MAX_SCALER_NAME,
        stack.deployment_name: MAX_NAME,
        stack.gateway_name: MAX_NAME,
        stack.service_name: MAX_NAME,
        stack.discovery_service_name: MAX_NAME,
        stack.spare_name: MAX_NAME,
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
                fix=f"choose a prefix of at most {allowed} characters",
                change={key: at.stack.name_prefix[: allowed - 1].rstrip("-") + "-"},
            )


@refuse
def name_prefixes(settings: Settings) -> Iterator[Finding]:
    """Every stack has a prefix of its own, in Pulumi's state and in the metrics."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at in stacks(settings):
        places[at.stack.name_prefix].append(at.index)
    for prefix, indices in places.items():
        if len(indices) > 1:
            yield Finding(
                keys={f"inference[{index}].namePrefix": prefix for index in indices},
                reason=(
                    "stacks with the same prefix have the same names in Pulumi's state (in one "
                    "namespace their objects and their metrics clash, too)"
                ),
                fix="give each stack a namePrefix of its own, such as `b-`",
            )


@refuse
def namespaces(settings: Settings) -> Iterator[Finding]:
    """Parts with different privileges have namespaces of their own."""
    ours = made_namespaces(settings)
    users: defaultdict[str, list[str]] = defaultdict(list)
    for key, namespace in {part.namespace_key: part.namespace for part in parts(settings)}.items():
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
def host_names(settings: Settings) -> Iterator[Finding]:
    """Each gateway has a DNS name of its own."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for at in stacks(settings):
        exposure = at.stack.gateway.exposure
        if exposure.host_name:
            users[exposure.host_name].append(at.key("gateway.exposure.hostName"))
    for name, keys in users.items():
        if len(keys) > 1:
            yield Finding(
                keys=dict.fromkeys(keys, name),
                reason=(
                    f"{name} would lead to several load balancers: a client would call another "
                    "stack's models, as DNS decides"
                ),
                fix="give each stack a name of its own",
            )


@refuse
def certificate_name(settings: Settings) -> Iterator[Finding]:
    """Callers can verify the certificate: the balancer has the name that it is for."""
    for at in stacks(settings):
        exposure = at.stack.gateway.exposure
        if exposure.certificate_arn and not exposure.host_name:
            key = at.key("gateway.exposure.hostName")
            yield Finding(
                keys={
                    at.key("gateway.exposure.certificateArn"): exposure.certificate_arn,
                    key: None,
                },
                reason=(
                    "AWS generates the name of a load balancer, and no certificate has it: every "
                    "client would refuse the connection"
                ),
                fix=f"set {key} to the certificate's name",
            )


@refuse
def own_namespaces(settings: Settings) -> Iterator[Finding]:
    """The stack creates its namespaces, and never takes over a namespace of the cluster."""
    for key, namespace in made_namespaces(settings).items():
        if namespace in _CLUSTERS_OWN:
            yield Finding(
                keys={key: namespace},
                reason=(
                    f"{namespace} belongs to the cluster: the stack would set its own pod security "
                    "on it, and delete it on destroy"
                ),
                fix="name another namespace",
            )


@refuse
def privileged_ports(settings: Settings) -> Iterator[Finding]:
    """Containers do not run as root, so they bind no port below 1024."""
    pods = [_prometheus_ports(settings)]
    for at in stacks(settings):
        pods += [_gateway_ports(at), _triton_ports(at)]
    for pod in pods:
        for key, port in pod.items():
            if port < FIRST_UNPRIVILEGED_PORT:
                free = (p for p in range(8000 + port, 65536) if p not in pod.values())
                yield Finding(
                    keys={key: port},
                    reason=(
                        f"the container does not run as root, so it may not bind a port below "
                        f"{FIRST_UNPRIVILEGED_PORT}: it would crash at every start"
                    ),
                    change={key: next(free)},
                )


def _gateway_ports(at: StackAt) -> dict[str, int]:
    gateway = at.stack.gateway
    return {
        at.key("gateway.port"): gateway.port,
        at.key("gateway.opsPort"): gateway.ops_port,
        at.key("gateway.adminPort"): gateway.admin_port,
    }


def _triton_ports(at: StackAt) -> dict[str, int]:
    triton = at.stack.triton
    return {
        at.key("triton.grpcPort"): triton.grpc_port,
        at.key("triton.httpPort"): triton.http_port,
        at.key("triton.metricsPort"): triton.metrics_port,
        at.key("triton.watchdog.port"): triton.watchdog.port,
    }


def _prometheus_ports(settings: Settings) -> dict[str, int]:
    prometheus = settings.prometheus
    # By kind: the stack has no say in the port of a Prometheus that exists.
    managed = isinstance(prometheus, ManagedPrometheus)
    return {"prometheus.port": prometheus.port} if managed else {}


@refuse
def ports(settings: Settings) -> Iterator[Finding]:
    """The ports of one pod differ, and so do those of one Service."""
    for at in stacks(settings):
        triton = at.stack.triton
        pods = (_gateway_ports(at), _triton_ports(at))
        service = {
            at.key("triton.servicePort"): triton.service_port,
            at.key("triton.metricsPort"): triton.metrics_port,
        }
        for owner, taken in (*(("pod", pod) for pod in pods), ("Service", service)):
            if len(set(taken.values())) < len(taken):
                yield Finding(
                    keys=taken,
                    reason=f"the ports of one {owner} must differ, or it cannot work",
                    fix="give each a port of its own",
                )
