"""Any kernel: `A` itself, kept, or its rows made anew block by block where it would be large."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling.base import Filling
from interpolated_kernels.interpolation.base import window_cells
from interpolated_kernels.interpolation.local import blocks_of_cells
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import loops

BYTES_OF_MATRIX = 64 * 2**20
"""An `A` of more bytes, all position sets together, is not kept where its rows can be had alone."""

_WORK_OF_ENTRY = 20.0
"""What making an entry takes, in multiply-adds."""


def count_matrix_bytes(kernel: InterpolatedKernel) -> int:
    """Return the bytes of the whole `A` of all position sets."""
    return 8 * len(kernel.position_sets) * int(np.prod(kernel.window)) * kernel.n_anchors


class MatrixFilling(Filling):
    """`A` as a matrix, in blocks of rows: one block of all rows where it is kept."""

    name = "matrix"

    @classmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Serve every kernel."""
        return True

    @property
    def keeps(self) -> bool:
        """Whether `A` is kept: it is small, or the interpolator gives it as a whole alone."""
        return not self.kernel.interpolator.gives_rows or count_matrix_bytes(self.kernel) <= BYTES_OF_MATRIX

    @property
    def nbytes(self) -> int:
        """`A`, where it is kept."""
        return count_matrix_bytes(self.kernel) if self.keeps else 0

    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return one an entry of `A`, and what making it takes where it is not kept."""
        entries = float(np.prod(self.kernel.window)) * self.kernel.n_anchors
        return entries if self.keeps else entries * (1 + _WORK_OF_ENTRY)

    def blocks(self, index: int) -> Iterator[tuple[slice, FloatArray]]:
        """Yield runs of cells and their rows of a position set's `A`, `(cells of the run, n)`."""
        kernel, n_cells = self.kernel, int(np.prod(self.kernel.window))
        if self.keeps:
            yield slice(0, n_cells), kernel.matrices[index]
            return
        rows, cells = self.make_row_function(index), window_cells(kernel.window)
        for block in blocks_of_cells(n_cells, kernel.n_anchors):
            yield block, np.ascontiguousarray(rows(cells[block]))

    def make_row_function(self, index: int) -> Callable[[FloatArray], FloatArray]:
        """Return the function from cells to their rows of a position set's `A`."""
        kernel, widths = self.kernel, self.kernel.width_sets
        rows = kernel.interpolator.make_row_function(
            kernel.position_sets[index], kernel.window, None if widths is None else widths[index]
        )
        if rows is None:
            raise NotImplementedError(f"{type(kernel.interpolator).__name__}.make_row_function returned None.")
        return rows

    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells, block by block."""
        cells = np.empty((*rows.shape[:2], int(np.prod(self.kernel.window))))
        for index, weights in enumerate(rows):
            for block, matrix in self.blocks(index):
                cells[index, :, block] = loops.dot(weights, matrix)
        return cells

    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose, blocks added in order."""
        grad = np.zeros((*cells.shape[:2], self.kernel.n_anchors))
        for index, grad_cells in enumerate(cells):
            for block, matrix in self.blocks(index):
                grad[index] += loops.mix(np.ascontiguousarray(grad_cells[:, block]), matrix)
        return grad

    def sum_columns(self) -> FloatArray:
        """Return the sums of the rows' absolute values, blocks added in order."""
        sums = np.zeros((len(self.kernel.position_sets), self.kernel.n_anchors))
        for index, total in enumerate(sums):
            for _, matrix in self.blocks(index):
                total += np.abs(matrix).sum(axis=0)
        return sums

    def gain(self) -> float:
        """Return the mean of the rows' sums of squares."""
        sums = [
            np.square(matrix).sum()
            for index in range(len(self.kernel.position_sets))
            for _, matrix in self.blocks(index)
        ]
        return float(np.sum(sums)) / (len(self.kernel.position_sets) * int(np.prod(self.kernel.window)))
