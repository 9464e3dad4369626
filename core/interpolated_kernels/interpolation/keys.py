"""Cubic convolution along every axis: local, and exact for parabolas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation.grid import locate
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.interpolation.tensor_product import TensorProduct


@dataclass(frozen=True)
class Keys(TensorProduct):
    r"""Cubic convolution with a = -1/2 along each axis: the smooth local interpolation of image resizing.

    Each cell takes its two neighbours on either side, counted by

        u(t) = 1.5 |t|^3 - 2.5 |t|^2 + 1 up to |t| = 1,    -0.5 |t|^3 + 2.5 |t|^2 - 4 |t| + 2 up to 2,

    in units of the spacing. Beyond the first and last anchor the missing neighbour is `3 c_0 - 3 c_1 + c_2`, so that
    parabolas are reproduced up to the edge. The anchors must be evenly spaced. Two along an axis give a straight line
    (the missing neighbour is `2 c_0 - c_1`), one a constant. Cells beyond the grid take its edge.

    Notes
    -----
    The boundary's rule is folded into the first and last three columns of the matrix: that leaves as many classes as
    two more nodes an axis would, for fewer taps.

    Source: Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics,
    Speech, and Signal Processing 29, 1981.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> ik.densify(numpy.array([0.0, 4.0, 16.0, 36.0]), ik.InterpolatedKernel([[0], [2], [4], [6]], 7, "keys"))
    array([ 0.,  1.,  4.,  9., 16., 25., 36.])
    """

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True
    needs_uniform_grid: ClassVar[bool] = True

    def axis_matrix(self, coordinates: FloatArray, n_cells: int, axis: int) -> LocalMatrix:
        """Return at most four entries in every row, at the neighbours of the cell."""
        n = len(coordinates)
        if n == 1:
            return LocalMatrix(np.zeros((n_cells, 1), np.intp), np.ones((n_cells, 1)), 1)
        left, t = locate(coordinates, n_cells)
        s = 1.0 - t
        # The formula's factors at |t| + 1, |t|, |s| and |s| + 1: they are 0 at the anchors without rounding.
        parts = -0.5 * t * s * s, s * (1.0 + t - 1.5 * t * t), t * (1.0 + s - 1.5 * s * s), -0.5 * t * t * s
        values, columns = np.stack(parts, axis=1), left[:, None] + np.arange(-1, 3)
        rule = np.array([3.0, -3.0, 1.0] if n > 2 else [2.0, -1.0])
        first, last = left == 0, left == n - 2
        values[first, 1 : 1 + len(rule)] += np.multiply.outer(parts[0][first], rule)
        values[last, 3 - len(rule) : 3] += np.multiply.outer(parts[3][last], rule[::-1])
        beyond = (columns < 0) | (columns >= n)
        return LocalMatrix(np.where(beyond, 0, columns), np.where(beyond, 0.0, values), n)
