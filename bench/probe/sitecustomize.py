"""Probe in the program's Python: CPU time of imports and of the rest, and peak memory.

Python imports it at its start if its folder is on PYTHONPATH, so the program itself is unchanged.
"""

import atexit
import builtins
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

_RUNS_PROGRAM = "pulumi-language-python-exec"


def _watch(path: str) -> None:
    import_module = builtins.__import__
    main = threading.main_thread()
    begun: list[float] = []
    total = [0.0]

    def timed_import(*args: Any, **kwargs: Any) -> Any:
        # The outermost import alone: it contains the others.
        if begun or threading.current_thread() is not main:
            return import_module(*args, **kwargs)
        begun.append(time.thread_time())
        try:
            return import_module(*args, **kwargs)
        finally:
            total[0] += time.thread_time() - begun.pop()

    def write() -> None:
        own = resource.getrusage(resource.RUSAGE_SELF)
        # Envoy and kubectl, which have ended by now: what is registered first runs last.
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = {
            "imports": total[0],
            "python": own.ru_utime + own.ru_stime,
            "children": children.ru_utime + children.ru_stime,
            "peak_mib": own.ru_maxrss / 1024,
        }
        Path(path).write_text(json.dumps(figures), encoding="utf-8")

    builtins.__import__ = timed_import
    atexit.register(write)


if _RUNS_PROGRAM in " ".join(sys.orig_argv) and "BENCH_PROBE" in os.environ:
    _watch(os.environ["BENCH_PROBE"])
