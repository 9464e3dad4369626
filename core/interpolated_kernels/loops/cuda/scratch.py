"""Memory that a computation needs for itself: taken from what earlier ones left, for the GPU's own allocator is slow.

What is taken within a `frame` goes back at its end, and serves whoever comes next on the same stream: kernels there run
one after another, so that nobody writes what is still read. Every thread has its own.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from interpolated_kernels.loops.cuda.compile import current_stream
from interpolated_kernels.loops.cuda.memory import RELEASES, current_device, empty


class _Scratch(threading.local):
    """Buffers by GPU, stream and dtype: the free ones, and those that each open frame has taken."""

    def __init__(self) -> None:
        self.free: dict[Any, list[Any]] = {}
        self.frames: list[list[tuple[Any, Any]]] = []


_SCRATCH = _Scratch()


@contextlib.contextmanager
def frame() -> Iterator[None]:
    """Give back at the end what `scratch` gave meanwhile."""
    _SCRATCH.frames.append([])
    try:
        yield
    finally:
        for key, buffer in _SCRATCH.frames.pop():
            _SCRATCH.free.setdefault(key, []).append(buffer)


def scratch(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an array whose values are not written yet, for the innermost frame.

    The smallest free buffer that is large enough; if none is, a new one takes the place of the largest.
    """
    n, dtype = math.prod(shape), np.dtype(dtype)
    stream = current_stream()
    key = (current_device(), getattr(getattr(stream, "handle", stream), "value", stream), dtype)
    free = sorted(_SCRATCH.free.get(key, []), key=len)
    found = next((buffer for buffer in free if len(buffer) >= n), None)
    if found is None:
        _SCRATCH.free[key] = free[:-1]
        del free
        found = empty((max(n, 1),), dtype)
    else:
        _SCRATCH.free[key] = [buffer for buffer in free if buffer is not found]
    _SCRATCH.frames[-1].append((key, found))
    return found[:n].reshape(shape)


def release() -> bool:
    """Give all free buffers of this thread back to the GPU; return whether there were any."""
    held = any(_SCRATCH.free.values())
    _SCRATCH.free.clear()
    return held


RELEASES.append(release)
