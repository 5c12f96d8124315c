"""Settings with a few keys changed, such as the result of a fix."""

import copy
import json
from collections.abc import Mapping
from typing import Any, cast

from config.schema.tree import Step, split
from config.settings import Settings


def with_overrides(settings: Settings, change: Mapping[str, object]) -> Settings:
    """Return settings with the values at some paths replaced; None unsets a key.

    A path through the item after a list's last one adds the item.

    Args:
        settings: Original settings; they are not changed.
        change: New values by path, such as `{"inference[0].gateway.replicas": 3}`.

    Raises:
        pydantic.ValidationError: A new value is not allowed.
    """
    raw: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    for path, value in change.items():
        *above, last = split(path)
        place: Any = raw
        for step in above:
            place = _enter(place, step)
        # A later path may lead into it.
        place[last] = copy.deepcopy(value)
    return Settings.model_validate_json(json.dumps(raw), strict=True, by_name=False)


def _enter(place: Any, step: Step) -> Any:
    if isinstance(step, str) and place.get(step) is None:
        cast("dict[str, Any]", place)[step] = {}
    if isinstance(step, int) and step == len(place):
        cast("list[Any]", place).append({})
    return place[step]
