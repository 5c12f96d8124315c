"""Whether the images can be had, and are those that the stack is written for."""

from collections.abc import Iterator

from config.checks.places import stacks
from config.checks.problem import Finding, refuse
from config.platform import LOCAL_REGISTRY, LocalPlatform
from config.prometheus import ManagedPrometheus
from config.settings import Settings
from config.triton import S3Repository


def images(settings: Settings) -> dict[str, str]:
    """Every image that the stack runs, by its key."""
    found: dict[str, str] = {}
    if settings.device_plugin_enabled:
        found["devicePlugin.image"] = settings.device_plugin.image
    if isinstance(settings.prometheus, ManagedPrometheus):
        found["prometheus.image"] = settings.prometheus.image
    for at in stacks(settings):
        found[at.key("triton.image")] = at.stack.triton.image
        found[at.key("gateway.image")] = at.stack.gateway.image
        repository = at.stack.triton.model_repository
        if isinstance(repository, S3Repository):
            found[at.key("triton.modelRepository.syncImage")] = repository.sync_image
    return found


@refuse
def local_images(settings: Settings) -> Iterator[Finding]:
    """Images that only the embedded cluster can have stay in it."""
    if isinstance(settings.platform, LocalPlatform):
        return
    local: dict[str, object] = {
        key: image
        for key, image in images(settings).items()
        if image.startswith(f"{LOCAL_REGISTRY}/")
    }
    if local:
        yield Finding(
            keys={"platform.kind": settings.platform.kind, **local},
            reason=(
                f"images of {LOCAL_REGISTRY} are built for the embedded cluster's node and are in "
                "no registry: no other cluster can pull them"
            ),
            fix="remove each of these image keys, for the default image; or name one of a registry",
        )
