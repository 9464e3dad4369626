"""How much memory a call needs beside its arrays, each measured in a fresh process (Linux).

    python benchmarks/memory.py
    python benchmarks/memory.py --cases A F --path direct

After a warm-up call of the same shapes whose results are dropped, the peak of the resident memory during a call is
compared with the memory before it. What it grew by, less the call's own results, must be at most 0.3 times the bytes of
input, output and gradients, plus 64 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cases import standard_cases
from figures import BOTH, FORWARD

import interpolated_kernels as ik

SHARE, MORE = 0.3, 64 * 2**20
_MIB = 2**20


def peak_growth(call: Callable[[], Any]) -> tuple[int, Any]:
    """Return by how many bytes the resident memory grew at its peak during a call, and the call's result."""
    with contextlib.suppress(OSError, AttributeError):  # what the allocator kept would hide new memory
        ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak, VmHWM
    except OSError:
        return _sampled_growth(call, before)
    result = call()
    return resident("VmHWM") - before, result


def resident(name: str) -> int:
    """Return a line of this process' status in bytes, such as VmRSS."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def _sampled_growth(call: Callable[[], Any], before: int) -> tuple[int, Any]:
    """Look at the resident memory every millisecond, where the peak cannot be reset; loops release the GIL."""
    done, peak = threading.Event(), [before]

    def watch() -> None:
        while not done.wait(1e-3):
            peak[0] = max(peak[0], resident("VmRSS"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = call()
    finally:
        done.set()
        watcher.join()
    return max(peak[0], resident("VmRSS")) - before, result


def measure_here(letter: str, direction: str, path: str) -> dict[str, Any]:
    """Return a case's arrays and its growth beyond them, in bytes; meant for a fresh process."""
    case = next(case for case in standard_cases() if case.name[0] == letter)
    options = {**case.options, "path": path}
    x, weights = case.arrays()
    plan = ik.plan(case.x_shape, case.weights_shape, case.kernel, **options)
    given = [x, weights]
    if direction == BOTH:
        given.append(np.ones(plan.problem.y_shape, np.float32))

    def call() -> list[np.ndarray]:
        y = ik.conv(x, weights, case.kernel, **options)
        if direction == FORWARD:
            return [y]
        grads = ik.conv_backward(given[2], x, weights, case.kernel, **options)
        assert grads.x is not None
        assert grads.weights is not None
        return [y, grads.x, grads.weights]

    call()
    growth, results = peak_growth(call)
    made = sum(array.nbytes for array in results)
    arrays = made + sum(array.nbytes for array in given)
    return {"case": case.name, "direction": direction, "path": plan.path, "arrays": arrays, "extra": growth - made}


def measure(letter: str, direction: str, path: str, threads: int) -> dict[str, Any]:
    """Return what `measure_here` finds in a fresh process."""
    words = [sys.executable, __file__, "--child", letter, direction, "--path", path, "--threads", str(threads)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["limit"] = SHARE * found["arrays"] + MORE
    found["holds"] = found["extra"] <= found["limit"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=["A", "E", "F"], help="first letters, default A E F")
    parser.add_argument("--path", default="auto")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--child", nargs=2, metavar=("CASE", "DIRECTION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        ik.set_num_threads(arguments.threads)
        print(json.dumps(measure_here(*arguments.child, arguments.path)))
        return 0
    print(f"{'case':14} {'path':10} {'direction':9} {'arrays MiB':>10} {'extra MiB':>10} {'at most':>9}  holds")
    good = True
    for letter in arguments.cases:
        for direction in (FORWARD, BOTH):
            row = measure(letter, direction, arguments.path, arguments.threads)
            sizes = f"{row['arrays'] / _MIB:10.1f} {row['extra'] / _MIB:10.1f} {row['limit'] / _MIB:9.1f}"
            print(f"{row['case']:14} {row['path']:10} {direction:9} {sizes}  {'yes' if row['holds'] else 'NO'}")
            good &= row["holds"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
