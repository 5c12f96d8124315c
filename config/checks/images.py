"""Checks that the images can be pulled, and are those that the stack is written for."""

import re
from collections.abc import Iterator

from config.base import image_tag
from config.checks.places import stacks
from config.inventory import images
from config.problem import Finding, refuse, warn
from config.sections.platform import LOCAL_REGISTRY, LocalPlatform
from config.settings import Settings
from config.versions import ENVOY_IMAGE

_ENVOY_TAG = re.compile(r"(?:[a-z-]+-)?v?(1\.\d+)(?:[.-]|$)")
"""Of Envoy's own images, whose tags may name a variant first: `v1.40.0`, `distroless-v1.40.0`,
`v1.40-latest`."""


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


def _envoy_minor(image: str) -> str | None:
    """Version of Envoy that an image's tag states, such as `1.40`; None where it states none."""
    repository = image.partition("@")[0].rpartition("/")[2]
    stated = _ENVOY_TAG.match(image_tag(image)) if "envoy" in repository else None
    return stated[1] if stated else None


@warn
def envoy_version(settings: Settings) -> Iterator[Finding]:
    """The gateway runs the Envoy that its bootstrap is held against before anything is touched."""
    validated = _envoy_minor(ENVOY_IMAGE)
    for at in stacks(settings):
        image = at.stack.gateway.image
        deployed = _envoy_minor(image)
        if deployed not in (None, validated):
            yield Finding(
                keys={at.key("gateway.image"): image},
                reason=(
                    f"the gateway's bootstrap is validated by Envoy {validated} and read by Envoy "
                    f"{deployed}: whether that one takes it, and keeps to its limits and drain, "
                    "was not checked"
                ),
                fix=f"name an image of Envoy {validated}; or have Envoy {deployed} validate the "
                "bootstrap that `make render` writes, and try it before callers depend on it",
            )
