"""Polyharmonic splines, as tensorflow-addons' `interpolate_spline` defines them, with the sign of smoothing mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.parameters import integer, number
from interpolated_kernels.interpolation.spline import SplineInterpolator
from interpolated_kernels.interpolation.spline_system import Radial, SplineSystem, count_monomials, monomial_powers

_MIN_SQUARED_DISTANCE = 1e-10
_MIN_DEGREE_FOR_SMOOTHING = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}
_SLOPE_LIMIT = 1e-8
_MAX_ORDER = 100


@dataclass(frozen=True)
class Polyharmonic(SplineInterpolator):
    r"""The polyharmonic spline through the anchors: `f(x) = sum_i c_i phi(|x - p_i|) + polynomial(x)`.

    With `s` the squared distance in cells and `m = max(s, 1e-10)`: `phi_1 = sqrt(m)`, `phi_2 = s ln(m) / 2`,
    `phi_4 = s^2 ln(m) / 2`, other even orders `m^(k/2) ln(m) / 2`, odd orders `m^(k/2)`. The coefficients solve
    `[[Phi + g I, B], [B^T, 0]] [c; v] = [w; 0]`, where `B` holds the monomials up to `degree`.

    Parameters
    ----------
    order : int, default 1
        `k` in `phi_k`, from 1 to 100.
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
    TypeError, ValueError
        For an option of another type or out of its range, or a degree too low for smoothing to be well defined (0, 1,
        1, 2, 2 for orders 1 to 5).

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [1], [3]], 4, ik.Polyharmonic(order=3))
    >>> ik.densify(numpy.array([0.0, 1.0, 0.0]), kernel).round(6) + 0.0
    array([0.   , 1.   , 0.875, 0.   ])
    """

    order: int = integer(1, minimum=1, maximum=_MAX_ORDER)
    smoothing: float = number(0.0, minimum=0)
    degree: int = integer(1, minimum=-1, maximum=2)

    remedy: ClassVar[str] = "Move them apart, lower the order, or add `smoothing`."

    def __post_init__(self) -> None:
        super().__post_init__()
        required = _MIN_DEGREE_FOR_SMOOTHING.get(self.order, self.order // 2)
        if self.smoothing > 0 and self.degree < required:
            raise ValueError(
                f"`smoothing` > 0 needs `degree` >= {required} for order {self.order}, got degree {self.degree}: "
                "below that the spline has no unique smoothed form."
            )

    @property
    def exact(self) -> bool:
        """Whether the spline goes through its anchors: without smoothing."""
        return self.smoothing == 0

    @property
    def constants(self) -> bool:
        """Whether the polynomial holds the constant."""
        return self.degree >= 0

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise on coincident anchors or fewer than the polynomial needs; warn where the trend loses a slope."""
        super().check(positions, window)
        kept, n_dims = _trend_axes(positions).shape[1], positions.shape[1]
        required = count_monomials(kept, self.degree)
        if len(positions) < required:
            raise AnchorError(
                f"`positions` must hold at least {required} anchors for a polynomial of degree {self.degree} along "
                f"{kept} directions, got {len(positions)}. Add some, or lower `degree`."
            )
        if self.degree < 1 or kept == n_dims:
            return None
        return (
            f"{_shape(kept)} (`positions` of shape {positions.shape}): the kernel's linear trend has no slope along "
            f"{n_dims - kept} of {n_dims} directions. Move an anchor off, or add one, to give it one."
        )

    def system(self, positions: FloatArray) -> SplineSystem:
        """Return the spline's equations; the polynomial varies along the directions that the anchors span."""
        axes = _trend_axes(positions) if self.degree >= 1 else np.eye(positions.shape[1])
        powers = monomial_powers(axes.shape[1], self.degree)
        return SplineSystem(positions, _radial(self.order), powers, axes, self._diagonal())

    def kernels_vjp(
        self,
        grad_kernels: FloatArray,
        weights: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradient by positions, by the adjoint of the linear solve; None for widths.

        It is finite everywhere. The floor of `phi` is flat, as it is upstream: a pair closer than 1e-5 cells, such as
        an anchor on a cell, adds nothing through `m`. For order 1, which has a kink there, that is the mean of the
        one-sided derivatives.

        Raises
        ------
        AnchorError
            As `matrix` does, and for anchors whose trend has no slope along some direction: moving one out of their
            line (plane) gives it one at once, so that the kernel is not continuous there.
        """
        kept, n_dims = _trend_axes(positions).shape[1], positions.shape[1]
        if self.degree >= 1 and kept < n_dims:
            raise AnchorError(
                f"`positions` have no gradient here: {_shape(kept)} in {n_dims} dimensions, and the smallest step out "
                "of their span changes the kernel's linear trend at once. Move an anchor off, add one, or use degree=0."
            )
        return super().kernels_vjp(grad_kernels, weights, positions, window, widths)

    def _diagonal(self) -> float:
        order = self.order
        sign = (-1) ** ((order + 1) // 2) if order % 2 else (-1) ** (order // 2 + 1)
        return self.smoothing * sign


def _radial(order: int) -> Radial:
    """Return `phi_order`; orders 2 and 4 floor the logarithm alone, as upstream does."""
    half = order // 2

    def value(squared: FloatArray) -> FloatArray:
        floored = np.maximum(squared, _MIN_SQUARED_DISTANCE)
        if order % 2:
            return floored**half * np.sqrt(floored)
        return (squared if order in (2, 4) else floored) ** half * np.log(floored) / 2

    def slope(squared: FloatArray) -> FloatArray:
        floored = np.maximum(squared, _MIN_SQUARED_DISTANCE)
        above = squared >= _MIN_SQUARED_DISTANCE
        if order % 2:
            return order * floored**half / np.sqrt(floored) * above
        if order in (2, 4):
            return squared ** (half - 1) * (half * np.log(floored) + above)
        return floored ** (half - 1) * (half * np.log(floored) + 1) * above

    return Radial(value, slope, f"polyharmonic {order}" if order <= 4 else None)


def _trend_axes(positions: FloatArray) -> FloatArray:
    """Return `(d, kept)`: the directions that the anchors span; the identity where they span all."""
    _, values, vectors = np.linalg.svd(positions - positions.mean(axis=0), full_matrices=False)
    kept = values > _SLOPE_LIMIT * values.max(initial=0.0)
    return np.eye(positions.shape[1]) if kept.sum() == positions.shape[1] else vectors[kept].T


def _shape(n_directions: int) -> str:
    return ("a single anchor", "collinear anchors", "coplanar anchors", "anchors in a hyperplane")[n_directions]
