"""What a plan needs of arrays, wherever they live."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import AnyFilling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import Problem


class Memory(Protocol):
    """Arrays of one kind of place, C-contiguous."""

    kind: str
    """ "cpu" or "cuda"."""

    def wait(self) -> None:
        """Return when all that was begun is done."""

    def fill(self, n: int) -> Any:
        """Return n new values, float32, all written."""

    def use(self, device: str, explain: Callable[[], str] | None = None) -> AbstractContextManager[Any]:
        """Hold a device of that kind as the current one; `explain` says what helps where it has no room."""

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an array whose values are not written yet."""

    def convert(self, array: Any, dtype: Any) -> Any:
        """Return an array in a dtype, itself where it has that."""

    def copy_into(self, array: Any, out: Any) -> Any:
        """Copy an array into another of its shape, and return that."""

    def bring(self, array: FloatArray) -> Any:
        """Return an array of the host's where this memory is."""

    def fetch(self, array: Any) -> FloatArray:
        """Return an array of this memory on the host."""

    def sum_channels(self, x: Any, problem: Problem, dtype: Any) -> Any:
        """Return x with the channels of each group summed in order, in a dtype."""

    def spread_channels(self, grad_x: Any, problem: Problem) -> Any:
        """Return the transpose of `sum_channels`."""

    def find_filling(self, kernel: InterpolatedKernel, path: str) -> AnyFilling:
        """Return the filling of a path's kernels."""
