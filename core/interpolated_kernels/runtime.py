"""The running machine: threads, compiled loops, versions. Numba is loaded at first use."""

from __future__ import annotations

import importlib.util
import platform
import sys
from importlib import metadata
from typing import Any

from interpolated_kernels import forks
from interpolated_kernels.lazy import cuda_loops, loops
from interpolated_kernels.machine import current_machine
from interpolated_kernels.tile_sizes import VECTOR_BYTES


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


def info() -> dict[str, Any]:
    """Return versions, the width of vectors, threads, cache folder, cost model and GPU, for bug reports."""
    from interpolated_kernels import __version__  # the package imports this file first

    return {
        "interpolated_kernels": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        **{name: metadata.version(name) for name in ("numpy", "scipy", "numba")},
        "vector_bytes": VECTOR_BYTES,
        "threads": loops.get_num_threads(),
        "threading_layer": _describe_layer(),
        "cache_folder": loops.cache_folder(),
        "cost_model": current_machine().name,
        "gpu": _describe_gpu(),
    }


def _describe_gpu() -> str | None:
    """Return the current GPU's name and numba-cuda's version, or why there is none; None without numba-cuda."""
    if importlib.util.find_spec("numba_cuda") is None:
        return None
    version = f"numba-cuda {metadata.version('numba-cuda')}"
    try:
        return f"{cuda_loops.device_name()}, {version}"
    except (ImportError, RuntimeError) as error:
        return f"{version}: {error}"


def _describe_layer() -> str:
    """Return numba's threading layer, as this process has it."""
    if forks.has_lost_threads():
        return f"{loops.layer() or forks.started_layer()}, without its threads since a fork: loops run on one thread"
    return loops.layer() or "not launched yet"
