"""Tensor products: one small matrix an axis, applied axis by axis."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling.axes import apply_along, transpose_along
from interpolated_kernels.filling.base import Filling
from interpolated_kernels.kernel import InterpolatedKernel


class TensorFilling(Filling):
    """`A` is the Kronecker product of the axes' matrices, with its columns in the anchors' own order."""

    name = "tensor"

    @classmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Serve tensor products on shared positions."""
        return kernel.structure.separable

    @property
    def nbytes(self) -> int:
        """The axes' matrices."""
        return sum(axis.entries.nbytes for axis in self.kernel.factors().axes)

    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return the sum over axes of lines times the matrix' entries, anchors giving way to cells axis by axis."""
        factors, window, work = self.kernel.factors(), self.kernel.window, 0.0
        for axis, columns in enumerate(factors.axes):
            lines = float(np.prod(window[:axis], dtype=np.float64) * np.prod(factors.grid_shape[axis + 1 :]))
            work += lines * columns.entries.n_entries
        return work

    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells, the first axis first."""
        factors = self.kernel.factors()
        dense = rows[..., factors.order].reshape(rows.shape[0] * rows.shape[1], *factors.grid_shape)
        for axis, columns in enumerate(factors.axes):
            dense = apply_along(columns.entries, dense, axis + 1)
        return np.ascontiguousarray(dense).reshape(*rows.shape[:2], int(np.prod(self.kernel.window)))

    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose, the first axis first."""
        factors = self.kernel.factors()
        by_node = cells.reshape(cells.shape[0] * cells.shape[1], *self.kernel.window)
        for axis, columns in enumerate(factors.axes):
            by_node = transpose_along(columns.entries, by_node, axis + 1)
        grad = np.empty((*cells.shape[:2], self.kernel.n_anchors))
        grad[..., factors.order] = by_node.reshape(*cells.shape[:2], self.kernel.n_anchors)
        return grad

    def sum_columns(self) -> FloatArray:
        """Return the axes' own sums, multiplied."""
        factors = self.kernel.factors()
        by_node = functools.reduce(np.multiply.outer, [np.abs(axis.matrix).sum(axis=0) for axis in factors.axes])
        sums = np.empty((1, self.kernel.n_anchors))
        sums[0, factors.order] = by_node.ravel()
        return sums

    def gain(self) -> float:
        """Return the axes' own gains, multiplied."""
        means = [float(np.square(axis.matrix).sum()) / axis.entries.shape[0] for axis in self.kernel.factors().axes]
        return float(np.prod(means))
