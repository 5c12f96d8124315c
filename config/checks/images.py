"""Checks that the cluster can pull the images, and that the stack supports them."""

import re
from collections.abc import Iterator

from config.base import image_tag
from config.checks.stack_paths import stacks
from config.inventory import images
from config.problem import Finding, refuse, warn
from config.sections.images import registry_of
from config.sections.keda import HelmKeda
from config.sections.platform import LOCAL_REGISTRY, LocalPlatform
from config.settings import Settings
from config.versions import ENVOY_IMAGE

_ENVOY_TAG = re.compile(r"(?:[a-z-]+-)?v?(1\.\d+)(?:[.-]|$)")
"""Tag of Envoy's own images, which may name a variant first: `v1.40.0`, `distroless-v1.40.0`,
`v1.40-latest`."""


@refuse
def local_images(settings: Settings) -> Iterator[Finding]:
    """Only the embedded cluster uses its local images."""
    # By kind: the check compares platform and images.
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
            fix="delete these image keys to use the default images, or name images of a registry",
        )


@warn
def image_mirrors(settings: Settings) -> Iterator[Finding]:
    """If registries have mirrors, every image comes from a mirror."""
    stated = settings.images
    if not stated.mirrors:
        return
    names = dict(images(settings))
    # By kind: a section imports no parts, and the inventory has no images of a chart.
    if isinstance(settings.keda, HelmKeda):
        names["keda.imageRegistry"] = f"{settings.keda.image_registry}/kedacore/keda"
    starts = (*(f"{prefix}/" for prefix in stated.mirrors.values()), f"{LOCAL_REGISTRY}/")
    left = {
        key: image for key, image in names.items() if not stated.mirrored(image).startswith(starts)
    }
    if left:
        hosts = sorted({registry_of(image) for image in left.values()})
        yield Finding(
            keys={"images.mirrors": dict(stated.mirrors), **left},
            reason=f"the cluster pulls these images from {', '.join(hosts)}, which has no mirror",
            fix=f"add {', '.join(hosts)} to images.mirrors, or correct a misspelt host there",
        )


def _envoy_minor(image: str) -> str | None:
    """Return the version of Envoy in an image's tag, such as `1.40`; None if it has none."""
    repository = image.partition("@")[0].rpartition("/")[2]
    stated = _ENVOY_TAG.match(image_tag(image)) if "envoy" in repository else None
    return stated[1] if stated else None


@warn
def envoy_version(settings: Settings) -> Iterator[Finding]:
    """The gateway runs the version of Envoy that validates its bootstrap."""
    validated = _envoy_minor(ENVOY_IMAGE)
    for at in stacks(settings):
        image = at.stack.gateway.image
        deployed = _envoy_minor(image)
        if deployed not in (None, validated):
            yield Finding(
                keys={at.key("gateway.image"): image},
                reason=(
                    f"Envoy {validated} validates the gateway's bootstrap, but Envoy {deployed} "
                    "runs it: nothing has checked that this version accepts it, and keeps to its "
                    "limits and drain"
                ),
                fix=f"use an image of Envoy {validated}; or validate the bootstrap of "
                f"`make render` with Envoy {deployed}, and test it before callers depend on it",
            )
