"""Checks that one device plugin advertises the GPUs, and shares them as replicas need."""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.sections.gpu_sharing import Mig, Mps, NotShared
from config.sections.platform import LocalPlatform
from config.settings import Settings
from config.sizing.instances import MIG_COMPUTE_SLICES, Gpu, gpu_of


@refuse
def device_plugin(settings: Settings) -> Iterator[Finding]:
    """The stack runs no device plugin beside that of Bottlerocket's NVIDIA AMI."""
    bringing = [pool for pool in settings.gpu_nodes.pools if pool.nodes.brings_device_plugin]
    if bringing and settings.device_plugin.enabled:
        yield Finding(
            keys={
                **{pool.key("amiType"): pool.nodes.ami_type for pool in bringing},
                "devicePlugin.enabled": True,
            },
            reason="the AMI runs the device plugin itself; two would register the same GPUs",
            change={"devicePlugin.enabled": None},
        )


@refuse
def gpu_shares(settings: Settings) -> Iterator[Finding]:
    """A replica uses at most one share of a GPU, and this stack's device plugin shares the GPUs."""
    sharing = settings.gpu_sharing
    # By kind: the messages are about shares.
    if isinstance(sharing, NotShared):
        return
    shared: dict[str, object] = {"gpuSharing.kind": sharing.kind}
    unshared = {"gpuSharing": {"kind": "none"}}
    for at in stacks(settings):
        gpus = at.stack.triton.gpus
        if gpus > 1:
            yield Finding(
                keys={**shared, at.key("triton.gpus"): gpus},
                reason=(
                    f"{gpus} shares may belong to one GPU: a replica that needs {gpus} GPUs "
                    "does not get them"
                ),
                change=unshared,
            )
    bringing = [pool for pool in settings.gpu_nodes.pools if pool.nodes.brings_device_plugin]
    unset = [
        pool for pool in bringing if sharing.bottlerocket is None or not pool.nodes.takes_user_data
    ]
    # Another check refuses a device plugin of the stack beside Bottlerocket's.
    if unset and not settings.device_plugin.enabled:
        yield Finding(
            keys={**shared, **{pool.key("amiType"): pool.nodes.ami_type for pool in unset}},
            reason=(
                "Bottlerocket runs its own device plugin, which shares GPUs only by settings of "
                "the node (settings.kubelet-device-plugins.nvidia), and this stack writes none "
                f"{'for these nodes' if sharing.bottlerocket else f'for {sharing.kind}'}"
            ),
            change={
                pool.key("amiType"): "AL2023_x86_64_NVIDIA"
                if pool.nodes.ami_architecture == "amd64"
                else "AL2023_ARM_64_NVIDIA"
                for pool in unset
            },
        )
    elif not bringing and not settings.device_plugin_enabled:
        yield Finding(
            keys={**shared, "devicePlugin.enabled": settings.device_plugin.enabled},
            reason="this stack runs no device plugin, so nothing shares the GPUs",
            change=unshared,
        )


_MPS_CLIENTS_BEFORE_TURING = 16
_TURING = 7.5
"""Clients of a GPU before a compute capability, by which the plugin refuses more
(`cmd/mps-control-daemon/mps/device.go`; CUDA itself allows 48 since 7.0)."""


@refuse
def mps(settings: Settings) -> Iterator[Finding]:
    """The Multi-Process Service runs on the GPUs, with the stated clients."""
    sharing = settings.gpu_sharing
    # By kind: the messages are about this one.
    if not isinstance(sharing, Mps):
        return
    keys: dict[str, object] = {"gpuSharing.kind": "mps", "gpuSharing.clients": sharing.clients}
    # By kind: only the local cluster simulates its GPUs.
    if isinstance(settings.platform, LocalPlatform):
        yield Finding(
            keys={"platform.kind": settings.platform.kind, **keys},
            reason="the local cluster simulates GPUs, and has no driver that serves MPS",
            change={"gpuSharing": {"kind": "timeSlicing", "slices": sharing.clients}},
        )
        return
    for pool in settings.gpu_nodes.pools:
        types = pool.nodes.instance_types
        older = [
            gpu.name
            for name in types
            if (gpu := gpu_of(name)) and float(gpu.compute_capability) < _TURING
        ]
        if older and sharing.clients > _MPS_CLIENTS_BEFORE_TURING:
            yield Finding(
                keys={pool.key("instanceTypes"): list(types), **keys},
                reason=(
                    f"the device plugin allows {_MPS_CLIENTS_BEFORE_TURING} clients of a GPU of "
                    f"these types ({', '.join(older)}), and {sharing.clients} are stated"
                ),
                change={"gpuSharing.clients": _MPS_CLIENTS_BEFORE_TURING},
            )


@refuse
def mig(settings: Settings) -> Iterator[Finding]:
    """The GPUs can be divided into the stated MIG devices."""
    sharing = settings.gpu_sharing
    # By kind: profile and devices are parameters of this one.
    if not isinstance(sharing, Mig):
        return
    keys: dict[str, object] = {
        "gpuSharing.profile": sharing.profile,
        "gpuSharing.devices": sharing.devices,
    }
    unshared = {"gpuSharing": {"kind": "none"}}
    # By kind: only the local cluster simulates its GPUs.
    if isinstance(settings.platform, LocalPlatform):
        yield Finding(
            keys={"platform.kind": settings.platform.kind, "gpuSharing.kind": sharing.kind},
            reason=f"the local cluster simulates GPUs, and no node advertises {sharing.resource}",
            change=unshared,
        )
        return
    most = MIG_COMPUTE_SLICES // sharing.compute_slices
    if sharing.devices > most:
        yield Finding(
            keys=keys,
            reason=(
                f"{sharing.devices} devices of {sharing.compute_slices} compute slices need more "
                f"than the {MIG_COMPUTE_SLICES} that a GPU has"
            ),
            change={"gpuSharing.devices": most},
        )
        return
    for pool in settings.gpu_nodes.pools:
        types = pool.nodes.instance_types
        gpus = {name: gpu for name in types if (gpu := gpu_of(name))}
        at = {pool.key("instanceTypes"): list(types), **keys}
        without = [gpu.name for gpu in gpus.values() if not gpu.has_mig]
        if without and not pool.nodes.capacity:
            yield Finding(
                keys=at,
                reason=f"MIG cannot divide GPUs of these types ({', '.join(without)})",
                change=unshared,
            )
        for name, gpu in gpus.items():
            if gpu.mig_devices and sharing.devices > gpu.mig_devices.get(sharing.profile, 0):
                yield _undivided(at, sharing, name, gpu)
                break


def _undivided(keys: dict[str, object], sharing: Mig, instance_type: str, gpu: Gpu) -> Finding:
    if most := gpu.mig_devices.get(sharing.profile):
        return Finding(
            keys=keys,
            reason=(
                f"a GPU of {instance_type} ({gpu.name}) can be divided into {most} devices of "
                f"{sharing.profile}, and {sharing.devices} are stated"
            ),
            change={"gpuSharing.devices": most},
        )
    profiles = ", ".join(f"{one} x {number}" for one, number in gpu.mig_devices.items())
    return Finding(
        keys=keys,
        reason=(
            f"a GPU of {instance_type} ({gpu.name}) has no profile {sharing.profile}: no node "
            f"would advertise {sharing.resource}"
        ),
        fix=f"state one of its profiles, with at most so many devices: {profiles}",
    )
