"""User data of EKS nodes: their local disks, pulls of images, GPUs, and the user's own part.

EKS adds what a node needs to join its cluster (EKS user guide, "Customize managed nodes with launch
templates").
"""

import json
from email.message import Message

import yaml

from config.sections.gpu_sharing import GpuSharing, Tables
from config.sections.node_groups import NodeGroup

MAX_BYTES = 16 * 1024
"""Most bytes of user data, before base64 (EC2 user guide, "Run commands when you launch an EC2
instance with user data input")."""

NODE_CONFIG = "application/node.eks.aws"
"""Media type of nodeadm's configuration (awslabs/amazon-eks-ami, `nodeadm/doc/examples.md`)."""

_SCRIPT = "text/x-shellscript"
_BOUNDARY = "kubemind-inference"

_BOUND = ("/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods")
"""Folders on the local disks: images, volumes of pods, logs. nodeadm moves them without a list
(amazon-eks-ami, `setup-local-disks`); for Bottlerocket they are Karpenter's (karpenter-provider-aws
1d92708, `pkg/providers/amifamily/bootstrap/bottlerocket.go`)."""

_SOCI_FOLDER = "/var/lib/soci-snapshotter"
"""Folder of the images on Bottlerocket once SOCI unpacks them (bottlerocket.dev, 1.45.x,
`settings.container-runtime.snapshotter`)."""

_SOCI: Tables = {
    "settings.container-runtime": {"snapshotter": "soci"},
    "settings.container-runtime-plugins.soci-snapshotter": {"pull-mode": "parallel-pull-unpack"},
    "settings.container-runtime-plugins.soci-snapshotter.parallel-pull-unpack": {
        "max-concurrent-downloads-per-image": 20,
        "concurrent-download-chunk-size": "16mb",
        "max-concurrent-unpacks-per-image": 12,
        "discard-unpacked-layers": True,
    },
}
"""Bottlerocket's settings of parallel pulls (bottlerocket.dev, 1.53.x,
`settings.container-runtime-plugins`), with the numbers that nodeadm gives AL2023."""


def user_data(nodes: NodeGroup, sharing: GpuSharing) -> str:
    """Return the user data of a group's nodes; empty if they need none.

    Args:
        nodes: The group.
        sharing: Sharing of its GPUs.
    """
    if nodes.brings_device_plugin:
        return "\n".join(filter(None, (stack_settings(nodes, sharing), nodes.user_data)))
    return _multipart(nodes)


def stack_settings(nodes: NodeGroup, sharing: GpuSharing) -> str:
    """Return the settings that the parameters give Bottlerocket's nodes, in TOML."""
    tables: Tables = {}
    if nodes.local_disks == "raid0":
        folders = [*_BOUND, *([_SOCI_FOLDER] if nodes.fast_image_pull else [])]
        storage = ["apiclient", "ephemeral-storage"]
        # The first in the order of names: later commands of the user find the folders in place.
        tables["settings.bootstrap-commands.000-local-disks"] = {
            "commands": [[*storage, "init"], [*storage, "bind", "--dirs", *folders]],
            "essential": True,
            "mode": "always",
        }
    if nodes.fast_image_pull:
        tables |= _SOCI
    tables |= sharing.bottlerocket or {}
    return "\n".join(_table(name, values) for name, values in tables.items())


def _table(name: str, values: dict[str, object]) -> str:
    # TOML spells strings, numbers, truth values and lists of them as JSON does.
    rows = (f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[{name}]\n" + "".join(rows)


def _multipart(nodes: NodeGroup) -> str:
    """Return the user data of Amazon Linux 2023: nodeadm merges configurations in their order."""
    spec: dict[str, object] = {}
    if nodes.local_disks == "raid0":
        spec["instance"] = {"localStorage": {"strategy": "RAID0"}}
    if nodes.fast_image_pull:
        spec["featureGates"] = {"FastImagePull": True}
    parts: list[tuple[str, str]] = []
    if spec:
        config = {"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec}
        parts.append((NODE_CONFIG, yaml.safe_dump(config, sort_keys=False)))
    if nodes.user_data:
        media_type = _SCRIPT if nodes.user_data.startswith("#!") else NODE_CONFIG
        parts.append((media_type, nodes.user_data))
    if not parts:
        return ""
    whole = Message()
    whole["MIME-Version"] = "1.0"
    whole["Content-Type"] = f'multipart/mixed; boundary="{_BOUNDARY}"'
    for media_type, text in parts:
        part = Message()
        part["Content-Type"] = media_type
        part.set_payload(text)
        whole.attach(part)
    return whole.as_string()
