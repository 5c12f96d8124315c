"""Volumes that the user brings: claims which must be there before the stack, and outlive it."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.checks.places import stacks
from config.settings import Settings
from config.triton import PvcRepository


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim that holds a stack's models."""

    key: str
    """YAML key that names it."""

    namespace: str
    name: str


def model_claims(settings: Settings) -> Iterator[Claim]:
    """Yield the claims that the stacks' models lie on: one for each with such a repository."""
    for at in stacks(settings):
        repository = at.stack.triton.model_repository
        if isinstance(repository, PvcRepository):
            key = at.key("triton.modelRepository.claim")
            yield Claim(key, at.stack.namespace, repository.claim)
