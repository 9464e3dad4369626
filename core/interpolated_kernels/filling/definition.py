"""`A` by its definition, in plain NumPy: the filling of the reference, and the oracle of all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling.matrix import MatrixFilling


class Definition(MatrixFilling):
    """`dense[cell] = sum_a A[cell, a] weights[a]`, `A` being `kernel.matrix`, which is always formed."""

    name = "definition"

    @property
    def keeps(self) -> bool:
        """`A` is kept."""
        return True

    def apply(self, bank: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """Return the dense kernels `(filters, channels, *spatial_window)`; cells out of reach are 0."""
        kernel, matrices = self.kernel, self._matrices(dtype)
        with np.errstate(invalid="ignore"):
            dense = np.einsum("fcka,fca->fck", *_broadcast(matrices, bank.astype(dtype)))
        dense = np.where(matrices.any(axis=-1), dense, 0).reshape(*dense.shape[:2], *kernel.window)
        return np.moveaxis(dense[:, 0], -1, 1) if kernel.interpolates_channels else dense

    def transpose(self, grad_dense: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)`, computed in the gradient's dtype."""
        if self.kernel.interpolates_channels:
            grad_dense = np.moveaxis(grad_dense, 1, -1)[:, None]
        cells = grad_dense.reshape(*grad_dense.shape[:2], -1)
        return np.einsum("fcka,fck->fca", *_broadcast(self._matrices(cells.dtype), cells))

    def _matrices(self, dtype: Any) -> FloatArray:
        """Return `A` as `(1 or filters, 1 or channels, cells, n)`."""
        matrix = self.kernel.matrix.astype(dtype, copy=False)
        return matrix[None, None] if matrix.ndim == 2 else (matrix[:, None] if matrix.ndim == 3 else matrix)


def _broadcast(matrices: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    lead = np.broadcast_shapes(matrices.shape[:2], values.shape[:2])
    return np.broadcast_to(matrices, (*lead, *matrices.shape[2:])), np.broadcast_to(values, (*lead, *values.shape[2:]))
