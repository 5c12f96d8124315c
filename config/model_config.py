"""A model's `config.pbtxt`, as far as this project has to understand it.

Without imports of this project, and for Python 3.9 and newer: pods run this text, too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Message = dict[str, list[Any]]
"""Fields of a text-format protobuf by name; a value is a string or a message."""

_TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<punctuation>[{}\[\]<>:,;])|(?P<word>[^\s{}\[\]<>:,;"'#]+)"""
)

_BACKENDS = {
    "caffe2_netdef": "pytorch",
    "onnxruntime_onnx": "onnxruntime",
    "pytorch_libtorch": "pytorch",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "tensorrt_plan": "tensorrt",
}
"""Backend by the older `platform`."""


def parse(text: str) -> Message:
    """Parse a protobuf in text format, without its schema.

    Raises:
        ValueError: Brackets or quotes do not match, or a value is missing; names the line.
    """
    return _fields(_Tokens(text), "")


def one(message: Message, name: str, default: Any = "") -> Any:
    """Return the value of a field that is not repeated."""
    return message.get(name, [default])[-1]


class _Tokens:
    """Tokens of a text; `text` is the next one, empty at the end."""

    def __init__(self, text: str) -> None:
        self._tokens = self._split(text)
        self.text, self.line = next(self._tokens)

    def take(self) -> str:
        text = self.text
        self.text, self.line = next(self._tokens, ("", self.line))
        return text

    def takes(self, text: str) -> bool:
        found = self.text == text
        if found:
            self.take()
        return found

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, int]]:
        at, line = 0, 1
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise ValueError(f"line {line}: a quote is not closed")
            if match.lastgroup != "skip":
                yield match[0], line
            line += match[0].count("\n")
            at = match.end()
        yield "", line


def _fields(tokens: _Tokens, end: str) -> Message:
    fields: Message = {}
    opened = tokens.line
    while tokens.text != end:
        if tokens.takes(",") or tokens.takes(";"):
            continue
        if not tokens.text:
            raise ValueError(f"line {opened}: a bracket is not closed")
        if not re.fullmatch(r"\w+", tokens.text):
            raise ValueError(f"line {tokens.line}: {tokens.text} stands where a field should")
        values = fields.setdefault(tokens.take(), [])
        tokens.takes(":")
        if not tokens.takes("["):
            values.append(_value(tokens))
            continue
        while not tokens.takes("]"):
            if not tokens.takes(","):
                values.append(_value(tokens))
    tokens.take()
    return fields


def _value(tokens: _Tokens) -> Any:
    line, first = tokens.line, tokens.take()
    if first in ("{", "<"):
        return _fields(tokens, "}" if first == "{" else ">")
    if first in ("", "}", ">", "]", ",", ";", ":", "["):
        raise ValueError(f"line {line}: a value is missing")
    if first[0] not in "\"'":
        return first
    strings = [first]
    while tokens.text[:1] in ('"', "'") and tokens.text:
        strings.append(tokens.take())
    return "".join(re.sub(r"\\(.)", r"\1", string[1:-1]) for string in strings)


@dataclass(frozen=True)
class Tensor:
    """An input of a model, as its configuration states it."""

    name: str
    """Name of the tensor."""

    data_type: str
    """Such as `TYPE_FP32`."""

    dims: tuple[int, ...]
    """Shape without the batch dimension; -1 is any."""


@dataclass
class Model:
    """One model of a repository."""

    name: str
    """Its name, which is its folder's."""

    path: Path
    """Its folder."""

    config: Message = field(default_factory=lambda: dict[str, list[Any]]())
    """Its parsed configuration; empty where it states none."""

    versions: list[int] = field(default_factory=lambda: list[int]())
    """Numbers of its version folders, ascending; with the one that `lacks_folder` adds."""

    lacks_folder: bool = False
    """It is an ensemble without a version folder. Triton wants one, and lists of files, as git's
    and S3's, drop a folder that is empty."""

    @property
    def backend(self) -> str:
        """Its backend; empty where Triton derives it from the name of the model's file."""
        platform = str(one(self.config, "platform"))
        return str(one(self.config, "backend")) or _BACKENDS.get(platform, platform)

    @property
    def is_ensemble(self) -> bool:
        """It is a pipeline of other models, without a file of its own."""
        return self.backend == "ensemble"

    @property
    def max_batch_size(self) -> int:
        """Largest batch; 0 where the tensors have no batch dimension."""
        return int(one(self.config, "max_batch_size", "0"))

    @property
    def inputs(self) -> list[Tensor]:
        """Inputs that the configuration states."""
        return [
            Tensor(
                name=str(one(item, "name")),
                data_type=str(one(item, "data_type")),
                dims=tuple(int(number) for number in item.get("dims", ())),
            )
            for item in self.config.get("input", ())
        ]

    @property
    def served(self) -> list[int]:
        """Versions that its policy loads: by default the latest alone."""
        policy: Message = one(self.config, "version_policy", {})
        if "all" in policy:
            return self.versions
        if "specific" in policy:
            return [int(number) for number in one(policy, "specific").get("versions", ())]
        latest: Message = one(policy, "latest", {})
        return self.versions[-int(one(latest, "num_versions", "1")) :]

    @property
    def parameters(self) -> dict[str, str]:
        """Its parameters: text by key."""
        return {
            str(one(item, "key")): str(one(one(item, "value", {}), "string_value"))
            for item in self.config.get("parameters", ())
        }

    @property
    def steps(self) -> list[tuple[str, int]]:
        """Of an ensemble: model and version (-1 is the latest) of each step."""
        scheduling: Message = one(self.config, "ensemble_scheduling", {})
        return [
            (str(one(step, "model_name")), int(one(step, "model_version", "-1")))
            for step in scheduling.get("step", ())
        ]
