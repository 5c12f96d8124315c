"""Mirrors of the registries of all images, and credentials for them."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from config.base import Section
from config.sections.pods import PullSecrets

DOCKER_HUB = "docker.io"
"""Registry of images that name none."""

_HOST = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?")
_PREFIX = re.compile(rf"{_HOST.pattern}(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("must be the host of a registry, such as docker.io")
    return value


def _prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise ValueError("must be a registry's host, with a path if need be, such as host/docker")
    return value


Host = Annotated[str, AfterValidator(_host)]
"""Host of a registry."""

Prefix = Annotated[str, AfterValidator(_prefix)]
"""Start of an image's name: the host of a registry and a path."""


def registry_of(image: str) -> str:
    """Return the host of an image's registry."""
    host, slash, _ = image.partition("/")
    # As containerd reads it (distribution/reference, splitDockerDomain).
    return host if slash and (re.search("[.:]", host) or host == "localhost") else DOCKER_HUB


class Images(Section):
    """Registries from which the cluster pulls every image of the stack."""

    mirrors: dict[Host, Prefix] = Field(default_factory=dict)
    """Mirror of each registry, as the start of the names there: with `docker.io:
    registry.example.com/hub` the image `docker.io/envoyproxy/envoy:v1.40.0` is
    `registry.example.com/hub/envoyproxy/envoy:v1.40.0`. Stated images are mirrored, too."""

    pull_secrets: PullSecrets = ()
    """Secrets with credentials for the registries, in the namespace of every part."""

    @model_validator(mode="after")
    def _mirrors_have_no_mirror(self) -> Self:
        for registry, prefix in self.mirrors.items():
            if registry_of(f"{prefix}/") in self.mirrors:
                raise ValueError(f"the mirror of {registry} is in a registry that has a mirror")
        return self

    def mirrored(self, image: str) -> str:
        """Return the name of an image in the mirror of its registry, if it has one."""
        registry = registry_of(image)
        if registry not in self.mirrors:
            return image
        path = image.removeprefix(f"{registry}/")
        if registry == DOCKER_HUB and "/" not in path:
            path = f"library/{path}"
        return f"{self.mirrors[registry]}/{path}"
