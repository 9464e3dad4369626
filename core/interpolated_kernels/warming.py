"""`warmup`: every compiled loop, compiled ahead or loaded from disk, by calls that between them use all of them."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.arguments import check_choice, is_sequence, show
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.densify import densify, densify_backward
from interpolated_kernels.interpolation import Polyharmonic
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import loops

DTYPES = ("float32", "float64")
_PATHS = ("direct", "lattice", "fourier")
_ORDERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class WarmupStep:
    """What one step of a warm-up did.

    Attributes
    ----------
    name : str
        The dtype and what was called: "float32 lattice".
    compiled, loaded : int
        Functions that were compiled, and that were loaded from disk; those met in an earlier step count there.
    seconds : float
    """

    name: str
    compiled: int
    loaded: int
    seconds: float


def warmup(dtypes: Sequence[str] = DTYPES) -> tuple[WarmupStep, ...]:
    """Compile, or load from disk, the loops of every path and filling, so that later calls compile nothing.

    Loops are the same for one, two and three axes, and for few threads and many. A cold cache takes some minutes.

    Parameters
    ----------
    dtypes : sequence of {"float32", "float64"}
        What loops compute in; float16 and bfloat16 compute in float32.

    Returns
    -------
    tuple of WarmupStep

    Raises
    ------
    TypeError, ValueError
        For what is no sequence, and for another dtype.
    """
    return tuple(warm(dtypes))


def warm(dtypes: Sequence[str] = DTYPES) -> Iterator[WarmupStep]:
    """Do as `warmup`, and yield every step as soon as it is done."""
    if not is_sequence(dtypes):
        raise TypeError(f"`dtypes` must be a sequence of {' and '.join(DTYPES)}, got {show(dtypes)}.")
    for dtype in dtypes:
        check_choice("dtypes", dtype, DTYPES)
    for dtype in dtypes:
        for name, call in _make_calls(np.dtype(dtype)).items():
            before, start = dict(loops.counts), time.perf_counter()
            with loops.run_both_forms():
                call()
            done = {kind: loops.counts[kind] - before[kind] for kind in ("compiled", "loaded")}
            yield WarmupStep(f"{dtype} {name}", **done, seconds=time.perf_counter() - start)


def _make_calls(dtype: np.dtype[Any]) -> dict[str, Callable[[], None]]:
    """Return, by name, calls that use every loop in one dtype."""
    return {
        **{path: functools.partial(_convolve, path, dtype) for path in _PATHS},
        "missing": functools.partial(_weigh, dtype),
        "fillings": functools.partial(_fill_windows, dtype),
        "splines": functools.partial(_fill_large_windows, dtype),
    }


def _convolve(path: str, dtype: np.dtype[Any]) -> None:
    kernel = InterpolatedKernel(grid_positions((3, 3), 2), (3, 3), "linear")
    x, weights = np.zeros((1, 1, 30, 30), dtype), np.zeros((12, 1, kernel.n_anchors), dtype)
    y = conv(x, weights, kernel, path=path, accuracy="normwise", padding="same")
    conv_backward(y, x, weights, kernel, path=path, accuracy="normwise", padding="same")


def _weigh(dtype: np.dtype[Any]) -> None:
    """Go through windows that show all, some and none of x."""
    kernel = InterpolatedKernel(grid_positions((3, 3), 2), (3, 3), "linear")
    x, weights = np.zeros((30, 30), dtype), np.ones(kernel.n_anchors, dtype)
    x[:9] = np.nan
    y = conv(x, weights, kernel, missing="renormalize")
    conv_backward(y, x, weights, kernel, missing="renormalize")


def _fill_windows(dtype: np.dtype[Any]) -> None:
    """Go through dense kernels of every kind of filling and of every profile, forward and backward."""
    positions = grid_positions((5, 5), 2)
    for name in ("linear", "cubic", "gaussian", "triangle", "bilinear", "delaunay", "polyharmonic"):
        kernel = InterpolatedKernel(positions, (5, 5), name)
        _fill(kernel, dtype)


def _fill_large_windows(dtype: np.dtype[Any]) -> None:
    """Go through splines whose matrix is too large to be formed."""
    positions = np.random.default_rng(0).uniform(0, 199, (56, 2))
    for order in _ORDERS:
        _fill(InterpolatedKernel(positions, (200, 200), Polyharmonic(order=order)), dtype)


def _fill(kernel: InterpolatedKernel, dtype: np.dtype[Any]) -> None:
    weights = np.zeros((1, 1, kernel.n_anchors), dtype)
    wrt = ("weights", *({"positions"} & set(kernel.interpolator.differentiable_by)))
    densify_backward(densify(weights, kernel), weights, kernel, wrt=wrt)
