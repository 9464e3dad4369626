"""Averages of scattered anchors: of the nearest one, and of all by their distance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.interpolation.base import Interpolator, squared_distances, window_cells
from interpolated_kernels.interpolation.local import LocalMatrix, blocks_of_cells
from interpolated_kernels.interpolation.parameters import number
from interpolated_kernels.lazy import load

_NEIGHBOURS = 8
_NEARLY_EQUAL = 1.0 + 1e-9


def nearest_anchors(cells: FloatArray, positions: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return for every cell its nearest anchor, the one listed first of equals, and the squared distance."""
    count = min(_NEIGHBOURS, len(positions))
    _, found = load("scipy.spatial").cKDTree(positions).query(cells, k=np.arange(1, count + 1))
    found = np.sort(found, axis=1)  # `len(positions)` where a distance overflows
    is_sure = found[:, -1] < len(positions)
    found = np.minimum(found, len(positions) - 1)
    squared = np.zeros(found.shape)
    with np.errstate(over="ignore"):
        for along, centres in zip(cells.T, positions.T, strict=True):
            squared += np.square(along[:, None] - centres[found])
    best = squared.argmin(axis=1)
    nearest, distance = np.take_along_axis(found, best[:, None], 1)[:, 0], squared.min(axis=1)
    if count < len(positions):  # there may be more equals than were asked for
        is_sure &= squared.max(axis=1) > distance * _NEARLY_EQUAL
    unsure = np.flatnonzero(~is_sure)
    for block in blocks_of_cells(len(unsure), len(positions)):
        every = squared_distances(cells[unsure[block]], positions)
        nearest[unsure[block]], distance[unsure[block]] = every.argmin(axis=1), every.min(axis=1)
    return nearest, distance


@dataclass(frozen=True)
class Voronoi(Interpolator):
    """Every cell takes the weight of its nearest anchor; a tie goes to the anchor listed first.

    Source: SciPy's `NearestNDInterpolator`, which leaves ties open.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> ik.densify(numpy.array([5.0, 7.0]), ik.InterpolatedKernel([[2], [0]], 3, "voronoi"))
    array([7., 5., 5.])
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    def local_matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> LocalMatrix:
        """Return a single 1 in every row."""
        nearest, _ = nearest_anchors(window_cells(window), positions)
        return LocalMatrix(nearest[:, None], np.ones((len(nearest), 1)), len(positions))

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return a single 1 in every row."""
        return self.local_matrix(positions, window, widths).dense()

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the whole window."""
        return np.ones(window, dtype=bool)


@dataclass(frozen=True)
class InverseDistance(Interpolator):
    """Every cell is the mean of all weights, each counted by `1 / r^power`, `r` the distance to its anchor.

    `A_i(x) = r_i^-power / sum_j r_j^-power`. A cell at an anchor takes its weight; anchors that coincide share equally.

    Parameters
    ----------
    power : float, default 2
        Positive. At an anchor the kernel has a flat spot for powers above 1, a kink at 1 and a cusp below.

    Notes
    -----
    Source: Shepard, "A two-dimensional interpolation function for irregularly-spaced data", 1968, equation 1.

    Raises
    ------
    ValueError
        If `power` is not finite and positive.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> ik.densify(numpy.array([0.0, 1.0]), ik.InterpolatedKernel([[0], [3]], 4, "inverse_distance"))
    array([0. , 0.2, 0.8, 1. ])
    """

    power: float = number(2.0, is_positive=True)

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True
    differentiable_by: ClassVar[tuple[str, ...]] = ("positions",)

    def make_row_function(
        self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> Callable[[FloatArray], FloatArray]:
        """Return the function to the shares of the anchors in some cells."""
        return lambda cells: self._shares(_finite_squared_distances(cells, positions))

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return the shares of the anchors in every cell."""
        return self.make_row_function(positions, window, widths)(window_cells(window))

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradient by positions; None for widths.

        With `G` the gradient by the matrix, `dL/dp_i = sum_x A_i (G_i - sum_j A_j G_j) * -power (p_i - x) / r_i^2`. A
        cell at an anchor adds nothing: for powers above 1 that is its derivative, at 1 the mean of the one-sided ones,
        and below 1, where the cusp has none, and for coincident anchors, which would part, a choice.
        """
        return self._gradient(grad_matrix, window_cells(window), positions), None

    def kernels_vjp(
        self,
        grad_kernels: FloatArray,
        weights: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the same, block by block of cells."""
        cells, total = window_cells(window), np.zeros_like(positions)
        for block in blocks_of_cells(len(cells), len(positions)):
            total += self._gradient(grad_kernels[:, block].T @ weights, cells[block], positions)
        return total, None

    def _gradient(self, grad_rows: FloatArray, cells: FloatArray, positions: FloatArray) -> FloatArray:
        squared = _finite_squared_distances(cells, positions)
        shares, nearest = self._shares(squared), squared.argmin(axis=1)[:, None]
        # From the nearest anchor's own entry, so that its term, close to 0 * infinity beside a cell, keeps its digits.
        relative = grad_rows - np.take_along_axis(grad_rows, nearest, axis=1)
        pull = shares * (relative - (shares * relative).sum(axis=1, keepdims=True))
        apart = squared.min(axis=1, keepdims=True) > 0
        pull = np.divide(-self.power * pull, squared, out=np.zeros_like(pull), where=apart)
        axes = zip(positions.T, cells.T, strict=True)
        return np.stack([np.einsum("cn,cn->n", pull, p[None, :] - x[:, None]) for p, x in axes], axis=1)

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the whole window."""
        return np.ones(window, dtype=bool)

    def _shares(self, squared: FloatArray) -> FloatArray:
        """Return `(r_min / r_i)^power` over its sum, for `(cells, n)` squared distances: at most 1, never infinite."""
        smallest = squared.min(axis=1, keepdims=True)
        ratio = np.divide(smallest, squared, out=np.ones_like(squared), where=squared > 0)
        ratio[(smallest == 0) & (squared > 0)] = 0.0
        ratio **= self.power / 2
        return ratio / ratio.sum(axis=1, keepdims=True)


def _finite_squared_distances(cells: FloatArray, positions: FloatArray) -> FloatArray:
    """Return squared distances whose ratios are numbers: those that overflow count as equal."""
    return np.minimum(squared_distances(cells, positions), np.finfo(np.float64).max)
