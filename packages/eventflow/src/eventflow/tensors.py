"""Tensors from command line options."""

import math
import re
from pathlib import Path

from eventflow.errors import EventFlowError
from eventflow.kserve import Tensor

ELEMENT_BYTES = {
    "BOOL": 1,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "FP16": 2,
    "BF16": 2,
    "INT32": 4,
    "UINT32": 4,
    "FP32": 4,
    "INT64": 8,
    "UINT64": 8,
    "FP64": 8,
}
"""Size of one element by KServe's name of the type; BYTES elements have a length prefix."""

MAX_TENSOR_BYTES = 2**30
"""Largest tensor; protobuf limits a whole message to 2 GiB."""

_SPEC = re.compile(r"(?P<name>[^:]+):(?P<datatype>[A-Z0-9]+):(?P<shape>\d+(,\d+)*)")


def parse_tensor(
    spec: str, *, size: int = 64, text: str | None = None, data: Path | None = None
) -> Tensor:
    """Build a tensor from a specification and contents.

    Args:
        spec: `NAME:DATATYPE:SHAPE`, such as `INPUT0:BYTES:1,1` or `IMAGE:FP32:1,3,224,224`.
        size: Length of each BYTES element if neither text nor data is given.
        text: Contents of each BYTES element.
        data: File with the raw contents of the whole tensor.

    Raises:
        EventFlowError: The specification or the size of the contents is invalid.
    """
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise EventFlowError(
            f"tensor {spec!r}: expected NAME:DATATYPE:SHAPE, such as INPUT0:BYTES:1"
        )
    name, datatype = match["name"], match["datatype"]
    shape = tuple(int(part) for part in match["shape"].split(","))
    elements = math.prod(shape)
    if datatype != "BYTES" and datatype not in ELEMENT_BYTES:
        known = ", ".join(("BYTES", *ELEMENT_BYTES))
        raise EventFlowError(f"tensor {spec!r}: datatype {datatype} is not one of {known}")
    most = elements * (size + 4 if datatype == "BYTES" else ELEMENT_BYTES[datatype])
    if most > MAX_TENSOR_BYTES:
        raise EventFlowError(f"tensor {spec!r}: {most:,} bytes, over {MAX_TENSOR_BYTES:,}")
    if data is not None:
        try:
            raw = data.read_bytes()
        except OSError as error:
            raise EventFlowError(f"{data}: {error.strerror}") from error
        return _checked(Tensor(name, datatype, shape, raw), elements, spec)
    if datatype == "BYTES":
        element = b"x" * size if text is None else text.encode()
        return Tensor.of_strings(name, [element] * elements, shape)
    if text is not None:
        raise EventFlowError(
            f"tensor {spec!r}: only BYTES takes text; give other types as a file with --data"
        )
    return Tensor(name, datatype, shape, bytes(elements * ELEMENT_BYTES[datatype]))


def _checked(tensor: Tensor, elements: int, spec: str) -> Tensor:
    if tensor.datatype == "BYTES":
        found = len(tensor.strings())
        if found != elements or b"".join(_framed(tensor)) != tensor.data:
            raise EventFlowError(
                f"tensor {spec!r}: the file is not {elements} elements with 4-byte lengths"
            )
    elif len(tensor.data) != elements * ELEMENT_BYTES[tensor.datatype]:
        size = elements * ELEMENT_BYTES[tensor.datatype]
        raise EventFlowError(
            f"tensor {spec!r}: takes {size} bytes, but the file has {len(tensor.data)}"
        )
    return tensor


def _framed(tensor: Tensor) -> list[bytes]:
    return [len(value).to_bytes(4, "little") + value for value in tensor.strings()]
