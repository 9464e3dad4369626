"""Splines whose `A` would be large: a factorised system, its functions evaluated block by block.

A kernel is `F c`, `F` the radial functions and monomials at the cells `(cells, n + m)` and `S c = [w; 0]`: a solve for
each kernel, and one pass over `F`, which is never held. That is as good as `A w` but where large terms cancel: `F c`
loses what its terms exceed their sum by, and `A w` may be small beside far weights, whose share of a cell is small.

So each pass also sums absolute values. A cell whose rounding errors could exceed what the results' dtype allows, half a
unit for every anchor, is computed anew from its row of `A`; in float64 all cells are. Backward likewise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.filling.matrix import MatrixFilling, count_matrix_bytes
from interpolated_kernels.interpolation.base import window_cells
from interpolated_kernels.interpolation.local import blocks_of_cells
from interpolated_kernels.interpolation.spline import SplineInterpolator
from interpolated_kernels.interpolation.spline_system import SplineSystem
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import loops

BYTES_OF_SOLVED = 16 * 2**20
"""An `A` of more bytes is not formed."""

_ROUNDING = 2.0**-53
_SAFETY = 8.0
_WORK_OF_FUNCTION = 8.0


class SolvedFilling(MatrixFilling):
    """`A = F S^-1`, by the factors of S; its rows where digits cancel."""

    name = "solved"

    @classmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Serve large splines."""
        return kernel.interpolator.is_spline and count_matrix_bytes(kernel) > BYTES_OF_SOLVED

    @property
    def keeps(self) -> bool:
        """`A` is never kept."""
        return False

    @property
    def nbytes(self) -> int:
        """The factors of every set's system."""
        n = self.kernel.n_anchors + 1 + len(self.kernel.window)
        return 8 * len(self.kernel.position_sets) * n * n

    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return the functions' evaluation; in float64 the rows', by a solve that BLAS makes ten times as fast."""
        entries, n = float(np.prod(self.kernel.window)) * self.kernel.n_anchors, self.kernel.n_anchors
        return entries * (_WORK_OF_FUNCTION + (n / 10.0 if dtype == np.float64 else 2.0))

    @functools.cached_property
    def systems(self) -> list[SplineSystem]:
        """The factorised equations of every set."""
        return [self._spline.solved_system(positions) for positions in self.kernel.position_sets]

    @property
    def _spline(self) -> SplineInterpolator:
        return cast(SplineInterpolator, self.kernel.interpolator)  # `serves` takes no other

    def make_row_function(self, index: int) -> Callable[[FloatArray], FloatArray]:
        """Return the function from cells to their rows of a position set's `A`, by the factors that are kept."""
        return self._spline.bind_rows(self.systems[index])

    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells: in one pass over the functions, and from rows of `A` where that loses digits."""
        if dtype == np.float64:
            return super().fill(rows, dtype)
        filled = [self._fill_set(index, weights, float(np.finfo(dtype).eps) / 2) for index, weights in enumerate(rows)]
        return np.stack(filled)

    def _fill_set(self, index: int, rows: FloatArray, unit: float) -> FloatArray:
        system, cells = self.systems[index], window_cells(self.kernel.window)
        filled, sizes = system.fill(system.coefficients(rows), cells)
        allowed, make_rows = unit * self.kernel.n_anchors / 2, self.make_row_function(index)
        lost = np.asarray(~(_errors(system, sizes) <= allowed * np.abs(filled)).all(axis=0))  # NaN is lost too
        for block in blocks_of_cells(len(cells), self.kernel.n_anchors):
            if lost[block].any():  # whole blocks, those of `kernel.matrix`: their rows have its very bits
                filled[:, block] = loops.dot(rows, make_rows(cells[block]))
        return filled

    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose, `S^-1 F^T g`; by rows of `A` where that loses digits."""
        if dtype == np.float64:
            return super().gather(cells, dtype)
        grads = [self._gather_set(index, grad, float(np.finfo(dtype).eps) / 2) for index, grad in enumerate(cells)]
        if any(grad is None for grad in grads):
            return super().gather(cells, dtype)
        return np.stack([grad for grad in grads if grad is not None])

    def _gather_set(self, index: int, grad_cells: FloatArray, unit: float) -> FloatArray | None:
        system, cells = self.systems[index], window_cells(self.kernel.window)
        pulled, sizes = system.gather(grad_cells, cells)
        signs = np.where(np.arange(system.n_unknowns) % 2, 1.0, -1.0)
        grad, spread = np.split(system.solve(np.concatenate([pulled, signs * sizes])), 2)
        allowed, errors = unit * self.kernel.n_anchors / 2, _errors(system, np.abs(spread))
        lost = np.flatnonzero(~(errors <= allowed * np.abs(grad)).all(axis=0))
        if lost.size and not (errors <= allowed * self._absolute_sums(system, grad_cells, lost)).all():
            return None
        return np.ascontiguousarray(grad)

    def _absolute_sums(self, system: SplineSystem, grad_cells: FloatArray, anchors: IntArray) -> FloatArray:
        """Return `abs(A)^T abs(g)` for some anchors, `(kernels, anchors)`."""
        cells, sums = window_cells(self.kernel.window), np.zeros((len(grad_cells), len(anchors)))
        columns = system.coefficients(np.eye(self.kernel.n_anchors)[anchors])
        for block in blocks_of_cells(len(cells), system.n_unknowns):
            shares, _ = system.fill(columns, cells[block])
            sums += np.abs(grad_cells[:, block]) @ np.abs(shares).T
        return sums


def _errors(system: SplineSystem, sizes: FloatArray) -> FloatArray:
    """Return what rounding may come to, a kernel each, where its sums of absolute values have these sizes."""
    largest = sizes.max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(_SAFETY * np.sqrt(system.n_unknowns) * _ROUNDING * largest)
