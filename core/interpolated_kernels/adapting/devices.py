"""The GPU that a framework's arrays live on: whether the core's loops can run there, and on which stream they do."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from interpolated_kernels.lazy import cuda_loops


@functools.cache
def why_not_cuda() -> str | None:
    """Return why the core's CUDA loops cannot run on a framework's arrays, with what to install; None where they can.

    It is found out once a process: a driver does not come and go.
    """
    try:
        if cuda_loops.SIMULATES:
            return "numba simulates CUDA (NUMBA_ENABLE_CUDASIM), in its own arrays alone"
        cuda_loops.check_ready()
    except (ImportError, RuntimeError) as error:
        return str(error).removesuffix(".")
    return None


@contextlib.contextmanager
def on_stream(pointer: int, device: int) -> Iterator[None]:
    """Run the core's CUDA loops on a GPU, by its number, and on the stream there that a framework's pointer names.

    The pointer 0 is CUDA's default stream. What the core returns may not be done yet: it is in the stream's order.

    Raises
    ------
    ImportError, RuntimeError
        Where the loops cannot run, with what to install.
    """
    cuda_loops.check_ready()
    with cuda_loops.on_device(device), cuda_loops.on_stream(pointer):
        yield
