"""Time and memory where windows, images or sets of positions are large, each case in a fresh process (Linux).

    python benchmarks/large.py
    python benchmarks/large.py --cases "long line" "learned positions"

`cold` is the first call, with what it compiles or reads from the cache; `warm` the fastest of three more. `MiB` is what
the process' resident memory grew by at its peak over a warm call, its results included; `process` the peak of the whole
process, interpreter and all, cold call included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from memory import peak_growth, resident

import interpolated_kernels as ik

_MIB = 2**20


class Limit(NamedTuple):
    """What is asked of a case, None for nothing: seconds of a warm call, MiB that it may grow by."""

    seconds: float | None
    mib: float | None


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _scattered(window: tuple[int, ...], n: int) -> np.ndarray:
    return ik.random_positions(window, n, rng=np.random.default_rng(1))


def long_line() -> Callable[[], Any]:
    """Linear, window 192000, 1888 anchors, 480000 samples, causal, normwise."""
    kernel = ik.InterpolatedKernel(ik.grid_positions(192000, counts=1888), 192000, "linear")
    x, weights = _normal(480000), _normal(1888)
    return lambda: ik.conv(x, weights, kernel, padding="causal", accuracy="normwise")


def many_anchors() -> Callable[[], Any]:
    """Polyharmonic, window 201, 1681 anchors on 512x512, normwise."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((201, 201), 5), (201, 201))
    x, weights = _normal(512, 512), _normal(1681)
    return lambda: ik.conv(x, weights, kernel, accuracy="normwise")


def five_thousand_anchors() -> Callable[[], Any]:
    """Polyharmonic, window 201, 5000 anchors: densify."""
    kernel = ik.InterpolatedKernel(_scattered((201, 201), 5000), (201, 201))
    weights = _normal(5000)
    return lambda: ik.densify(weights, kernel)


def wide_voronoi() -> Callable[[], Any]:
    """Voronoi, window 501, 1000 anchors: densify."""
    kernel = ik.InterpolatedKernel(_scattered((501, 501), 1000), (501, 501), "voronoi")
    weights = _normal(1000)
    return lambda: ik.densify(weights, kernel)


def wide_dilated() -> Callable[[], Any]:
    """Dilated, window 501, 400 anchors: densify."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((501, 501), 26), (501, 501), "dilated")
    weights = _normal(kernel.n_anchors)
    return lambda: ik.densify(weights, kernel)


def every_cell() -> Callable[[], Any]:
    """Dilated, all cells of 129x129: densify."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((129, 129), 1), (129, 129), "dilated")
    weights = _normal(kernel.n_anchors)
    return lambda: ik.densify(weights, kernel)


def _gradient(window: tuple[int, ...], shape: tuple[int, ...], interpolator: str, wrt: str) -> Callable[[], Any]:
    kernel = ik.InterpolatedKernel(_scattered(window, 60), window, interpolator)
    x, weights = _normal(1, 1, *shape), _normal(1, 1, 60)
    grad_y = _normal(*ik.plan(x.shape, weights.shape, kernel).problem.y_shape)
    return lambda: ik.conv_backward(grad_y, x, weights, kernel, wrt=(wrt,))


def position_sets() -> Callable[[], Any]:
    """Gradients by position, polyharmonic, 512 sets of 25 anchors in a window of 31x31, 48x48."""
    positions = np.random.default_rng(0).uniform(0, 30, (512, 25, 2))
    kernel = ik.InterpolatedKernel(positions, (31, 31))
    x, weights = _normal(1, 1, 48, 48), _normal(512, 1, 25)
    grad_y = _normal(1, 512, 18, 18)
    return lambda: ik.conv_backward(grad_y, x, weights, kernel, wrt=("positions",))


def folded_image() -> Callable[[], Any]:
    """Gradient by x, 6000x6000, replicate padding, max_memory 16 MiB: over its 137 MiB of results."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    grad_y, x, weights = _normal(6000, 6000), _normal(6000, 6000), _normal(49)
    options = {"padding": "same", "padding_mode": "replicate", "max_memory": 16 * _MIB}
    return lambda: ik.conv_backward(grad_y, x, weights, kernel, wrt=("x",), **options)


def folded_dilation() -> Callable[[], Any]:
    """Gradient by x, 28x28, replicate padding, window 31, dilation 256, max_memory 16 MiB."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    grad_y, x, weights = _normal(28, 28), _normal(28, 28), _normal(49)
    options = {"padding": "same", "padding_mode": "replicate", "dilation": 256, "max_memory": 16 * _MIB}
    return lambda: ik.conv_backward(grad_y, x, weights, kernel, wrt=("x",), **options)


def scattered_image() -> Callable[[], Any]:
    """Polyharmonic, 6000x6000, max_memory 16 MiB, into `out`."""
    kernel = ik.InterpolatedKernel(_scattered((15, 15), 20), (15, 15))
    x, weights = _normal(6000, 6000), _normal(20)
    out = np.zeros_like(x)
    return lambda: ik.conv(x, weights, kernel, padding="same", max_memory=16 * _MIB, out=out)


def into_out() -> Callable[[], Any]:
    """Case A into an `out` that is there: 256 MiB of results."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    x, weights = _normal(1, 1, 2078, 2078), _normal(16, 1, 49)
    out = np.zeros((1, 16, 2048, 2048), np.float32)
    return lambda: ik.conv(x, weights, kernel, out=out)


def learned_positions() -> Callable[[], Any]:
    """20,000 steps that move 25 polyharmonic anchors of a window of 9x9: seconds of the last 1,000."""
    rng = np.random.default_rng(0)
    start, x, weights = rng.uniform(0, 8, (25, 2)), _normal(1, 1, 16, 16), _normal(1, 1, 25)
    grad_y = np.ones((1, 1, 8, 8), np.float32)

    def steps(count: int) -> None:
        for _ in range(count):
            kernel = ik.InterpolatedKernel(start + rng.uniform(-0.01, 0.01, start.shape), (9, 9))
            ik.conv_backward(grad_y, x, weights, kernel, wrt=("weights", "positions"))

    calls = iter([1000, 19000, 1000, 1000, 1000, 1000])
    return lambda: steps(next(calls, 1000))


CASES: dict[str, tuple[Callable[[], Callable[[], Any]], Limit]] = {
    "long line": (long_line, Limit(0.2, 350)),
    "1681 anchors": (many_anchors, Limit(0.5, 450)),
    "5000 anchors": (five_thousand_anchors, Limit(None, None)),
    "voronoi 501": (wide_voronoi, Limit(None, 64)),
    "dilated 501": (wide_dilated, Limit(None, 64)),
    "every cell of 129": (every_cell, Limit(None, 64)),
    "positions 129, gaussian": (lambda: _gradient((129, 129), (160, 160), "gaussian", "positions"), Limit(None, 64)),
    "weights 129, gaussian": (lambda: _gradient((129, 129), (160, 160), "gaussian", "weights"), Limit(None, 64)),
    "positions 129": (lambda: _gradient((129, 129), (160, 160), "polyharmonic", "positions"), Limit(None, 64)),
    "weights 129": (lambda: _gradient((129, 129), (160, 160), "polyharmonic", "weights"), Limit(None, 64)),
    "positions 31^3": (lambda: _gradient((31, 31, 31), (40, 40, 40), "polyharmonic", "positions"), Limit(None, 64)),
    "weights 31^3": (lambda: _gradient((31, 31, 31), (40, 40, 40), "polyharmonic", "weights"), Limit(None, 64)),
    "512 position sets": (position_sets, Limit(None, 128)),
    "replicate 6000, 16 MiB": (folded_image, Limit(None, 138 + 16 + 8)),
    "dilation 256, 16 MiB": (folded_dilation, Limit(None, 16 + 8)),
    "polyharmonic 6000, 16 MiB": (scattered_image, Limit(None, 16 + 8)),
    "into out": (into_out, Limit(None, 16)),
    "learned positions": (learned_positions, Limit(None, None)),
}


def measure_here(name: str) -> dict[str, float]:
    """Return a case's seconds and growth; meant for a fresh process."""
    make, _ = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.AnchorWarning)
        call = make()
    seconds = []
    started = time.perf_counter()
    call()
    cold, process = time.perf_counter() - started, resident("VmHWM")
    growth, result = peak_growth(call)
    del result
    for _ in range(3):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return {"cold": cold, "warm": min(seconds), "mib": growth / _MIB, "process": process / _MIB}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--child", choices=list(CASES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure_here(arguments.child)))
        return 0
    print(f"{'case':27} {'cold s':>8} {'warm s':>8} {'asked':>6} {'MiB':>8} {'at most':>8} {'process':>8}  holds")
    good = True
    for name in arguments.cases:
        done = subprocess.run([sys.executable, __file__, "--child", name], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{name:27} failed")
            good = False
            continue
        found, limit = json.loads(done.stdout), CASES[name][1]
        holds = found["mib"] <= (limit.mib or np.inf) and found["warm"] <= (limit.seconds or np.inf)
        good &= holds
        asked = [("-" if value is None else f"{value:g}") for value in limit]
        sizes = f"{found['mib']:8.1f} {asked[1]:>8} {found['process']:8.0f}"
        print(
            f"{name:27} {found['cold']:8.2f} {found['warm']:8.3f} {asked[0]:>6} {sizes}  {'yes' if holds else 'NO'}",
            flush=True,
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
