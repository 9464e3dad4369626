"""Piecewise linear interpolation over the triangles of scattered anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, window_cells
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.interpolation.scattered import nearest_anchors
from interpolated_kernels.interpolation.tensor_product import Linear
from interpolated_kernels.lazy import load

_FLAT_LIMIT = 1e-8


@dataclass(frozen=True)
class Delaunay(Interpolator):
    """Linear over the triangles (tetrahedra, or gaps between neighbours in 1-D) of the anchors, nearest outside them.

    A cell in a triangle with corners `p_0 ... p_d` has the shares `b` with `sum_i b_i p_i = x`, `sum_i b_i = 1`; a cell
    outside all takes the weight of its nearest anchor. Where several triangulations are Delaunay's (four anchors on a
    circle), or several anchors nearest, the choice depends on where the anchors stand, not on how they are listed.

    Notes
    -----
    2-D needs three anchors that are not collinear, 3-D four that are not coplanar; 1-D any number.

    Sources: SciPy's `LinearNDInterpolator`, NaN outside; Barber, Dobkin and Huhdanpaa, "The Quickhull algorithm for
    convex hulls", 1996.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0, 0], [0, 2], [2, 0]], (3, 3), "delaunay")
    >>> ik.densify(numpy.array([0.0, 2.0, 4.0]), kernel)
    array([[0., 1., 2.],
           [2., 3., 2.],
           [4., 4., 2.]])
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise on coincident anchors, and on those that span no triangle."""
        super().check(positions, window)
        n, n_dims = positions.shape
        if n_dims == 1:
            return None
        values = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
        if n <= n_dims or values[-1] <= _FLAT_LIMIT * values[0]:
            flat = "a line" if n_dims == 2 else "one plane"
            raise AnchorError(
                f"`positions` must hold {n_dims + 1} anchors that are not on {flat} for `delaunay` in {n_dims} "
                f"dimensions, got {name_anchors(range(n))} on {'a point' if n == 1 else flat}. "
                "Add one, move one off, or use `voronoi`, `inverse_distance` or `polyharmonic`."
            )
        return None

    def local_matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> LocalMatrix:
        """Return in every row the shares of the corners of the cell's triangle.

        Raises
        ------
        AnchorError
            If the anchors are too close together, for their extent, to be triangulated.
        """
        order = np.lexsort(positions.T[::-1])
        ordered = positions[order]
        if positions.shape[1] == 1:
            found = Linear().axis_matrix(ordered[:, 0], window[0], 0)
        else:
            found = _shares(window_cells(window), ordered, order)
        return LocalMatrix(order[found.columns], found.values, len(positions))

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`, as `local_matrix` has it."""
        return self.local_matrix(positions, window, widths).dense()

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the whole window."""
        return np.ones(window, dtype=bool)


def _shares(cells: FloatArray, positions: FloatArray, names: FloatArray) -> LocalMatrix:
    """Return the `(cells, n)` barycentric coordinates of cells, those of the nearest anchor outside the hull."""
    spatial = load("scipy.spatial")
    try:
        triangulation = spatial.Delaunay(positions)
    except spatial.QhullError:
        raise AnchorError(
            f"`positions` cannot be triangulated: {name_anchors(sorted(names))} span all dimensions by too little. "
            "Move one off, or use `voronoi` or `inverse_distance`."
        ) from None
    if len(triangulation.coplanar):
        dropped, _, kept = triangulation.coplanar[0]
        raise AnchorError(
            f"`positions` cannot be triangulated: anchor {names[dropped]} is too close to anchor {names[kept]} for "
            "their extent. Move them apart, or use `voronoi` or `inverse_distance`."
        )
    nearest, squared = nearest_anchors(cells, positions)
    n_dims = cells.shape[1]
    columns, values = np.repeat(nearest[:, None], n_dims + 1, axis=1), np.zeros((len(cells), n_dims + 1))
    values[:, -1] = 1.0
    simplex = triangulation.find_simplex(cells)
    inside = np.flatnonzero((simplex >= 0) & (squared > 0))  # at an anchor the nearest is exact
    simplex = simplex[inside]
    transform = triangulation.transform[simplex]
    shares = np.einsum("cij,cj->ci", transform[:, :n_dims], cells[inside] - transform[:, n_dims])
    columns[inside] = triangulation.simplices[simplex]
    values[inside] = np.column_stack([shares, 1.0 - shares.sum(axis=1)])
    return LocalMatrix(columns, values, len(positions))
