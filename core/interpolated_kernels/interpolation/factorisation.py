"""A symmetric system of equations, equilibrated and factorised, with the estimate of its condition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import load


@dataclass(frozen=True, eq=False)
class Factorisation:
    """A symmetric system, equilibrated and factorised (LU with pivots), and its condition."""

    lower_upper: FloatArray
    pivots: IntArray
    scale: FloatArray
    condition: float
    """LAPACK's 1-norm estimate for the scaled system; infinity for a singular one or one that is not finite."""

    def solve(self, right: FloatArray) -> FloatArray:
        """Return the solution for every column of `right`; NaN where there is none."""
        lapack = load("scipy.linalg").lapack
        if not np.isfinite(self.condition):
            return np.full(right.shape, np.nan)
        solution, _ = lapack.dgetrs(self.lower_upper, self.pivots, right * self.scale[:, None])
        return np.asarray(solution * self.scale[:, None])


def factorise(left: FloatArray) -> Factorisation:
    """Return the factors of the symmetric system `left`.

    Rows and columns are scaled alike by powers of two until every row's largest entry is near one, which leaves the
    solution as it is.
    """
    lapack = load("scipy.linalg").lapack
    scale = np.ones(len(left))
    if not np.isfinite(left).all():
        return Factorisation(left, np.zeros(0, np.int32), scale, np.inf)
    sizes = np.abs(left)
    for _ in range(4):
        largest = (sizes * scale).max(axis=1) * scale
        step = np.round(-np.log2(np.where(largest > 0, largest, 1.0)) / 2)
        if not step.any():
            break
        scale *= 2.0**step
    del sizes
    scaled = left * scale[:, None]
    scaled *= scale
    norm = np.abs(scaled).sum(axis=0).max()
    lower_upper, pivots, info = lapack.dgetrf(scaled.T, overwrite_a=True)  # symmetric: LAPACK's order needs no copy
    if info > 0:
        return Factorisation(lower_upper, pivots, scale, np.inf)
    reciprocal, _ = lapack.dgecon(lower_upper, norm, norm="1")
    return Factorisation(lower_upper, pivots, scale, 1.0 / reciprocal if reciprocal > 0 else np.inf)
