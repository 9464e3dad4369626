"""Cones: every anchor reaches a diamond around it, and cells that several anchors reach take their mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, window_cells
from interpolated_kernels.interpolation.elementwise import NUMPY, Functions
from interpolated_kernels.interpolation.local import blocks_of_cells
from interpolated_kernels.interpolation.parameters import flag, number

SMALLEST_COUNT = 1e-6


@dataclass(frozen=True)
class Cone(Interpolator):
    """Every anchor is a cone over the L1 distance: `max(0, 1 - distance / radius)`, on a window from -1 to 1.

    Along an axis a cell's coordinate is `2 * cell / (window - 1) - 1`, or 0 on an axis of one cell; a position's
    likewise.

    Parameters
    ----------
    radius : float, default 0.2
        Of every cone, in these coordinates; the kernel's `widths`, one an anchor, take its place.
    normalized : bool, default True
        Each cell is divided by (the number of anchors whose cone is not zero there + 1e-6).

    Notes
    -----
    Differentiable by positions and widths, the count being held; at a kink, at a cone's tip along an axis or on its
    edge, the derivative is 0, as that of `abs` and `max(0, .)` in the frameworks.

    Source: Kim and Park, "SMPConv: Self-moving Point Representations for Continuous Convolution", 2023, equations 3
    and 4, and its published code.

    Raises
    ------
    TypeError, ValueError
        For an option of another type, or a radius that is not positive and finite.
    """

    radius: float = number(0.2, is_positive=True)
    normalized: bool = flag(True)

    differentiable_by: ClassVar[tuple[str, ...]] = ("positions", "widths")
    width_axes: ClassVar[int | None] = 0

    def check_widths(self, widths: FloatArray) -> None:
        """Raise unless every radius is positive."""
        bad = np.flatnonzero((widths <= 0).reshape(-1, widths.shape[-1]).any(axis=0))
        if bad.size:
            raise AnchorError(f"`widths` must be positive for `cone`, whose radii they are: see {name_anchors(bad)}.")

    def profile(self, functions: Functions, distances: Any, radii: Any) -> Any:
        """Return the cones at L1 distances, before any division."""
        return functions.relu(1.0 - distances / radii)

    def make_row_function(
        self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> Callable[[FloatArray], FloatArray]:
        """Return the function to the cones at some cells, divided by how many meet there."""

        def rows(cells: FloatArray) -> FloatArray:
            values, counts, *_ = self._cones(cells, positions, window, widths)
            return values / counts

        return rows

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return the cones, divided by how many meet at a cell."""
        return self.make_row_function(positions, window, widths)(window_cells(window))

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and by radii."""
        return self._gradients(grad_matrix, window_cells(window), positions, window, widths)

    def kernels_vjp(
        self,
        grad_kernels: FloatArray,
        weights: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the same, block by block of cells."""
        cells, by_position, by_width = window_cells(window), np.zeros_like(positions), np.zeros(len(positions))
        for block in blocks_of_cells(len(cells), len(positions)):
            grads = self._gradients(grad_kernels[:, block].T @ weights, cells[block], positions, window, widths)
            by_position += grads[0]
            by_width += grads[1]
        return by_position, by_width

    def _gradients(
        self,
        grad_rows: FloatArray,
        cells: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray]:
        values, counts, distances, radii = self._cones(cells, positions, window, widths)
        grad = np.where(values > 0, grad_rows / counts, 0.0)
        grad_positions = np.empty_like(positions)
        for axis, (offsets, scale) in enumerate(_offsets(cells, positions, window)):
            grad_positions[:, axis] = (grad * np.sign(offsets)).sum(axis=0) * scale / radii
        return grad_positions, (grad * distances).sum(axis=0) / radii**2

    def _cones(
        self, cells: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the cones `(cells, n)`, what each cell is divided by, the distances, and the radii `(n,)`."""
        radii = np.full(len(positions), self.radius) if widths is None else widths
        distances = np.sum([np.abs(offsets) for offsets, _ in _offsets(cells, positions, window)], axis=0)
        values = self.profile(NUMPY, distances, radii)
        if not self.normalized:
            return values, np.ones((1, 1)), distances, radii
        return values, (values > 0).sum(axis=1, keepdims=True) + SMALLEST_COUNT, distances, radii


def _offsets(cells: FloatArray, positions: FloatArray, window: tuple[int, ...]) -> list[tuple[FloatArray, float]]:
    """Return for every axis the `(cells, n)` offsets in the cone's coordinates, and their scale to cells."""
    scales = [2.0 / (count - 1) if count > 1 else 0.0 for count in window]
    return [
        (np.subtract.outer(along, centres) * scale, scale)
        for along, centres, scale in zip(cells.T, positions.T, scales, strict=True)
    ]
