"""Sample model: answers the text it was given, after the service time of a real one.

The queue is the model's own. Triton's (`dynamic_batching.default_queue_policy.max_queue_size`)
turns prefetching off, and its batcher then sleeps through wake-ups, half a second each: Triton
2.51 answered 32 to 48 of 50 calls a second, and some not within 7 s (see also server issue 8870).
"""

import contextlib
import json
import os
import queue
import random
import threading
import time

import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

LARGE_BYTES = 64 * 1024
"""Size from which an answer may well not fit into shared memory. Its end is sent by itself then,
which costs 0.15 ms of a core."""


class TritonPythonModel:
    """Works on as many calls at once, and lets as many wait, as config.pbtxt says."""

    def initialize(self, args):
        """Read the parameters; a missing or malformed one fails the load."""
        stated = json.loads(args["model_config"])["parameters"]
        values = {name: value["string_value"] for name, value in stated.items()}
        self.service_time_seconds = float(values["service_time_seconds"])
        self.failure_rate = float(values["failure_rate"])
        self.hang = values["hang"] == "true"
        self.queue_size = int(values["queue_size"])
        self.waiting = queue.Queue()
        # Of the watchdog's inference, which a full queue must not keep out: it waits its turn.
        self.watchdog_id = os.environ.get("POD_UID")
        for _ in range(int(values["parallelism"])):
            threading.Thread(target=self._work, daemon=True).start()

    def execute(self, requests):
        """Queue the calls, or refuse them at once; the workers answer."""
        if self.hang:
            threading.Event().wait()
        for request in requests:
            sender = request.get_response_sender()
            is_full = self.waiting.qsize() >= self.queue_size
            if is_full and request.request_id() != self.watchdog_id:
                _fail(sender, "Exceeds maximum queue size", pb_utils.TritonError.UNAVAILABLE)
            else:
                self.waiting.put((request, sender, time.monotonic()))

    def _work(self):
        # A device works on the next call while its host still hands out the last answer. Its own
        # clock decides, so that a host whose cores are busy answers late, but as many.
        free_at = 0.0
        while True:
            # Nothing here refers to a call: its tensors occupy shared memory until nothing does,
            # and the next call may be long in coming.
            free_at = self._answer(free_at, *self.waiting.get())

    def _answer(self, free_at, request, sender, arrived_at):
        """Answer one call, or fail it and it alone; return when the device is free again."""
        try:
            if sender.is_cancelled():
                # Nobody waits for it any more: its time goes to those for whom somebody does.
                _fail(sender, "cancelled in the queue", pb_utils.TritonError.CANCELLED)
                return free_at
            free_at = max(free_at, arrived_at) + self.service_time_seconds
            time.sleep(max(0.0, free_at - time.monotonic()))
            if random.random() < self.failure_rate:  # noqa: S311 - nothing secret hangs on it
                _fail(sender, "failed on purpose", pb_utils.TritonError.INTERNAL)
                return free_at
            text = pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy()
            answer = pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT0", text)])
            _send(sender, answer, sum(map(len, text.flat)))
        except Exception as error:
            # The worker is the model's only one: nothing that a caller sends may end it.
            print(f"echo: a call failed: {error!r}", flush=True)
            with contextlib.suppress(Exception):
                _fail(sender, repr(error), pb_utils.TritonError.INTERNAL)
        return free_at


def _send(sender, answer, size_bytes):
    if size_bytes < LARGE_BYTES:
        sender.send(answer, flags=FINAL)
        return
    # After a failed attempt a sender refuses an error, but not the end of the call: Triton fails a
    # call that ends without an answer. Without its end the call would stay until its deadline.
    try:
        sender.send(answer, flags=0)
    finally:
        sender.send(flags=FINAL)


def _fail(sender, text, code):
    error = pb_utils.TritonError(text, code)
    sender.send(pb_utils.InferenceResponse(output_tensors=[], error=error), flags=FINAL)
