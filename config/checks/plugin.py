"""Checks that one device plugin advertises the GPUs, with the slices that replicas need."""

from collections.abc import Iterator

from config.checks.stack_paths import stacks
from config.problem import Finding, refuse
from config.settings import Settings


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
def time_slices(settings: Settings) -> Iterator[Finding]:
    """A replica uses at most one time slice, and this stack's device plugin slices the GPUs."""
    slices = settings.device_plugin.time_slices
    if slices == 1:
        return
    sliced = {"devicePlugin.timeSlices": slices}
    for at in stacks(settings):
        gpus = at.stack.triton.gpus
        if gpus > 1:
            yield Finding(
                keys={**sliced, at.key("triton.gpus"): gpus},
                reason=(
                    f"{gpus} slices may belong to one GPU: a replica that needs {gpus} GPUs "
                    "does not get them"
                ),
                change={"devicePlugin.timeSlices": 1},
            )
    if not settings.device_plugin_enabled:
        yield Finding(
            keys={**sliced, "devicePlugin.enabled": settings.device_plugin.enabled},
            reason="this stack runs no device plugin, so nothing slices the GPUs",
            change={"devicePlugin.timeSlices": 1},
        )
