"""Interpolators that fill a window axis by axis, from anchors on a rectilinear grid: what they share, and two."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.interpolation.axes import Axes, AxisMatrix, AxisProduct, as_entries
from interpolated_kernels.interpolation.base import Interpolator, kronecker
from interpolated_kernels.interpolation.grid import check_uniform, find_grid, locate
from interpolated_kernels.interpolation.local import LocalMatrix, WholeMatrix


class TensorProduct(Interpolator):
    """An interpolator whose matrix is the product of one small matrix an axis.

    A subclass overrides `axis_matrix`.

    Attributes
    ----------
    needs_uniform_grid : bool
        The coordinates of every axis must be evenly spaced.
    """

    needs_grid: ClassVar[bool] = True
    distinct: ClassVar[bool] = True
    needs_uniform_grid: ClassVar[bool] = False

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> AxisMatrix:
        """Return the 1-D matrix for sorted, distinct coordinates.

        Parameters
        ----------
        coordinates : (n,) array of float64, window cells
        n_cells : int
            The window's cells along the axis.
        axis : int

        Returns
        -------
        (n_cells, n) array or `LocalMatrix`, or a pair of such a one (n_cells, m) and an array (m, n)
            The matrix, by its rows' few entries where a long axis has many anchors; or, where its columns are long but
            combine few short functions, these functions and a small transform, whose product is the matrix. The lattice
            path can then convolve with the functions.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `axis_matrix(coordinates, n_cells, axis)`.")

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise unless the anchors form a full grid, uniform where the class needs it."""
        grid = find_grid(positions)
        if self.needs_uniform_grid:
            check_uniform(grid)
        return None

    def find_axes(self, positions: FloatArray, window: tuple[int, ...]) -> Axes:
        """Return the matrix of every axis, with its basis and transform where the class gives them.

        Raises
        ------
        AnchorError
            If the anchors form no full grid.
        ValueError
            If `axis_matrix` returned other shapes than it must.
        """
        grid = find_grid(positions)
        products = [
            self._axis_product(coordinates, cells, axis)
            for axis, (coordinates, cells) in enumerate(zip(grid.coordinates, window, strict=True))
        ]
        return Axes(products, grid.order)

    def _axis_product(self, coordinates: FloatArray, n_cells: int, axis: int) -> AxisProduct:
        given = self.axis_matrix(coordinates, n_cells, axis)
        parts = [as_entries(part) for part in (given if isinstance(given, tuple) else (given,))]
        shapes, n, m = [part.shape for part in parts], len(coordinates), parts[-1].shape[:1]
        if shapes != ([(n_cells, n)] if len(parts) == 1 else [(n_cells, *m), (*m, n)]):
            raise ValueError(
                f"`axis_matrix` of {type(self).__name__} must return an array of shape {(n_cells, n)}, or a pair of "
                f"shapes ({n_cells}, m) and (m, {n}), on axis {axis}; got {' and '.join(map(str, shapes))}."
            )
        if len(parts) == 1:
            return AxisProduct(parts[0])
        transform = parts[1].dense()
        return AxisProduct(WholeMatrix(parts[0].dense() @ transform), parts[0], transform)

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`, the Kronecker product of the axes' matrices with its columns in the anchors' own order."""
        axes = self.find_axes(positions, window)
        by_node = kronecker([product.matrix.dense() for product in axes.products])
        by_anchor = np.empty_like(by_node)
        by_anchor[:, axes.order] = by_node
        return by_anchor

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the product of the axes' supports."""
        products = self.find_axes(positions, window).products
        return np.asarray(functools.reduce(np.multiply.outer, [product.matrix.reaches() for product in products]))


@dataclass(frozen=True)
class Nearest(TensorProduct):
    """Every cell takes the weight of the nearest anchor along each axis; a tie goes to the lower index.

    Source: SciPy's `RegularGridInterpolator(method="nearest")`. Cells beyond the grid take its edge.
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> LocalMatrix:
        """Return one 1 in every row, at the nearest coordinate."""
        cells = np.arange(n_cells, dtype=np.float64)
        right = np.clip(np.searchsorted(coordinates, cells), 1, max(len(coordinates) - 1, 1))
        left, right = right - 1, np.minimum(right, len(coordinates) - 1)
        nearer = np.where(np.abs(cells - coordinates[right]) < np.abs(cells - coordinates[left]), right, left)
        return LocalMatrix(nearer[:, None], np.ones((n_cells, 1)), len(coordinates))


@dataclass(frozen=True)
class Linear(TensorProduct):
    """Linear between neighbours along each axis: bilinear in 2-D, trilinear in 3-D.

    `a_i(t) = (c_{i+1} - t) / (c_{i+1} - c_i)` for the left neighbour, `1 - a_i` for the right one, with `t` clipped to
    the grid. Source: SciPy's `RegularGridInterpolator(method="linear")`.
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> LocalMatrix:
        """Return at most two entries in every row, at the neighbours of the cell."""
        count = len(coordinates)
        if count == 1:
            return LocalMatrix(np.zeros((n_cells, 1), np.intp), np.ones((n_cells, 1)), 1)
        left, share = locate(coordinates, n_cells)
        return LocalMatrix(np.stack([left, left + 1], axis=1), np.stack([1.0 - share, share], axis=1), count)
