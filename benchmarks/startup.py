"""How long a user waits at first: the import, the first call, and the compilation, each in fresh processes.

    python benchmarks/startup.py
    python benchmarks/startup.py --path direct --repeat 3

A first call includes the loading of numba. Compilation starts from an empty INTERPOLATED_KERNELS_CACHE_DIR, one for
forward and one for forward + backward; the warm first calls find what those left there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

IMPORT_SECONDS, WARM_SECONDS, COLD_SECONDS = 0.3, 1.5, 15.0

_IMPORT = """
import time
start = time.perf_counter(); import numpy
between = time.perf_counter(); import interpolated_kernels
print(time.perf_counter() - between)
"""

_CALL = """
import sys, time
import numpy as np
import interpolated_kernels as ik
path, direction = sys.argv[1:]
kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
x, weights = np.ones((1, 1, 256, 256), np.float32), np.ones((16, 1, 49), np.float32)
start = time.perf_counter()
y = ik.conv(x, weights, kernel, path=path)
if direction == "both":
    ik.conv_backward(y, x, weights, kernel, path=path)
print(time.perf_counter() - start)
"""


@dataclass(frozen=True)
class Row:
    """What was waited for, and the most that it should last."""

    what: str
    seconds: float
    asked: float

    @property
    def holds(self) -> bool:
        return self.seconds <= self.asked

    def __str__(self) -> str:
        return f"{self.what:46} {self.seconds:8.3f} {self.asked:8.1f}  {'yes' if self.holds else 'NO'}"


def seconds_in_fresh_process(code: str, *words: str, cache: str | None = None) -> float:
    """Return the last line that a fresh Python prints, as seconds."""
    environment = os.environ | ({"INTERPOLATED_KERNELS_CACHE_DIR": cache} if cache else {})
    environment.pop("INTERPOLATED_KERNELS_NO_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def rows(path: str, repeat: int) -> list[Row]:
    seconds_in_fresh_process(_IMPORT)  # reads the files once
    imports = [seconds_in_fresh_process(_IMPORT) for _ in range(repeat)]
    found = [Row("import, over numpy", statistics.median(imports), IMPORT_SECONDS)]
    for direction in ("forward", "both"):
        with tempfile.TemporaryDirectory() as cache:
            cold = seconds_in_fresh_process(_CALL, path, direction, cache=cache)
            warm = [seconds_in_fresh_process(_CALL, path, direction, cache=cache) for _ in range(repeat)]
        found.append(Row(f"first call, {direction}, compiling (path {path})", cold, COLD_SECONDS))
        found.append(
            Row(f"first call, {direction}, compiled before (path {path})", statistics.median(warm), WARM_SECONDS)
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", default="auto")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    found = rows(arguments.path, arguments.repeat)
    print(f"{'':46} {'seconds':>8} {'at most':>8}  holds")
    for row in found:
        print(row)
    return 0 if all(row.holds for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
