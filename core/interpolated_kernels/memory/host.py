"""Arrays on the host: NumPy's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import Filling, find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import Problem

_NOTHING = contextlib.nullcontext()


class HostMemory:
    """NumPy arrays."""

    kind = "cpu"

    def wait(self) -> None:
        """Return: nothing is begun here that is not done."""

    def fill(self, n: int) -> FloatArray:
        """Return n new values, float32, all written."""
        return np.full(n, 1.0, np.float32)

    def use(self, device: str, explain: Callable[[], str] | None = None) -> contextlib.AbstractContextManager[Any]:
        """Hold nothing: there is one host."""
        return _NOTHING

    def empty(self, shape: tuple[int, ...], dtype: Any) -> FloatArray:
        """Return an array whose values are not written yet."""
        return np.empty(shape, dtype)

    def convert(self, array: FloatArray, dtype: Any) -> FloatArray:
        """Return an array in a dtype."""
        return array.astype(dtype, copy=False)

    def copy_into(self, array: FloatArray, out: FloatArray) -> FloatArray:
        """Copy an array into another of its shape, and return that."""
        out[...] = array
        return out

    def bring(self, array: FloatArray) -> FloatArray:
        """Return the array itself."""
        return array

    def fetch(self, array: FloatArray) -> FloatArray:
        """Return the array itself."""
        return array

    def sum_channels(self, x: FloatArray, problem: Problem, dtype: Any) -> FloatArray:
        """Return x with the channels of each group summed in order."""
        by_group = x.reshape(problem.batch, problem.groups, problem.n_summed, *problem.spatial)
        total = by_group[:, :, 0].astype(dtype)
        for channel in range(1, by_group.shape[2]):
            total += by_group[:, :, channel]
        return total

    def spread_channels(self, grad_x: FloatArray, problem: Problem) -> FloatArray:
        """Return every channel of a group as the one that stands for them."""
        return np.repeat(grad_x, problem.n_summed, axis=1)

    def find_filling(self, kernel: InterpolatedKernel, path: str) -> Filling:
        """Return the filling of a path's kernels."""
        return find_filling(kernel, path)
