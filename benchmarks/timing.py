"""Seconds of what runs in this process, in turns, and the machine's own rates."""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

Run = Callable[[], Any]

_SETTLE = 0.1  # seconds until the idle threads of OpenBLAS and OpenMP, which spin at first, are asleep
_SHORT, _LONG = 2.0, 20.0
SGEMM_SIZE = 2048


def seconds_of(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved_medians(runs: Sequence[Run], repeat: int) -> list[float]:
    """Return the median time of each run over `repeat` rounds, in which they take turns; all must have run before.

    So a disturbance of the machine meets all of them. A short run counts when it follows itself: what another one left
    in the caches is not its own price, nor what a virtual machine lost in the meantime: memory that was free for a
    second goes back to the host, and 63 MB of it then cost 60 to 110 ms to touch, not 9. After a round that took long
    there is no other.
    """
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeat):
        for run, own in zip(runs, times, strict=True):
            time.sleep(_SETTLE)
            seconds = seconds_of(run)
            own.append(seconds_of(run) if seconds < _SHORT else seconds)
        if sum(own[-1] for own in times) > _LONG:
            break
    return [statistics.median(own) for own in times]


def sgemm_run(size: int = SGEMM_SIZE) -> Run:
    """Return a float32 matrix product of `2 size^3` flops, which has run once."""
    a = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    out = np.empty_like(a)
    np.matmul(a, a, out=out)
    return lambda: np.matmul(a, a, out=out)


def sgemm_flops(size: int = SGEMM_SIZE) -> float:
    return 2.0 * size**3


def copy_run(n_bytes: int, threads: int) -> Run:
    """Return a copy of so many bytes into memory that is already there, in equal parts on `threads` threads."""
    source, target = np.ones(n_bytes, np.uint8), np.zeros(n_bytes, np.uint8)
    parts = [slice(n_bytes * i // threads, n_bytes * (i + 1) // threads) for i in range(threads)]
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        list(pool.map(lambda part: np.copyto(target[part], source[part]), parts))

    run()
    return run


def has_blas_threads() -> bool:
    """Return whether the number of NumPy's own threads can be set."""
    return importlib.util.find_spec("threadpoolctl") is not None


@contextlib.contextmanager
def blas_threads(n: int) -> Iterator[None]:
    """Hold NumPy's matrix products to n threads."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=n, user_api="blas"):
        yield
