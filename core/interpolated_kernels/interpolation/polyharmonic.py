"""Polyharmonic splines, as tensorflow-addons' `interpolate_spline` defines them, with the sign of smoothing mended."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, window_cells

_MIN_SQUARED_DISTANCE = 1e-10
_MIN_DEGREE_FOR_SMOOTHING = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
_SLOPE_LIMIT = 1e-8
_CONDITION_LIMIT = 1e-4


@dataclass(frozen=True)
class Polyharmonic(Interpolator):
    r"""The polyharmonic spline through the anchors: `f(x) = sum_i c_i phi(|x - p_i|) + polynomial(x)`.

    With `s` the squared distance in cells and `m = max(s, 1e-10)`: `phi_1 = sqrt(m)`, `phi_2 = s ln(m) / 2`,
    `phi_4 = s^2 ln(m) / 2`, other even orders `m^(k/2) ln(m) / 2`, odd orders `m^(k/2)`. The coefficients solve
    `[[Phi + g I, B], [B^T, 0]] [c; v] = [w; 0]`, where `B` holds the monomials up to `degree`.

    Parameters
    ----------
    order : int, default 1
        `k` in `phi_k`, at least 1.
    smoothing : float, default 0
        At least 0. `g = smoothing * s_k`, `s_k = (-1)^((k+1)/2)` for odd and `(-1)^(k/2+1)` for even orders: the sign
        with which the spline is smoothed, never the other way.
    degree : int, default 1
        Of the polynomial: -1 (none), 0, 1 or 2.

    Notes
    -----
    Anchors on a line (in a plane) have no slope across it: the polynomial keeps the singular vectors of the centred
    positions above 1e-8 of the largest. The system is solved in float64, equilibrated without changing its solution.

    Sources: tensorflow-addons 0.23, `tfa.image.interpolate_spline`; Duchon, "Splines minimizing rotation-invariant
    semi-norms in Sobolev spaces", 1977; Wahba, "Spline Models for Observational Data", 1990, section 2.4 (smoothing).

    Raises
    ------
    ValueError
        For an option out of its range, or a degree too low for smoothing to be well defined (0, 1, 1, 2, 2 for orders 1
        to 5).
    """

    order: int = 1
    smoothing: float = 0.0
    degree: int = 1

    exact: ClassVar[bool] = True
    constants: ClassVar[bool] = True
    distinct: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if isinstance(self.order, bool) or not isinstance(self.order, (int, np.integer)) or self.order < 1:
            raise ValueError(f"`order` must be an integer of at least 1, got {self.order!r}.")
        if self.degree not in (-1, 0, 1, 2):
            raise ValueError(f"`degree` must be -1, 0, 1 or 2, got {self.degree!r}.")
        if not (np.isfinite(self.smoothing) and self.smoothing >= 0):
            raise ValueError(f"`smoothing` must be finite and at least 0, got {self.smoothing!r}.")
        required = _MIN_DEGREE_FOR_SMOOTHING.get(self.order, self.order // 2)
        if self.smoothing > 0 and self.degree < required:
            raise ValueError(
                f"`smoothing` > 0 needs `degree` >= {required} for order {self.order}, got degree {self.degree}: "
                "below that the spline has no unique smoothed form."
            )
        object.__setattr__(self, "exact", self.smoothing == 0)
        object.__setattr__(self, "constants", self.degree >= 0)

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise on coincident anchors; warn where the trend has no slope along some direction."""
        super().check(positions, window)
        kept, n_dims = _trend_axes(positions).shape[1], positions.shape[1]
        if self.degree < 1 or kept == n_dims:
            return None
        shape = ("a single anchor", "collinear anchors", "coplanar anchors", "anchors in a hyperplane")[kept]
        return (
            f"{shape} (`positions` of shape {positions.shape}): the kernel's linear trend has no slope along "
            f"{n_dims - kept} of {n_dims} directions. Move an anchor off, or add one, to give it one."
        )

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`: the spline of every unit weight, at every cell.

        Raises
        ------
        AnchorError
            If the condition estimate of the equilibrated system times 2^-53 is above 1e-4.
        """
        centre, axes = positions.mean(axis=0), _trend_axes(positions)
        n = len(positions)
        tail = _monomials((positions - centre) @ axes, self.degree)
        system = np.zeros((n + tail.shape[1],) * 2)
        system[:n, :n] = self._phi(positions, positions) + self._diagonal() * np.eye(n)
        system[:n, n:] = tail
        system[n:, :n] = tail.T
        cells = window_cells(window)
        right = np.concatenate([self._phi(cells, positions), _monomials((cells - centre) @ axes, self.degree)], axis=1)
        solution, condition = solve_equilibrated(system, right.T)
        if not condition * 2.0**-53 <= _CONDITION_LIMIT:
            first, second = _nearest_pair(positions)
            raise AnchorError(
                f"`positions` are too ill-conditioned for {self}: condition {condition:.1e}; the nearest pair is "
                f"{name_anchors([first, second])}. Move them apart, lower the order, or add `smoothing`."
            )
        return np.ascontiguousarray(solution[:n].T)

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the whole window where rows of `A` sum to one; without a polynomial a row may be zero."""
        return np.ones(window, dtype=bool) if self.constants else None

    def _diagonal(self) -> float:
        order = self.order
        sign = (-1) ** ((order + 1) // 2) if order % 2 else (-1) ** (order // 2 + 1)
        return self.smoothing * sign

    def _phi(self, at: FloatArray, centres: FloatArray) -> FloatArray:
        squared = np.square(at[:, None, :] - centres[None, :, :]).sum(axis=-1)
        floored = np.maximum(squared, _MIN_SQUARED_DISTANCE)
        if self.order % 2:
            return floored ** (self.order / 2)
        power = {2: squared, 4: squared**2}.get(self.order)  # upstream floors only the logarithm in these two
        return (floored ** (self.order // 2) if power is None else power) * np.log(floored) / 2


def _trend_axes(positions: FloatArray) -> FloatArray:
    """Return `(d, kept)`: the directions that the anchors span; the identity where they span all."""
    _, values, vectors = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)
    kept = values > _SLOPE_LIMIT * values.max(initial=0.0)
    return np.eye(positions.shape[1]) if kept.sum() == positions.shape[1] else vectors[kept].T


def _monomials(points: FloatArray, degree: int) -> FloatArray:
    """Return the columns of all monomials up to `degree` in the points' coordinates."""
    columns = [
        points[:, list(combination)].prod(axis=1)
        for power in range(degree + 1)
        for combination in itertools.combinations_with_replacement(range(points.shape[1]), power)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(points), 0))


def _nearest_pair(positions: FloatArray) -> tuple[int, int]:
    distances = np.square(positions[:, None] - positions[None]).sum(axis=-1)
    np.fill_diagonal(distances, np.inf)
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    return int(first), int(second)


def solve_equilibrated(system: FloatArray, right: FloatArray) -> tuple[FloatArray, float]:
    """Solve the symmetric `system` for every column of `right`; return the solution and the 1-norm condition estimate.

    Rows and columns are scaled alike by powers of two until every row's largest entry is near one, which leaves the
    solution as it is. A singular system gives condition infinity.
    """
    from scipy.linalg import lapack

    scale = np.ones(len(system))
    for _ in range(4):
        largest = np.abs(system * scale[:, None] * scale[None, :]).max(axis=1)
        scale *= 2.0 ** np.round(-np.log2(np.where(largest > 0, largest, 1.0)) / 2)
    scaled = system * scale[:, None] * scale[None, :]
    factors, pivots, info = lapack.dgetrf(scaled)
    if info > 0:
        return np.full(right.shape, np.nan), np.inf
    reciprocal, _ = lapack.dgecon(factors, np.abs(scaled).sum(axis=0).max(), norm="1")
    solution, _ = lapack.dgetrs(factors, pivots, right * scale[:, None])
    return solution * scale[:, None], 1.0 / reciprocal if reciprocal > 0 else np.inf
