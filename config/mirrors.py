"""The parameters with every image in its mirror, and every pod with the credentials for it."""

from typing import TypeVar, cast, get_args

from pydantic import AfterValidator
from pydantic.fields import FieldInfo

from config.base import Image, Section
from config.sections.images import Images
from config.settings import Settings

_Section = TypeVar("_Section", bound=Section)

_CHECK = next(mark for mark in get_args(Image) if isinstance(mark, AfterValidator))
"""The mark of a parameter that names an image."""


def mirrored(settings: Settings) -> Settings:
    """Return the parameters with images and pull secrets as `images` states them."""
    images = settings.images
    return _mirrored(settings, images) if images != Images() else settings


def _mirrored(section: _Section, images: Images) -> _Section:
    """Return a section with its images mirrored, also those of the sections in it."""
    changes: dict[str, object] = {}
    for name, info in type(section).model_fields.items():
        value: object = getattr(section, name)
        if _is_image(info) and value is not None:
            changes[name] = images.mirrored(str(value))
        elif name == "image_pull_secrets":
            stated = cast("tuple[str, ...]", value)
            changes[name] = (*dict.fromkeys((*stated, *images.pull_secrets)),)
        elif name == "image_registry" and value is not None:
            changes[name] = images.mirrors.get(str(value), value)
        elif isinstance(value, Section):
            changes[name] = _mirrored(value, images)
        elif isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            changes[name] = tuple(
                _mirrored(item, images) if isinstance(item, Section) else item for item in items
            )
    return section.model_copy(update=changes)


def _is_image(info: FieldInfo) -> bool:
    return _CHECK in info.metadata
