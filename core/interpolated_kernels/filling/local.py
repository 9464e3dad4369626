"""Kernels of few anchors a cell: the entries of `A`'s rows."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling.base import Filling
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.kernel import InterpolatedKernel


class LocalFilling(Filling):
    """`A` by the entries of its rows, one table a position set: `dilated`, `voronoi`, `delaunay`."""

    name = "local"

    @classmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Serve interpolators that know the few entries of their rows."""
        return kernel.interpolator.gives_entries

    @functools.cached_property
    def matrices(self) -> list[LocalMatrix]:
        """One a position set."""
        kernel, widths = self.kernel, self.kernel.width_sets
        found = [
            kernel.interpolator.local_matrix(positions, kernel.window, None if widths is None else widths[index])
            for index, positions in enumerate(kernel.position_sets)
        ]
        return [matrix for matrix in found if matrix is not None]

    @property
    def nbytes(self) -> int:
        """Both tables of every set, for the most entries that a row of three axes has."""
        if "matrices" in self.__dict__:
            return sum(sum(table.nbytes for table in matrix.tables) for matrix in self.matrices)
        return 12 * len(self.kernel.position_sets) * int(np.prod(self.kernel.window)) * (len(self.kernel.window) + 1)

    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return a corner's share each."""
        return float(np.prod(self.kernel.window)) * (len(self.kernel.window) + 1)

    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells."""
        pairs = zip(rows, self.matrices, strict=True)
        return np.stack([matrix.apply(weights) for weights, matrix in pairs])

    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose."""
        pairs = zip(cells, self.matrices, strict=True)
        return np.stack([matrix.transpose(grad) for grad, matrix in pairs])

    def sum_columns(self) -> FloatArray:
        """Return the transpose of a window of ones, for the entries' absolute values."""
        return np.stack(
            [
                np.bincount(matrix.columns.ravel(), np.abs(matrix.values).ravel(), self.kernel.n_anchors)
                for matrix in self.matrices
            ]
        )

    def gain(self) -> float:
        """Return the mean of the rows' sums of squares."""
        return float(np.mean([np.square(matrix.values).sum() / len(matrix.values) for matrix in self.matrices]))
