"""How many threads loops run on, the same for every calling thread, and what makes a launch safe.

numba's `workqueue` layer aborts the process when two Python threads launch at once, and a child that inherited the
`omp` layer is killed at its own first launch. So launches on `workqueue` take a lock, and such a child (see `forks`)
runs serial loops.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np

from interpolated_kernels import forks
from interpolated_kernels.loops.compile.numba_parts import get_thread_id

_LINE_BYTES = 64
_FENV_BYTES = 64
"""At least what the C library's `fenv_t` takes: 32 bytes on x86-64, 8 on ARM."""

_lock = threading.Lock()
_n_threads: int = numba.config.NUMBA_NUM_THREADS
_layer: str | None = None
_runs_both_forms = False


def get_num_threads() -> int:
    """Return the number of threads that loops run on."""
    return _n_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads that loops run on, for every calling thread alike.

    Raises
    ------
    TypeError, ValueError
        Unless `n` is an int from 1 to the number that numba started with (`NUMBA_NUM_THREADS`, by default the cores).
    """
    global _n_threads
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"`n` must be an int, got {n!r}.")
    if not 1 <= n <= numba.config.NUMBA_NUM_THREADS:
        raise ValueError(
            f"`n` must be from 1 to {numba.config.NUMBA_NUM_THREADS}, got {n}: "
            "set NUMBA_NUM_THREADS before the first import for more."
        )
    _n_threads = n


thread_id = (lambda: 0) if numba.config.DISABLE_JIT else get_thread_id


def max_threads() -> int:
    """Return the number of threads that numba started with: a loop's thread has a number below it."""
    return int(numba.config.NUMBA_NUM_THREADS)


def workspace(size: int, dtype: Any) -> Any:
    """Return a row of scratch memory for every thread; rows of threads that do not come are never touched.

    Every row begins at a cache line: NumPy's own memory begins within one, and each wide vector then lies in two.
    """
    values = _LINE_BYTES // np.dtype(dtype).itemsize
    whole, n_rows = -(-size // values) * values, max_threads()
    memory = np.empty(n_rows * whole + values, dtype)
    first = -memory.ctypes.data % _LINE_BYTES // memory.itemsize
    return memory[first : first + n_rows * whole].reshape(n_rows, whole)


def layer() -> str | None:
    """Return numba's threading layer, or None before the first parallel launch."""
    return _layer


def launch(parallel: Callable[..., Any], serial: Callable[..., Any], is_worth_it: bool, *arguments: Any) -> None:
    """Run a loop's parallel form where the work is worth a launch, else its serial one; both give the same bits."""
    global _layer
    if _runs_both_forms and not forks.has_lost_threads():
        serial(*arguments)
    elif not is_worth_it or _n_threads == 1 or forks.has_lost_threads():
        serial(*arguments)
        return
    with contextlib.nullcontext() if _layer in ("omp", "tbb") else _lock:
        _start_threads()
        numba.set_num_threads(_n_threads)
        parallel(*arguments)
        if _layer is None and not numba.config.DISABLE_JIT:
            _layer = numba.threading_layer()


@functools.cache
def _start_threads() -> None:
    """Start numba's threads so that they keep subnormal numbers, whichever thread comes first.

    A new thread takes over how its maker treats them, for good, and threads of TensorFlow and of XLA make them zeros.
    The C library's `fesetenv(FE_DFL_ENV)` is how a process begins, where `FE_DFL_ENV` is -1: on Linux.
    """
    if sys.platform != "linux":
        return
    library, before = ctypes.CDLL(None), ctypes.create_string_buffer(_FENV_BYTES)
    library.fegetenv(before)
    library.fesetenv(ctypes.c_void_p(-1))
    try:
        numba.set_num_threads(_n_threads)
    finally:
        library.fesetenv(before)


@contextlib.contextmanager
def run_both_forms() -> Iterator[None]:
    """Let every launch run a loop's serial form and then its parallel one, so that both are compiled.

    What loops add up comes out twice: results are to be thrown away.
    """
    global _runs_both_forms
    _runs_both_forms = True
    try:
        yield
    finally:
        _runs_both_forms = False


Task = TypeVar("Task")


def run_in_threads(
    function: Callable[[Task, int], None], tasks: Sequence[Task], splits: bool = True, is_worth_it: bool = True
) -> None:
    """Call `function(task, workers)` for NumPy's and SciPy's own work, on as many threads as loops run on.

    Where there are fewer tasks than threads they come one after another, with all threads as workers for each, if a
    task `splits`. What is not worth starting threads runs on the caller's alone.
    """
    workers = _n_threads if is_worth_it else 1
    if workers == 1 or (splits and len(tasks) < workers) or len(tasks) < 2:
        for task in tasks:
            function(task, workers)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(function, tasks, itertools.repeat(1)))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
