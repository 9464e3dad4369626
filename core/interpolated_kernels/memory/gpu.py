"""Arrays on a GPU: numba's."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.memory.fillings import GpuFilling, find_gpu_filling
from interpolated_kernels.memory.matrices import HostRows, upload_rows
from interpolated_kernels.problem import Problem


class GpuMemory:
    """Numba's arrays on the GPU that a problem names."""

    kind = "cuda"

    def wait(self) -> None:
        """Return when all kernels are done."""
        cuda_loops.synchronize()

    def fill(self, n: int) -> Any:
        """Return n new values, float32, all written."""
        out = cuda_loops.empty((n,), np.float32)
        cuda_loops.fill(out, 1.0)
        return out

    @contextlib.contextmanager
    def use(self, device: str, explain: Callable[[], str] | None = None) -> Iterator[None]:
        """Hold a GPU as the current one; where it has no room, the error says what helps."""
        with cuda_loops.on_device(int(device.partition(":")[2])):
            try:
                yield
            except MemoryError as error:
                raise MemoryError(f"{error} {explain()}" if explain else str(error)) from error

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array whose values are not written yet."""
        return cuda_loops.empty(shape, dtype)

    def convert(self, array: Any, dtype: Any) -> Any:
        """Return an array in a dtype, itself where it has that."""
        if array.dtype == np.dtype(dtype):
            return array
        out = cuda_loops.empty((array.size,), dtype)
        cuda_loops.convert(array.reshape(array.size), out)
        return out.reshape(*array.shape)

    def copy_into(self, array: Any, out: Any) -> Any:
        """Copy an array into another of its shape, and return that."""
        cuda_loops.copy_into(array, out)
        return out

    def bring(self, array: FloatArray) -> Any:
        """Return a copy on the GPU."""
        return cuda_loops.upload(array)

    def fetch(self, array: Any) -> FloatArray:
        """Return a copy on the host."""
        found: FloatArray = cuda_loops.download(array)
        return found

    def sum_channels(self, x: Any, problem: Problem, dtype: Any) -> Any:
        """Return x with the channels of each group summed in order."""
        n, size = problem.n_summed, int(np.prod(problem.spatial))
        total = cuda_loops.empty((problem.batch * problem.groups, 1, size), dtype)
        every, _ = _tie_channels(n, np.dtype(dtype).name, cuda_loops.current_device())
        cuda_loops.multiply_along(every, x.reshape(problem.batch * problem.groups, n, size), total)
        return total.reshape(problem.batch, problem.groups, *problem.spatial)

    def spread_channels(self, grad_x: Any, problem: Problem) -> Any:
        """Return every channel of a group as the one that stands for them."""
        n, size = problem.n_summed, int(np.prod(problem.spatial))
        spread = cuda_loops.empty((problem.batch * problem.groups, n, size), grad_x.dtype)
        _, same = _tie_channels(n, grad_x.dtype.name, cuda_loops.current_device())
        cuda_loops.multiply_along(same, grad_x.reshape(problem.batch * problem.groups, 1, size), spread)
        return spread.reshape(problem.x_shape)

    def find_filling(self, kernel: InterpolatedKernel, path: str) -> GpuFilling:
        """Return the filling of a kernel."""
        return find_gpu_filling(kernel)


@functools.lru_cache(maxsize=64)
def _tie_channels(n: int, dtype: str, device: int) -> tuple[Any, Any]:
    """Return the matrices that sum n channels, and that repeat one n times, on a GPU."""
    every = upload_rows(HostRows(np.array([0, n]), np.arange(n, dtype=np.int32), np.ones(n)), dtype)
    return every, upload_rows(HostRows(np.arange(n + 1), np.zeros(n, np.int32), np.ones(n)), dtype)
