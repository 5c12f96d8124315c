"""Parameters of the whole stack in each section that needs them: mirrors, the domain."""

from typing import TypeVar, cast, get_args

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from config.base import Image, Section
from config.sections.images import Images
from config.settings import Settings

_Section = TypeVar("_Section", bound=Section)

_CHECK = next(mark for mark in get_args(Image) if isinstance(mark, AfterValidator))
"""The mark of a parameter that names an image."""


def inherited(settings: Settings) -> Settings:
    """Return the parameters with mirrored images and the cluster's domain in all sections."""
    images, domain = settings.images, settings.platform.cluster_domain
    return _inherited(settings, images, domain) if images != Images() or domain else settings


def _inherited(section: _Section, images: Images, domain: str | None) -> _Section:
    """Return a section with what it inherits, also in the sections in it."""
    changes: dict[str, object] = {}
    for name, info in type(section).model_fields.items():
        value: object = getattr(section, name)
        if _is_image(info) and value is not None:
            changes[name] = images.mirrored(str(value))
        elif name == "image_pull_secrets":
            stated = cast("tuple[str, ...]", value)
            changes[name] = (*dict.fromkeys((*stated, *images.pull_secrets)),)
        elif name == "cluster_domain":
            changes[name] = value or domain
        elif name == "image_registry" and value is not None:
            changes[name] = images.mirrors.get(str(value), value)
        elif isinstance(value, Section):
            changes[name] = _inherited(value, images, domain)
        elif isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            changes[name] = tuple(
                _inherited(item, images, domain) if isinstance(item, Section) else item
                for item in items
            )
    return section.model_copy(update=changes)


def _is_image(info: FieldInfo) -> bool:
    return _CHECK in info.metadata
