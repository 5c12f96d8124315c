"""The KServe v2 messages of `ModelInfer`, encoded and decoded by hand.

Generated code would register `inference.*` in protobuf's global pool, where it collides with every
other client of this protocol in the same process, such as tritonclient.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from eventflow.errors import EventFlowError

Parameter = bool | int | float | str
"""Value of an inference parameter."""

_DOUBLE = struct.Struct("<d")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Tensor:
    """A tensor with raw contents: row-major, little-endian, 4-byte lengths of BYTES elements."""

    name: str
    datatype: str
    """KServe's name of the type, such as BYTES, FP32 or INT64."""
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of_strings(
        cls, name: str, values: Sequence[str | bytes], shape: Sequence[int] | None = None
    ) -> "Tensor":
        """Create a BYTES tensor; it has one dimension if `shape` is unset."""
        raw = [value.encode() if isinstance(value, str) else value for value in values]
        data = b"".join(len(value).to_bytes(4, "little") + value for value in raw)
        return cls(name, "BYTES", tuple(shape or (len(raw),)), data)

    def strings(self) -> list[bytes]:
        """Split a BYTES tensor into its elements."""
        values: list[bytes] = []
        position = 0
        while position < len(self.data):
            start = position + 4
            position = start + int.from_bytes(self.data[position:start], "little")
            values.append(self.data[start:position])
        return values


@dataclass(frozen=True)
class InferResponse:
    """The response of a model."""

    model_name: str = ""
    model_version: str = ""
    request_id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    outputs: tuple[Tensor, ...] = ()
    """Outputs with raw contents; `data` is empty for typed contents, which are not read."""


def infer_request(
    model: str, inputs: Sequence[Tensor], *, version: str = "", request_id: str = ""
) -> bytes:
    """Encode a ModelInferRequest."""
    out = bytearray()
    for number, text in ((1, model), (2, version), (3, request_id)):
        if text:
            out += _bytes_field(number, text.encode())
    for tensor in inputs:
        out += _bytes_field(5, _tensor_head(tensor))
    for tensor in inputs:
        out += _bytes_field(7, tensor.data)
    return bytes(out)


def grpc_message(message: bytes) -> bytes:
    """Add gRPC's prefix to a message: the uncompressed flag and the length in four bytes."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def parse_infer_response(data: bytes) -> InferResponse:
    """Decode a ModelInferResponse and skip unknown fields.

    Raises:
        EventFlowError: The bytes are not a ModelInferResponse.
    """
    try:
        texts = {1: "", 2: "", 3: ""}
        parameters: dict[str, Parameter] = {}
        heads: list[tuple[str, str, tuple[int, ...]]] = []
        raw: list[bytes] = []
        for number, value in _fields(data):
            if number in texts:
                texts[number] = _as_bytes(value).decode()
            elif number == 4:
                name, parameter = _parameter_entry(_as_bytes(value))
                parameters[name] = parameter
            elif number == 5:
                heads.append(_parse_tensor_head(_as_bytes(value)))
            elif number == 6:
                raw.append(_as_bytes(value))
    except (IndexError, ValueError, struct.error) as error:
        raise EventFlowError(f"the response is not a ModelInferResponse: {error}") from error
    raw += [b""] * (len(heads) - len(raw))
    outputs = tuple(Tensor(*head, data) for head, data in zip(heads, raw, strict=False))
    return InferResponse(texts[1], texts[2], texts[3], parameters, outputs)


def _tensor_head(tensor: Tensor) -> bytes:
    shape = b"".join(_varint(size) for size in tensor.shape)
    return (
        _bytes_field(1, tensor.name.encode())
        + _bytes_field(2, tensor.datatype.encode())
        + _bytes_field(3, shape)
    )


def _parse_tensor_head(data: bytes) -> tuple[str, str, tuple[int, ...]]:
    name = datatype = ""
    shape: list[int] = []
    for number, value in _fields(data):
        if number == 1:
            name = _as_bytes(value).decode()
        elif number == 2:
            datatype = _as_bytes(value).decode()
        elif number == 3 and isinstance(value, int):
            shape.append(_signed(value))
        elif number == 3:
            packed, position = _as_bytes(value), 0
            while position < len(packed):
                size, position = _read_varint(packed, position)
                shape.append(_signed(size))
    return name, datatype, tuple(shape)


def _parameter_entry(data: bytes) -> tuple[str, Parameter]:
    entry = dict(_fields(data))
    for number, value in _fields(_as_bytes(entry.get(2, b""))):
        name = _as_bytes(entry.get(1, b"")).decode()
        if number == 1:
            return name, bool(value)
        if number == 2 and isinstance(value, int):
            return name, _signed(value)
        if number == 3:
            return name, _as_bytes(value).decode()
        if number == 4:
            return name, _DOUBLE.unpack(_as_bytes(value))[0]
        if number == 5 and isinstance(value, int):
            return name, value
    return _as_bytes(entry.get(1, b"")).decode(), ""


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _read_varint(data, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, position = _read_varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        start, position = position, position + size
        if position > len(data):
            raise ValueError("a field runs over the end")
        yield key >> 3, data[start:position]


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than ten bytes")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
