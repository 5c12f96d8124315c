"""The parts that exist under given settings, each declared once.

Namespaces, NetworkPolicies, permissions, the checks of names, images and nodes, and the local
cluster's images read it. To add a part that all inference stacks share, add its function to
`SHARED`, and its component to `__main__`.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, product

from config.flows import Flow, gateway_flows, prometheus_flows, triton_flows
from config.part import ApiResource, Part
from config.remembered import remembered
from config.sections.gateway import STORAGE_MIB
from config.sections.inference import InferenceStack
from config.sections.keda import HelmKeda, Keda
from config.sections.prometheus import ManagedPrometheus
from config.sections.triton import ConfigMapRepository, S3Repository
from config.settings import Settings
from config.sizing.packing import Pods, Room

DISCOVERY_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
"""Rules of Prometheus' Role in each namespace with pods that it scrapes: to discover pods."""

_ACCOUNT = ("", "serviceaccounts")
_CERTIFICATE = ("cert-manager.io", "certificates")
_CONFIG_MAP = ("", "configmaps")
_DAEMON_SET = ("apps", "daemonsets")
_DEPLOYMENT = ("apps", "deployments")
_DISRUPTION_BUDGET = ("policy", "poddisruptionbudgets")
_ENDPOINTS = ("", "endpoints")
_NETWORK_POLICY = ("networking.k8s.io", "networkpolicies")
_PRIORITY_CLASS = ("scheduling.k8s.io", "priorityclasses")
_POD_MONITOR = ("monitoring.coreos.com", "podmonitors")
_PROMETHEUS_RULE = ("monitoring.coreos.com", "prometheusrules")
_RBAC = "rbac.authorization.k8s.io"
_SCALED_OBJECT = ("keda.sh", "scaledobjects")
_SERVICE = ("", "services")
_TRIGGER_AUTHENTICATION = ("keda.sh", "clustertriggerauthentications")
_VOLUME_CLAIM = ("", "persistentvolumeclaims")


@remembered
def parts(settings: Settings) -> tuple[Part, ...]:
    """Return the parts: the shared ones, then those of each inference stack."""
    stacks = enumerate(settings.inference)
    own = (_inference(settings, f"inference[{index}]", stack) for index, stack in stacks)
    return (*shared_parts(settings), *chain.from_iterable(own))


def shared_parts(settings: Settings) -> Iterator[Part]:
    """Yield the parts that all inference stacks share."""
    for declared in SHARED:
        yield from declared(settings)


def shared_flows(settings: Settings) -> list[Flow]:
    """Return the connections of the shared parts, some of which end at a stack's pods."""
    return [flow for part in shared_parts(settings) for flow in part.flows]


def images(settings: Settings) -> dict[str, str]:
    """Return every image that the stack runs, by its key."""
    return {key: image for part in parts(settings) for key, image in part.images.items()}


def made_namespaces(settings: Settings) -> dict[str, str]:
    """Return the namespaces that the stack creates, by the key of each."""
    return {part.namespace_key: part.namespace for part in parts(settings) if part.pod_security}


def managed_resources(settings: Settings) -> list[ApiResource]:
    """Return the API objects that the stack creates, without those of a chart."""
    found = [ApiResource("", "namespaces")]
    found += [
        ApiResource(version.partition("/")[0], resource)
        for version, resource in settings.gpu_nodes.needed_apis
    ]
    for part in parts(settings):
        if part.default_deny:
            found.append(ApiResource(*_NETWORK_POLICY, part.namespace))
        found += part.resources
    return list(dict.fromkeys(found))


def discovered_namespaces(stacks: Iterable[InferenceStack], keda: Keda) -> list[str]:
    """Return the namespaces in which a managed Prometheus discovers pods."""
    found = {stack.namespace for stack in stacks}
    return sorted(found | ({keda.namespace} if keda.metrics_port else set()))


def _device_plugin(settings: Settings) -> Iterator[Part]:
    plugin = settings.device_plugin
    if settings.device_plugin_enabled:
        config = (_CONFIG_MAP,) if settings.gpu_sharing.plugin_configuration else ()
        yield Part(
            key="devicePlugin",
            title="the device plugin",
            namespace=plugin.namespace,
            namespace_key="devicePlugin.namespace",
            # It mounts a folder of the host; the two stricter levels forbid that.
            pod_security="privileged",
            images={"devicePlugin.image": plugin.image},
            pull_secrets={"devicePlugin.imagePullSecrets": plugin.image_pull_secrets},
            resources=_in(plugin.namespace, _ACCOUNT, _DAEMON_SET, *config),
        )


def _prometheus(settings: Settings) -> Iterator[Part]:
    prometheus = settings.prometheus
    scraped = sorted({stack.namespace for stack in settings.inference})
    # By kind: a section imports no parts.
    if not isinstance(prometheus, ManagedPrometheus):
        monitors = (_POD_MONITOR,) if prometheus.pod_monitors else ()
        rules = (_PROMETHEUS_RULE,) if prometheus.has_alert_rules else ()
        yield Part(
            key="prometheus",
            title="Prometheus",
            namespace=prometheus.namespace,
            namespace_key="prometheus.namespace",
            pod_security=None,
            resources=tuple(one for ns in scraped for one in _in(ns, *monitors, *rules)),
        )
        return
    discovered = discovered_namespaces(settings.inference, settings.keda)
    own = (_CONFIG_MAP, _ACCOUNT, _SERVICE, _DEPLOYMENT, _NETWORK_POLICY)
    volume = (_VOLUME_CLAIM,) if prometheus.persistent_volume else ()
    roles = ((_RBAC, "roles"), (_RBAC, "rolebindings"))
    pod = Room(prometheus.cpu, prometheus.memory_mib, prometheus.storage_mib)
    yield Part(
        key="prometheus",
        title="Prometheus",
        namespace=prometheus.namespace,
        namespace_key="prometheus.namespace",
        images={"prometheus.image": prometheus.image},
        pull_secrets={"prometheus.pods.imagePullSecrets": prometheus.pods.image_pull_secrets},
        pods=prometheus.pods,
        cpu_pods=Pods(1, pod),
        resources=(
            *_in(prometheus.namespace, *own, *volume),
            *(one for namespace in discovered for one in _in(namespace, *roles)),
        ),
        granted=tuple(
            (ApiResource(group, resource, namespace), tuple(rule["verbs"]))
            for namespace in discovered
            for rule in DISCOVERY_RULES
            for group, resource in product(rule["apiGroups"], rule["resources"])
        ),
        flows=tuple(
            prometheus_flows(
                prometheus,
                settings.inference,
                settings.keda,
                settings.platform.dns_addresses,
            )
        ),
    )


def _keda(settings: Settings) -> Iterator[Part]:
    keda = settings.keda
    # By kind here and below: a section imports no parts.
    secrets = keda.image_pull_secrets if isinstance(keda, HelmKeda) else ()
    yield Part(
        key="keda",
        title="KEDA",
        namespace=keda.namespace,
        namespace_key="keda.namespace",
        pod_security="restricted" if isinstance(keda, HelmKeda) else None,
        pull_secrets={"keda.imagePullSecrets": secrets},
        # Only its chart knows the connections of KEDA's parts.
        closed=False,
    )


SHARED: tuple[Callable[[Settings], Iterator[Part]], ...] = (_device_plugin, _prometheus, _keda)
"""Functions that declare the parts which all inference stacks share."""


def _inference(settings: Settings, at: str, stack: InferenceStack) -> Iterator[Part]:
    namespace, namespace_key = stack.namespace, f"{at}.namespace"
    prometheus, dns = settings.prometheus, settings.platform.dns_addresses
    workload = (_ACCOUNT, _SERVICE, _DEPLOYMENT, _NETWORK_POLICY, _DISRUPTION_BUDGET)
    gateway, triton = stack.gateway, stack.triton
    repository = triton.model_repository
    # By kind here and below: a section imports no parts.
    models = (_CONFIG_MAP,) if isinstance(repository, ConfigMapRepository) else ()
    triton_images = {f"{at}.triton.image": triton.image}
    if isinstance(repository, S3Repository):
        triton_images[f"{at}.triton.modelRepository.syncImage"] = repository.sync_image
    if spares := triton.warm_spare.replicas:
        triton_images[f"{at}.triton.warmSpare.image"] = triton.warm_spare.image
    pod = Room(triton.cpu, triton.memory_mib, triton.storage_mib)
    yield Part(
        key=f"{at}.triton",
        title="a replica" if triton.gpus else "a replica without GPUs",
        namespace=namespace,
        namespace_key=namespace_key,
        images=triton_images,
        pull_secrets={f"{at}.triton.pods.imagePullSecrets": triton.pods.image_pull_secrets},
        pods=triton.pods,
        on_gpu_nodes=triton.gpus > 0,
        cpu_pods=None if triton.gpus else Pods(stack.placed_replicas, pod),
        resources=(
            *_in(namespace, *models, *workload),
            *((ApiResource(*_PRIORITY_CLASS),) if spares else ()),
        ),
        # Pulumi waits for Triton's Service in this namespace.
        watched=_in(namespace, _ENDPOINTS),
        flows=tuple(triton_flows(stack, prometheus, dns)),
    )
    pod = Room(gateway.cpu, gateway.memory_mib, STORAGE_MIB)
    certificate = (_CERTIFICATE,) if gateway.tls.issuer else ()
    yield Part(
        key=f"{at}.gateway",
        title="a gateway",
        namespace=namespace,
        namespace_key=namespace_key,
        namespace_labels=gateway.exposure.namespace_labels,
        images={f"{at}.gateway.image": gateway.image},
        pull_secrets={f"{at}.gateway.pods.imagePullSecrets": gateway.pods.image_pull_secrets},
        pods=gateway.pods,
        cpu_pods=Pods(gateway.replicas + 1, pod),
        resources=_in(namespace, _CONFIG_MAP, *workload, *certificate),
        flows=tuple(gateway_flows(stack, prometheus, dns)),
    )
    authentication = prometheus.authentication.authentication_spec
    access = (ApiResource(*_TRIGGER_AUTHENTICATION),) if authentication else ()
    yield Part(
        key=f"{at}.autoscaler",
        title="the autoscaler",
        namespace=namespace,
        namespace_key=namespace_key,
        resources=(*_in(namespace, _SCALED_OBJECT), *access),
    )


def _in(namespace: str, *kinds: tuple[str, str]) -> tuple[ApiResource, ...]:
    return tuple(ApiResource(group, resource, namespace) for group, resource in kinds)
