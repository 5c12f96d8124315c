"""One tiny inference, as a model's config allows it; a part of the watchdog's program."""

from __future__ import annotations

import json
import math
import os
from typing import Any

ITEM_BYTES = {
    **{"BOOL": 1, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "FP16": 2, "BF16": 2},
    **{"INT32": 4, "UINT32": 4, "FP32": 4, "INT64": 8, "UINT64": 8, "FP64": 8, "BYTES": 4},
}
"""Bytes of one zero by KServe data type; an empty text is its length alone."""

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""Largest input that is derived."""


class Probe:
    """One tiny inference."""

    def __init__(
        self, model: str, inputs: Any, data: bytes = b"", *, stated: bool, trusted: bool
    ) -> None:
        # No replica is ready without an answer to a stated one, and an error of a trusted one is
        # the model's fault.
        self.model, self.stated, self.trusted = model, stated, trusted
        # The sample model keeps room in a full queue for this id, which no caller knows.
        head = {"id": os.environ.get("POD_UID", ""), "inputs": inputs}
        text = json.dumps({**head, "parameters": {"binary_data_output": True}}).encode()
        self.body = text + data
        self.headers = {"Inference-Header-Content-Length": str(len(text))}

    @classmethod
    def derived(cls, config: Any) -> Probe:
        """Derive it from a model's config, its warm-up sample first; a ValueError says why not."""
        if config.get("model_transaction_policy", {}).get("decoupled"):
            raise ValueError("it is decoupled, and takes no unary call")
        if "sequence_batching" in config:
            raise ValueError("its calls belong to sequences")
        samples: Any = config.get("model_warmup")
        sample: Any = samples[0]["inputs"] if samples else {}
        batch = [1] if config.get("max_batch_size", 0) > 0 else []
        total, inputs = 0, list[Any]()
        for stated in config.get("input", []):
            name = stated["name"]
            if stated.get("optional") and name not in sample:
                continue
            like: Any = sample.get(name, stated)
            datatype: str = like["data_type"].replace("TYPE_", "").replace("STRING", "BYTES")
            # -1 stands for any size; the JSON may spell 64-bit numbers as texts.
            shape = batch + [max(1, int(length)) for length in like["dims"]]
            size = ITEM_BYTES[datatype] * math.prod(shape)
            total += size
            binary = {"parameters": {"binary_data_size": size}}
            inputs.append({"name": name, "datatype": datatype, "shape": shape, **binary})
        if total > MAX_INPUT_BYTES:
            raise ValueError(f"its smallest input has {total} bytes")
        return cls(config["name"], inputs, bytes(total), stated=False, trusted=bool(samples))
