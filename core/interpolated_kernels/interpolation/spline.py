"""What splines share as interpolators: rows of `A` and gradients by a system that is factorised once."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, squared_distances, window_cells
from interpolated_kernels.interpolation.local import blocks_of_cells
from interpolated_kernels.interpolation.spline_system import SplineSystem

_ROUNDING = 2.0**-53
_CONDITION_LIMIT = 1e-4


class SplineInterpolator(Interpolator):
    """An interpolator whose matrix solves a `SplineSystem`; a subclass says which, in `system`."""

    distinct: ClassVar[bool] = True
    is_spline: ClassVar[bool] = True
    differentiable_by: ClassVar[tuple[str, ...]] = ("positions",)
    remedy: ClassVar[str] = "Move them apart."

    def system(self, positions: FloatArray) -> SplineSystem:
        """Return the equations for `(n, d)` positions."""
        raise NotImplementedError(f"{type(self).__name__} must define `system(positions)`.")

    def solved_system(self, positions: FloatArray) -> SplineSystem:
        """Return the equations, factorised.

        Raises
        ------
        AnchorError
            If the condition estimate of the equilibrated system times 2^-53 is above 1e-4.
        """
        system = self.system(positions)
        self._check_condition(system.factors.condition, positions)
        return system

    def make_row_function(
        self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> Callable[[FloatArray], FloatArray]:
        """Return the function to the spline of every unit weight at some cells; raises as `matrix` does."""
        return self.bind_rows(self.solved_system(positions))

    def bind_rows(self, system: SplineSystem) -> Callable[[FloatArray], FloatArray]:
        """Return the same for equations that are factorised."""

        def rows(cells: FloatArray) -> FloatArray:
            found = system.rows(cells)
            if not np.isfinite(found).all():
                self._check_condition(np.inf, system.positions)
            return found

        return rows

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`: the spline of every unit weight, at every cell.

        Raises
        ------
        AnchorError
            If the condition estimate of the equilibrated system times 2^-53 is above 1e-4.
        """
        rows, cells = self.make_row_function(positions, window, widths), window_cells(window)
        # In blocks, as fillings do: how LAPACK rounds a solution may depend on those beside it.
        return np.concatenate([rows(cells[block]) for block in blocks_of_cells(len(cells), len(positions))])

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradient by positions, by the adjoint of the linear solve; None for widths.

        It is finite everywhere. Where an anchor stands on a cell, or on another anchor, a radial function with a kink
        there (`r`) counts as flat: the mean of its one-sided derivatives.

        Raises
        ------
        AnchorError
            As `matrix` does.
        """
        return self.kernels_vjp(grad_matrix.T, np.eye(len(positions)), positions, window, widths)

    def kernels_vjp(
        self,
        grad_kernels: FloatArray,
        weights: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the same for kernels of some weights, block by block of cells."""
        return self.solved_system(positions).vjp(grad_kernels, weights, window_cells(window)), None

    def condition(self, positions: FloatArray, window: tuple[int, ...]) -> float:
        """Return the condition estimate of the equilibrated system, in the 1-norm; infinity where it is singular."""
        return self.system(positions).factors.condition

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the whole window where rows of `A` sum to one; without a polynomial a row may be zero."""
        return np.ones(window, dtype=bool) if self.constants else None

    def _check_condition(self, condition: float, positions: FloatArray) -> None:
        if not condition * _ROUNDING <= _CONDITION_LIMIT:
            nearest = f"; the nearest pair is {name_anchors(_nearest_pair(positions))}" if len(positions) > 1 else ""
            raise AnchorError(
                f"`positions` are too ill-conditioned for {self}: condition {condition:.1e}{nearest}. {self.remedy}"
            )


def _nearest_pair(positions: FloatArray) -> tuple[int, int]:
    distances = np.minimum(squared_distances(positions, positions), np.finfo(np.float64).max)
    np.fill_diagonal(distances, np.inf)
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    return int(first), int(second)
