"""The running machine: threads, compiled loops, versions. Numba is loaded at first use."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import numpy as np

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import loops
from interpolated_kernels.machine import current_machine


def get_num_threads() -> int:
    """Return the number of threads that loops run on."""
    return loops.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads that loops run on, for every calling thread alike; results keep their bits.

    Raises
    ------
    TypeError, ValueError
        Unless `n` is an int from 1 to the number that numba started with (`NUMBA_NUM_THREADS`, by default the cores).
    """
    loops.set_num_threads(n)


def warmup(dtypes: tuple[str, ...] = ("float32", "float64")) -> None:
    """Compile, or load from the cache, the loops of every path for these dtypes; a cold cache takes some minutes."""
    kernel = InterpolatedKernel(grid_positions((3, 3), 2), (3, 3), "linear")
    for dtype in dtypes:
        x, weights = np.zeros((1, 1, 500, 500), dtype), np.zeros((12, 1, kernel.n_anchors), dtype)
        for path in ("direct", "lattice", "fourier"):
            for size in (30, 500):  # serial and parallel loops
                image = np.ascontiguousarray(x[..., :size, :size])
                y = conv(image, weights, kernel, path=path, accuracy="normwise", padding="same")
                conv_backward(y, image, weights, kernel, path=path, accuracy="normwise", padding="same")


def info() -> dict[str, Any]:
    """Return versions, threads, the cache folder, the cost model's constants and the GPU, for bug reports."""
    from interpolated_kernels import __version__, loops  # the package imports this file first; numba comes with use

    return {
        "interpolated_kernels": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        **{name: metadata.version(name) for name in ("numpy", "scipy", "numba")},
        "threads": loops.get_num_threads(),
        "threading_layer": loops.layer() or "not launched yet",
        "cache_folder": loops.cache_folder(),
        "cost_model": current_machine().name,
        "gpu": None,
    }
