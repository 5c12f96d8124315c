"""The file beside the bootstrap from which the gateway reads the rate of its access log."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.gateway.envoy import access_log
from components.gateway.envoy.protojson import Json
from config.sections.inference import InferenceStack
from tests.envoy.harness.parts import manager


def with_rate(folder: Path, gateway: dict[str, Any]) -> Callable[[Json], None]:
    """Return an edit that writes a gateway's file into a folder, and points the bootstrap to it."""
    stack = InferenceStack.model_validate({"gateway": gateway})
    ((name, file),) = access_log.files(stack).items()
    path = folder / name
    path.write_text(json.dumps(file))

    def edit(config: Json) -> None:
        log, *_ = manager(config)["access_log"]
        bounded = log["filter"]["and_filter"]["filters"][-1]["extension_filter"]["typed_config"]
        bounded["dynamic_config"]["config_source"]["path_config_source"]["path"] = str(path)

    return edit
