"""The NVIDIA device plugin, which advertises the GPUs to kubelet."""

from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from components.common.labels import labels
from components.gpus import device_plugin_workload as device_plugin
from config.sections.device_plugin import DevicePlugin as DevicePluginConfig
from config.sections.gpu_nodes import GpuNodes
from config.sections.gpu_sharing import GpuSharing, NotShared
from config.selectors import DEVICE_PLUGIN


@dataclass(frozen=True, kw_only=True)
class DevicePluginArgs:
    """Parameters of the plugin and of its nodes."""

    config: DevicePluginConfig
    nodes: GpuNodes
    sharing: GpuSharing = field(default_factory=NotShared)


class DevicePlugin(pulumi.ComponentResource):
    """A DaemonSet on the GPU nodes, in a namespace of its own, and its configuration.

    Not for nodes whose AMI includes a device plugin (Bottlerocket): two plugins would both
    advertise the same GPUs. The AMI provides the driver and NVIDIA's container runtime.
    """

    daemon_set_name: pulumi.Output[str]
    """Name of the DaemonSet."""

    def __init__(
        self, name: str, args: DevicePluginArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kubemind:index:DevicePlugin", name, None, opts)
        config = args.config
        child = pulumi.ResourceOptions(parent=self)
        metadata = kubernetes.meta.v1.ObjectMetaArgs(
            name=DEVICE_PLUGIN,
            namespace=config.namespace,
            labels=labels(DEVICE_PLUGIN, "device-plugin", DEVICE_PLUGIN),
        )
        needs: list[pulumi.Resource] = [
            kubernetes.core.v1.ServiceAccount(
                f"{name}-account",
                metadata=metadata,
                automount_service_account_token=False,
                opts=child,
            )
        ]
        if sharing := args.sharing.plugin_configuration:
            needs.append(
                kubernetes.core.v1.ConfigMap(
                    f"{name}-config",
                    metadata=metadata,
                    data={device_plugin.CONFIG_FILE: yaml.safe_dump(sharing, sort_keys=False)},
                    opts=child,
                )
            )
        daemon_set = kubernetes.apps.v1.DaemonSet(
            f"{name}-daemon-set",
            metadata=metadata,
            spec=device_plugin.daemon_set_spec(config, args.nodes, args.sharing),
            opts=pulumi.ResourceOptions(parent=self, depends_on=needs),
        )
        self.daemon_set_name = daemon_set.metadata.name
        self.register_outputs({"daemonSetName": self.daemon_set_name})
