"""The hand-written messages agree with protobuf's own.

The schema here repeats the field numbers of the open inference protocol; that a real server reads
them is shown in the serving cluster's tests.
"""

import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from eventflow.errors import EventFlowError
from eventflow.kserve import Tensor, infer_request, parse_infer_response
from eventflow.tensors import parse_tensor

Field = descriptor_pb2.FieldDescriptorProto
TENSOR = [("name", 1, "string"), ("datatype", 2, "string"), ("shape", 3, "*int64")]
MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "Parameter": [
        ("bool_param", 1, "bool"),
        ("int64_param", 2, "int64"),
        ("string_param", 3, "string"),
        ("double_param", 4, "double"),
        ("uint64_param", 5, "uint64"),
    ],
    "Entry": [("key", 1, "string"), ("value", 2, ".t.Parameter")],
    "Contents": [("fp32_contents", 6, "*float"), ("bytes_contents", 8, "*bytes")],
    "Tensor": [*TENSOR, ("parameters", 4, "*.t.Entry"), ("contents", 5, ".t.Contents")],
    "Request": [
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "*.t.Entry"),
        ("inputs", 5, "*.t.Tensor"),
        ("raw_input_contents", 7, "*bytes"),
    ],
    "Response": [
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("id", 3, "string"),
        ("parameters", 4, "*.t.Entry"),
        ("outputs", 5, "*.t.Tensor"),
        ("raw_output_contents", 6, "*bytes"),
    ],
}


def _protobuf() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "Parameter":
            message.oneof_decl.add(name="parameter_choice")
        for field_name, number, kind in fields:
            repeated = kind.startswith("*")
            kind = kind.removeprefix("*")
            field = message.field.add(name=field_name, number=number)
            if name == "Parameter":
                field.oneof_index = 0
            field.label = Field.LABEL_REPEATED if repeated else Field.LABEL_OPTIONAL
            if kind.startswith("."):
                field.type, field.type_name = Field.TYPE_MESSAGE, kind
            else:
                field.type = getattr(Field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}"))
        for name in MESSAGES
    }


PROTOBUF = _protobuf()
tensors = st.builds(
    Tensor,
    st.text(max_size=10),
    st.sampled_from(["BYTES", "FP32", "INT64"]),
    st.lists(st.integers(-1, 2**63 - 1), max_size=4).map(tuple),
    st.binary(max_size=300),
)
parameters = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(), st.floats(allow_nan=False)
)
PARAMETER_FIELDS = {
    bool: "bool_param",
    int: "int64_param",
    str: "string_param",
    float: "double_param",
}


@given(st.text(), st.text(), st.text(), st.lists(tensors, max_size=3))
def test_protobuf_reads_a_request_back_unchanged(
    model: str, version: str, request_id: str, inputs: list[Tensor]
) -> None:
    data = infer_request(model, inputs, version=version, request_id=request_id)
    read = PROTOBUF["Request"].FromString(data)

    assert (read.model_name, read.model_version, read.id) == (model, version, request_id)
    assert [
        Tensor(head.name, head.datatype, tuple(head.shape), raw)
        for head, raw in zip(read.inputs, read.raw_input_contents, strict=True)
    ] == inputs


@given(
    st.text(), st.lists(tensors, max_size=3), st.dictionaries(st.text(), parameters), st.booleans()
)
def test_a_response_written_by_protobuf_is_read_unchanged(
    model: str, outputs: list[Tensor], given_parameters: dict[str, Any], with_contents: bool
) -> None:
    response = PROTOBUF["Response"](model_name=model, model_version="3", id="a")
    for name, value in given_parameters.items():
        entry = response.parameters.add(key=name)
        setattr(entry.value, PARAMETER_FIELDS[type(value)], value)
    for tensor in outputs:
        head = response.outputs.add(name=tensor.name, datatype=tensor.datatype)
        head.shape.extend(tensor.shape)
        head.parameters.add(key="binary_data_size")
        if with_contents:
            head.contents.fp32_contents.append(1.5)
        response.raw_output_contents.append(tensor.data)

    read = parse_infer_response(response.SerializeToString())

    assert (read.model_name, read.model_version, read.request_id) == (model, "3", "a")
    assert list(read.outputs) == outputs
    assert dict(read.parameters) == given_parameters


@given(st.binary(max_size=100))
def test_bytes_that_are_not_a_response_raise_only_the_documented_error(data: bytes) -> None:
    try:
        parse_infer_response(data)
    except EventFlowError as error:
        assert "not a ModelInferResponse" in str(error)  # noqa: PT017


def test_text_elements_have_a_length_prefix() -> None:
    tensor = Tensor.of_strings("INPUT", ["a", b"", "äö"], [3, 1])
    assert tensor.data == b"\1\0\0\0a\0\0\0\0\4\0\0\0\xc3\xa4\xc3\xb6"
    assert tensor.strings() == [b"a", b"", "äö".encode()]
    assert tensor.shape == (3, 1)


@given(
    st.sampled_from(["FP32", "INT8", "FP64"]), st.lists(st.integers(1, 5), min_size=1, max_size=5)
)
def test_the_length_of_a_numeric_tensor_follows_from_its_shape(
    datatype: str, shape: list[int]
) -> None:
    size = {"FP32": 4, "INT8": 1, "FP64": 8}[datatype]
    tensor = parse_tensor(f"X:{datatype}:{','.join(map(str, shape))}")
    assert len(tensor.data) == size * math.prod(shape)


def test_the_number_of_text_elements_follows_from_the_shape() -> None:
    assert parse_tensor("IN:BYTES:2", size=3).strings() == [b"xxx", b"xxx"]
    assert parse_tensor("IN:BYTES:1,1", text="hi") == Tensor.of_strings("IN", ["hi"], (1, 1))


def test_a_file_of_the_right_size_fills_a_tensor(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(bytes(8))
    assert parse_tensor("X:FP32:2", data=file).data == bytes(8)
    assert parse_tensor("X:BYTES:2", data=file).strings() == [b"", b""]


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("INPUT", {}, "expected NAME:DATATYPE:SHAPE"),
        ("INPUT:BYTES:", {}, "expected NAME:DATATYPE:SHAPE"),
        ("INPUT:BYTES:-1", {}, "expected NAME:DATATYPE:SHAPE"),
        ("INPUT:FLOAT:1", {}, "datatype FLOAT is not one of BYTES, BOOL"),
        ("INPUT:FP32:1", {"text": "x"}, "only BYTES takes text"),
        ("INPUT:FP64:1000000,1000", {}, "8,000,000,000 bytes, over 1,073,741,824"),
        ("INPUT:FP32:3", {"data": True}, "takes 12 bytes, but the file has 7"),
        ("INPUT:BYTES:1", {"data": True}, "not 1 elements with 4-byte lengths"),
        ("INPUT:FP32:1", {"data": False}, "No such file"),
    ],
)
def test_an_invalid_tensor_is_refused(
    tmp_path: Path, spec: str, options: dict[str, Any], words: str
) -> None:
    if "data" in options:
        file = tmp_path / "data"
        if options["data"]:
            file.write_bytes(b"\3\0\0\0abc"[:7])
        options = {"data": file}
        if "BYTES" in spec:
            file.write_bytes(b"\3\0\0\0ab")
    with pytest.raises(EventFlowError, match=words):
        parse_tensor(spec, **options)
