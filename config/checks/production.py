"""Checks that apply only to tier prod."""

from collections.abc import Iterator

from config.base import image_pin
from config.checks.stack_paths import stacks
from config.inventory import images
from config.problem import Finding, refuse, warn
from config.settings import Settings

_MIN_GATEWAYS = 2


def _of_pin(settings: Settings, pin: str) -> dict[str, object]:
    if settings.tier != "prod":
        return {}
    return {key: image for key, image in images(settings).items() if image_pin(image) == pin}


@refuse
def image_tags(settings: Settings) -> Iterator[Finding]:
    """In prod every image has a tag that is a version."""
    unpinned = _of_pin(settings, "none")
    if unpinned:
        yield Finding(
            keys={"tier": "prod", **unpinned},
            reason="an image without a tag, or with `latest`, can change at the next restart",
            fix="name a version, preferably with its digest: repository:tag@sha256:...",
        )


@warn
def image_digests(settings: Settings) -> Iterator[Finding]:
    """In prod every image has a digest."""
    tagged = _of_pin(settings, "tag")
    if tagged:
        yield Finding(
            keys={"tier": "prod", **tagged},
            reason="a tag can be moved to another image",
            fix="add the digest: repository:tag@sha256:...",
        )


@refuse
def gateways(settings: Settings) -> Iterator[Finding]:
    """In prod the service survives the loss of one gateway."""
    for at in stacks(settings):
        count = at.stack.gateway.replicas
        if settings.tier == "prod" and count < _MIN_GATEWAYS:
            yield Finding(
                keys={"tier": "prod", at.key("gateway.replicas"): count},
                reason="with one gateway every node update and every crash is an outage",
                change={at.key("gateway.replicas"): _MIN_GATEWAYS},
            )
