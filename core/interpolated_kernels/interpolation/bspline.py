"""Uniform B-splines along every axis, whose coefficients are the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation.grid import locate
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.interpolation.parameters import integer
from interpolated_kernels.interpolation.tensor_product import TensorProduct


@dataclass(frozen=True)
class BSpline(TensorProduct):
    """Uniform B-splines along each axis, one on every anchor, whose coefficients are the weights.

    `f(t) = sum_j w_j beta((t - c_j) / spacing)`, where `beta` is the centred B-spline of `degree`, `degree + 1` gaps
    wide, and the end anchors are repeated outward. The kernel is `degree - 1` times continuously differentiable, lies
    between its smallest and largest weight, and is smoother than the weights: it does not go through them for degrees
    above 1. The anchors must be evenly spaced; any number serves any degree. Cells beyond the grid take its edge.

    Parameters
    ----------
    degree : int, default 3
        From 0 to 100. Degree 0 is the nearest anchor (a tie goes to the higher coordinate), 1 is linear.

    Notes
    -----
    The repeated anchors are folded into the first and last columns of the matrix, which costs no taps.

    Sources: de Boor, "A Practical Guide to Splines", 1978, chapter X, algorithm BSPLVB; SciPy's `BSpline`.

    Raises
    ------
    TypeError, ValueError
        If `degree` is not an int, or out of its range.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2], [4], [6]], 7, "bspline")
    >>> ik.densify(numpy.array([0.0, 0.0, 48.0, 48.0]), kernel)
    array([ 0.,  1.,  8., 24., 40., 47., 48.])
    """

    degree: int = integer(3, minimum=0, maximum=100)

    constants: ClassVar[bool] = True
    needs_uniform_grid: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> LocalMatrix:
        """Return at most `degree + 1` entries in every row, at the anchors around the cell."""
        n = len(coordinates)
        if n == 1:
            return LocalMatrix(np.zeros((n_cells, 1), np.intp), np.ones((n_cells, 1)), 1)
        left, share = locate(coordinates, n_cells)
        if self.degree % 2 == 0:  # a spline of even degree has its knots halfway between the anchors
            beyond = share >= 0.5
            left, share = left + beyond, share + 0.5 - beyond
        parts = np.stack(_uniform_bsplines(share, self.degree), axis=1)
        anchors = np.clip((left - self.degree // 2)[:, None] + np.arange(self.degree + 1), 0, n - 1)
        return LocalMatrix(anchors, parts, n)


def _uniform_bsplines(share: FloatArray, degree: int) -> list[FloatArray]:
    """Return the `degree + 1` B-splines that are not 0 between two knots, at `share` of the gap, from left to right.

    By the recurrence over degrees, whose terms are all positive: no digit is lost.
    """
    splines = [np.ones_like(share)]
    for step in range(1, degree + 1):
        rest, following = np.zeros_like(share), []
        for index, spline in enumerate(splines):
            part = spline / step
            following.append(rest + (index + 1 - share) * part)
            rest = (share + step - 1 - index) * part
        splines = [*following, rest]
    return splines
