"""Warm spares: placeholders that hold room for new replicas."""

from pydantic import Field

from config.base import Image, Section
from config.versions import PAUSE_IMAGE


class WarmSpare(Section):
    """Placeholders of a replica's size, each of which a new replica preempts at once."""

    replicas: int = Field(default=0, ge=0, le=5000)
    """Placeholders; each holds the GPUs of one replica idle, on a node with Triton's image."""

    image: Image = PAUSE_IMAGE
    """Image of the placeholders, which does nothing and ends at SIGTERM."""
