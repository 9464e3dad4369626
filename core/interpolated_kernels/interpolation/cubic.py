"""The natural cubic spline along every axis, as linear interpolation plus bulges between the anchors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation.axes import AxisMatrix
from interpolated_kernels.interpolation.grid import locate
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.interpolation.tensor_product import Linear, TensorProduct

_SCALE = 64.0
"""Divides the moments' squared gaps: on a uniform grid they then stay below the weights that they come from."""


@dataclass(frozen=True)
class Cubic(TensorProduct):
    r"""The natural cubic spline along each axis: twice continuously differentiable, without curvature at the ends.

    With gaps `h_j = c_{j+1} - c_j`, and `u` from 0 to 1 between neighbours `c_j` and `c_{j+1}`,

        f = (1 - u) w_j + u w_{j+1} - h_j^2 / 6 u (1 - u) ((2 - u) M_j + (1 + u) M_{j+1}),

    where the moments `M`, f's second derivatives at the anchors, are 0 at both ends and solve

        h_{j-1} M_{j-1} + 2 (h_{j-1} + h_j) M_j + h_j M_{j+1} = 6 ((w_{j+1} - w_j) / h_j - (w_j - w_{j-1}) / h_{j-1}).

    One anchor along an axis gives a constant, two a straight line. Cells beyond the grid take its edge.

    Notes
    -----
    Every weight reaches the whole axis, but values and moments reach two gaps: they are the local basis. It takes more
    of them than B-splines would (2n - 2, not n + 2). But B-splines cannot do: at an anchor the others' shares are 0,
    and sums of B-splines arrive there by cancelling, so that rounding errors have no bound in terms of the kernel's
    own entries; the bulges are 0 there each by itself.

    Sources: de Boor, "A Practical Guide to Splines", 1978, chapter IV; SciPy's `CubicSpline(bc_type="natural")`.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2], [4]], 5, "cubic")
    >>> ik.densify(numpy.array([0.0, 16.0, 0.0]), kernel)
    array([ 0., 11., 16., 11.,  0.])
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> AxisMatrix:
        """Return hats and bulges, `(n_cells, 2n - 2)`, and the transform to values and scaled moments."""
        hats = Linear().axis_matrix(coordinates, n_cells, axis)
        if len(coordinates) < 3:
            return hats
        gaps = np.diff(coordinates)
        transform = np.vstack([np.eye(len(coordinates)), _scaled_moments(gaps)])
        return _with_bulges(hats, coordinates, gaps), transform


def _with_bulges(hats: LocalMatrix, coordinates: FloatArray, gaps: FloatArray) -> LocalMatrix:
    """Return the hats, and behind them what a scaled moment at each inner anchor adds to the cells."""
    left, u = locate(coordinates, len(hats.values))
    columns, values, n = [hats.columns], [hats.values], len(coordinates)
    for node, shape in ((left, 2.0 - u), (left + 1, 1.0 + u)):
        inner = np.clip(node, 1, len(gaps) - 1)
        parts = gaps[left] / (gaps[inner - 1] + gaps[inner])
        is_inner = inner == node
        columns.append(np.where(is_inner, n + node - 1, 0)[:, None])
        values.append(np.where(is_inner, -_SCALE / 6.0 * parts**2 * u * (1.0 - u) * shape, 0.0)[:, None])
    return LocalMatrix(np.hstack(columns), np.hstack(values), 2 * n - 2)


def _scaled_moments(gaps: FloatArray) -> FloatArray:
    """Return `M_j (h_{j-1} + h_j)^2 / 64` of every inner anchor for unit weights: `(n - 2, n)`."""
    gaps = gaps / gaps.max()
    n_inner = len(gaps) - 1
    around = gaps[:-1] + gaps[1:]
    system, differences = np.diag(2.0 * around), np.zeros((n_inner, n_inner + 2))
    inner = np.arange(n_inner)
    system[inner[1:], inner[:-1]] = system[inner[:-1], inner[1:]] = gaps[1:-1]
    differences[inner, inner] = 6.0 / gaps[:-1]
    differences[inner, inner + 1] = -6.0 / gaps[:-1] - 6.0 / gaps[1:]
    differences[inner, inner + 2] = 6.0 / gaps[1:]
    return np.linalg.solve(system, differences) * (around**2 / _SCALE)[:, None]
