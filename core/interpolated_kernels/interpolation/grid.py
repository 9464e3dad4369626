"""Rectilinear grids of anchors: finding one in a list of positions, and where window cells stand in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.anchors import check_distinct
from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.errors import AnchorError

_UNEVEN = 1e-5
"""What gaps may differ by, as a share of the widest: the rounding of coordinates that were once float32."""


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


def check_uniform(grid: Grid) -> None:
    """Raise unless the coordinates of every axis are evenly spaced, to 1e-5 of their spacing.

    Raises
    ------
    AnchorError
        Naming the first axis whose gaps differ, and its narrowest and widest gap.
    """
    for axis, coordinates in enumerate(grid.coordinates):
        gaps = np.diff(coordinates)
        if gaps.size and gaps.max() - gaps.min() > _UNEVEN * gaps.max():
            raise AnchorError(
                f"`positions` must be evenly spaced along every axis for this interpolator: on axis {axis} neighbours "
                f"are {gaps.min():g} to {gaps.max():g} cells apart. Use `grid_positions`, or 'cubic' or 'linear', "
                "which take any grid."
            )


def locate(coordinates: FloatArray, n_cells: int) -> tuple[IntArray, FloatArray]:
    """Return which of the gaps between at least two sorted coordinates every cell stands in, and where.

    Returns
    -------
    left : (n_cells,) array of int
        The coordinate on the left of the cell; cells beyond the grid stand at its edge.
    share : (n_cells,) array of float64
        From 0 at the left coordinate to 1 at the right one; 1 only at the last coordinate.
    """
    cells = np.clip(np.arange(n_cells, dtype=np.float64), coordinates[0], coordinates[-1])
    left = np.clip(np.searchsorted(coordinates, cells, side="right") - 1, 0, len(coordinates) - 2)
    return left, (cells - coordinates[left]) / (coordinates[left + 1] - coordinates[left])
