"""Interpolators that fill a window axis by axis, from anchors on a rectilinear grid."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.anchors import check_distinct
from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, kronecker


@dataclass(frozen=True)
class Grid:
    """A full rectilinear grid: its sorted coordinates on every axis, and where each anchor stands in it."""

    coordinates: tuple[FloatArray, ...]
    order: IntArray
    """`(n,)` int array: `order[g]` is the anchor at grid node `g`, nodes in C order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of coordinates on every axis."""
        return tuple(len(axis) for axis in self.coordinates)


def find_grid(positions: FloatArray) -> Grid:
    """Return the grid that `(n, d)` positions fill, in whatever order they are listed.

    Raises
    ------
    AnchorError
        If two anchors coincide or a node has no anchor; the message says how many nodes the coordinates span.
    """
    check_distinct(positions)
    pairs = [np.unique(column, return_inverse=True) for column in positions.T]
    shape = tuple(len(values) for values, _ in pairs)
    n_nodes = int(np.prod([float(count) for count in shape]))
    if n_nodes != len(positions):
        raise AnchorError(
            f"`positions` must form a full rectilinear grid for this interpolator: {len(positions)} anchors span "
            f"{' x '.join(map(str, shape))} = {n_nodes} nodes. Use `grid_positions`, "
            "or an interpolator for scattered anchors."
        )
    nodes = np.ravel_multi_index(tuple(inverse.ravel() for _, inverse in pairs), shape)
    return Grid(tuple(values for values, _ in pairs), np.argsort(nodes))


class TensorProduct(Interpolator):
    """An interpolator whose matrix is the product of one small matrix an axis."""

    needs_grid: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> FloatArray:
        """Return the 1-D matrix `(n_cells, len(coordinates))` for sorted, distinct coordinates."""
        raise NotImplementedError(f"{type(self).__name__} must define `axis_matrix(coordinates, n_cells, axis)`.")

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise unless the anchors form a full grid."""
        find_grid(positions)
        return None

    def axis_matrices(self, grid: Grid, window: tuple[int, ...]) -> list[FloatArray]:
        """Return the matrix of every axis."""
        return [
            self.axis_matrix(coordinates, cells, axis)
            for axis, (coordinates, cells) in enumerate(zip(grid.coordinates, window, strict=True))
        ]

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`, the Kronecker product of the axes' matrices with its columns in the anchors' own order."""
        grid = find_grid(positions)
        by_node = kronecker(self.axis_matrices(grid, window))
        by_anchor = np.empty_like(by_node)
        by_anchor[:, grid.order] = by_node
        return by_anchor

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the product of the axes' supports."""
        reached: list[BoolArray] = [
            np.asarray(matrix.any(axis=1)) for matrix in self.axis_matrices(find_grid(positions), window)
        ]
        return np.asarray(functools.reduce(np.multiply.outer, reached))


@dataclass(frozen=True)
class Nearest(TensorProduct):
    """Every cell takes the weight of the nearest anchor along each axis; a tie goes to the lower index.

    Source: SciPy's `RegularGridInterpolator(method="nearest")`. Cells beyond the grid take its edge.
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> FloatArray:
        """Return one 1 in every row, at the nearest coordinate."""
        distances = np.abs(np.arange(n_cells)[:, None] - coordinates[None, :])
        return np.eye(len(coordinates))[distances.argmin(axis=1)]


@dataclass(frozen=True)
class Linear(TensorProduct):
    """Linear between neighbours along each axis: bilinear in 2-D, trilinear in 3-D.

    `a_i(t) = (c_{i+1} - t) / (c_{i+1} - c_i)` for the left neighbour, `1 - a_i` for the right one, with `t` clipped to
    the grid. Source: SciPy's `RegularGridInterpolator(method="linear")`.
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> FloatArray:
        """Return at most two entries in every row, at the neighbours of the cell."""
        count = len(coordinates)
        if count == 1:
            return np.ones((n_cells, 1))
        cells = np.clip(np.arange(n_cells, dtype=np.float64), coordinates[0], coordinates[-1])
        left = np.clip(np.searchsorted(coordinates, cells, side="right") - 1, 0, count - 2)
        share = (cells - coordinates[left]) / (coordinates[left + 1] - coordinates[left])
        matrix = np.zeros((n_cells, count))
        rows = np.arange(n_cells)
        matrix[rows, left] = 1.0 - share
        matrix[rows, left + 1] = share
        return matrix
