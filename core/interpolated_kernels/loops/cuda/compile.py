"""Where CUDA comes from, the one decorator of its kernels, and how they are launched.

No other file imports it: whoever takes the place of numba-cuda is swapped in here. The simulator, which numba switches
on by `NUMBA_ENABLE_CUDASIM=1`, runs the same kernels in Python, a thread after another: it gets small blocks.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from numba import cuda
from numba.core import config
from numba.cuda.cudadrv import devicearray, driver, nvvm

__all__ = [
    "ALIGNMENT", "HIGH", "SIMULATES", "THREADS", "WIDE", "check_ready", "count_blocks", "cuda", "current_stream",
    "devicearray", "driver", "jit", "launch", "on_stream",
]  # fmt: skip

SIMULATES = bool(config.ENABLE_CUDASIM)

THREADS = 4 if SIMULATES else 128
"""Threads of a block whose threads are in a row."""

WIDE, HIGH = (2, 2) if SIMULATES else (32, 4)
"""Threads of a block that has rows."""

ALIGNMENT = None if SIMULATES else 16
"""Of shared memory whose values are loaded four at once; the simulator knows none."""

_MOST_BLOCKS = (2**31 - 1, 65535, 65535)

_STREAM: contextvars.ContextVar[Any] = contextvars.ContextVar("interpolated_kernels_cuda_stream", default=0)


def jit(function: Callable[..., Any] | None = None, *, inner: bool = False) -> Any:
    """Compile a kernel at its first launch. Fused multiply-add is welcome, as on the CPU; NaN and infinity are kept.

    An `inner` function becomes a part of the kernels that call it.
    """
    if function is None:
        return functools.partial(jit, inner=inner)
    return cuda.jit(function, device=True, inline="always") if inner else cuda.jit(function)


@functools.cache
def check_ready() -> None:
    """Raise unless kernels can be compiled and launched.

    Raises
    ------
    ImportError
        Without numba-cuda: numba's own CUDA has been given up.
    RuntimeError
        Without a driver, or without CUDA's compiler.
    """
    if SIMULATES:
        return
    if importlib.util.find_spec("numba_cuda") is None:
        raise ImportError("Arrays on a GPU need numba-cuda: `pip install 'interpolated-kernels[cuda]'`.")
    if not cuda.is_available():
        raise RuntimeError(f"No GPU can be used: {' '.join(str(cuda.cuda_error() or 'there is none').split())}")
    try:
        nvvm.NVVM()
    except Exception as error:  # every release has an error of its own for it
        raise RuntimeError(
            "CUDA's compiler is missing, libNVVM: `pip install 'numba-cuda[cu13]'`, or `[cu12]` for CUDA 12's driver."
        ) from error


def launch(kernel: Any, blocks: Sequence[int], *arguments: Any, threads: Sequence[int] = (THREADS,)) -> None:
    """Launch a kernel on the current stream; a grid that is larger than CUDA allows is cut: kernels loop on."""
    if 0 in blocks:
        return
    grid = tuple(min(n, most) for n, most in zip(blocks, _MOST_BLOCKS, strict=False))
    kernel[grid, tuple(threads), _STREAM.get()](*arguments)


def count_blocks(n: int, size: int) -> int:
    """Return how many blocks of a size hold n."""
    return -(-n // size)


@contextlib.contextmanager
def on_stream(pointer: int) -> Iterator[None]:
    """Launch on the stream that a framework's pointer names; 0 is CUDA's own default one."""
    token = _STREAM.set(cuda.external_stream(pointer) if pointer else 0)
    try:
        yield
    finally:
        _STREAM.reset(token)


def current_stream() -> Any:
    """Return the stream that kernels are launched on, as copies take it."""
    return _STREAM.get()
