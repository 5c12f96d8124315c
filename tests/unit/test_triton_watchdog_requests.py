"""Inferences that the watchdog derives from models' configs. Not shown: that Triton takes them."""

import json
from typing import Any

import pytest

from components.triton.watchdog.probe import MAX_INPUT_BYTES, Probe

INPUT = {"name": "x", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}
CONFIG = {"name": "m", "max_batch_size": 8, "input": [INPUT]}
SAMPLE = {"data_type": "TYPE_FP32", "dims": ["2", "3"], "zero_data": True}
WARM = {**CONFIG, "model_warmup": [{"inputs": {"x": SAMPLE}}]}


def inputs_of(config: dict[str, Any]) -> tuple[list[Any], int]:
    probe = Probe.derived(config)
    size = int(probe.headers["Inference-Header-Content-Length"])
    return json.loads(probe.body[:size])["inputs"], len(probe.body) - size


def test_zeros_of_the_smallest_shape_are_derived_from_the_config() -> None:
    (stated,), size = inputs_of(CONFIG)
    assert (stated["name"], stated["datatype"], stated["shape"]) == ("x", "FP32", [1, 1, 3])
    assert stated["parameters"] == {"binary_data_size": 12}
    assert size == 12


def test_the_warm_up_sample_comes_before_the_smallest_shape() -> None:
    (stated,), size = inputs_of(WARM)
    assert (stated["shape"], size) == ([1, 2, 3], 24)
    assert Probe.derived(WARM).trusted
    assert not Probe.derived(CONFIG).trusted


def test_texts_are_empty_and_optional_inputs_are_left_out() -> None:
    text = {"name": "t", "data_type": "TYPE_STRING", "dims": ["2"]}
    optional = {**INPUT, "optional": True}
    (stated,), size = inputs_of({"name": "m", "input": [text, optional]})
    assert (stated["name"], stated["datatype"], stated["shape"], size) == ("t", "BYTES", [2], 8)


@pytest.mark.parametrize(
    "change",
    [
        {"model_transaction_policy": {"decoupled": True}},
        {"sequence_batching": {}},
        {"input": [{**INPUT, "dims": [str(MAX_INPUT_BYTES)]}]},
    ],
    ids=["decoupled", "sequences", "too large"],
)
def test_the_log_has_the_reason_why_no_inference_can_be_derived(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"decoupled|sequences|smallest input"):
        Probe.derived({**CONFIG, **change})
