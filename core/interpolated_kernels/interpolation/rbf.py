"""Radial basis functions, as SciPy's `RBFInterpolator` defines them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.parameters import integer, number, word
from interpolated_kernels.interpolation.spline import SplineInterpolator
from interpolated_kernels.interpolation.spline_system import (
    Radial,
    SplineSystem,
    count_monomials,
    monomial_powers,
    monomials,
)


class _Function(NamedTuple):
    """A radial function of the squared scaled distance, twice its derivative, and the polynomial that it needs."""

    value: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    min_degree: int


def _positive(squared: FloatArray) -> FloatArray:
    """Replace zeros by ones, where a formula's own limit at 0 follows from another factor."""
    return np.where(squared > 0, squared, 1.0)


_MAX_DEGREE = 100

# SciPy's own table (`scipy.interpolate.RBFInterpolator`, parameters `kernel` and `degree`), in s = (shape * r)^2.
FUNCTIONS = {
    "linear": _Function(lambda s: -np.sqrt(s), lambda s: np.where(s > 0, -1 / np.sqrt(_positive(s)), 0.0), 0),
    "thin_plate_spline": _Function(
        lambda s: s * np.log(_positive(s)) / 2, lambda s: (s > 0) * (np.log(_positive(s)) + 1), 1
    ),
    "cubic": _Function(lambda s: s * np.sqrt(s), lambda s: 3 * np.sqrt(s), 1),
    "quintic": _Function(lambda s: -(s**2) * np.sqrt(s), lambda s: -5 * s * np.sqrt(s), 2),
    "multiquadric": _Function(lambda s: -np.sqrt(1 + s), lambda s: -1 / np.sqrt(1 + s), 0),
    "inverse_multiquadric": _Function(lambda s: 1 / np.sqrt(1 + s), lambda s: -((1 + s) ** -1.5), -1),
    "inverse_quadratic": _Function(lambda s: 1 / (1 + s), lambda s: -2 / (1 + s) ** 2, -1),
    "gaussian": _Function(lambda s: np.exp(-s), lambda s: -2 * np.exp(-s), -1),
}


@dataclass(frozen=True)
class RBF(SplineInterpolator):
    r"""Radial basis functions at the anchors and a polynomial: `f(x) = sum_i c_i phi(shape |x - p_i|) + polynomial(x)`.

    The coefficients solve `[[Phi + smoothing I, B], [B^T, 0]] [c; v] = [w; 0]`, where `B` holds the monomials up to
    `degree`. Distances are in cells.

    Parameters
    ----------
    function : str, default "thin_plate_spline"
        "linear" (`-r`), "thin_plate_spline" (`r^2 ln r`), "cubic" (`r^3`), "quintic" (`-r^5`), "multiquadric"
        (`-sqrt(1 + r^2)`), "inverse_multiquadric" (`1 / sqrt(1 + r^2)`), "inverse_quadratic" (`1 / (1 + r^2)`) or
        "gaussian" (`exp(-r^2)`), `r` being `shape` times the distance.
    shape : float, default 1, per cell
        Positive; SciPy's `epsilon`. Smaller values spread the last four functions wider and condition them worse; for
        the first four it only scales `smoothing`.
    degree : int, optional
        Of the polynomial, from -1 (none) to 100. Default: 1 for "thin_plate_spline" and "cubic", 2 for "quintic", else
        0. Lower ones, except -1, warn for the functions whose system they may leave without a solution.
    smoothing : float, default 0
        At least 0; at 0 the kernel goes through its anchors.

    Notes
    -----
    As in SciPy, at least as many anchors are needed as the polynomial has monomials, and for degree 1 they must not be
    collinear (coplanar in 3-D). The system is solved in float64, equilibrated without changing its solution.

    Sources: SciPy 1.13, `scipy.interpolate.RBFInterpolator`; Fasshauer, "Meshfree Approximation Methods with Matlab",
    2007, chapters 2 and 6; Wahba, "Spline Models for Observational Data", 1990 (smoothing).

    Raises
    ------
    TypeError, ValueError
        For an unknown function, or an option of another type or out of its range.

    Warns
    -----
    UserWarning
        For a degree of at least 0 that is below the function's own.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, ik.RBF("gaussian", shape=0.5))
    >>> ik.densify(numpy.array([0.0, 1.0]), kernel)
    array([0. , 0.5, 1. ])
    """

    function: str = word("thin_plate_spline", FUNCTIONS)
    shape: float = number(1.0, is_positive=True)
    degree: int | None = integer(None, minimum=-1, maximum=_MAX_DEGREE)
    smoothing: float = number(0.0, minimum=0)

    remedy: ClassVar[str] = "Move them apart, raise `shape`, lower the degree, or add `smoothing`."

    def __post_init__(self) -> None:
        super().__post_init__()
        required = FUNCTIONS[self.function].min_degree
        if self.degree is not None and -1 < self.degree < required:
            warnings.warn(
                f"`degree` {self.degree} is below {required}, which {self.function!r} needs to be sure of a solution.",
                UserWarning,
                stacklevel=3,  # past the dataclass's `__init__`
            )

    @property
    def exact(self) -> bool:
        """Whether the spline goes through its anchors: without smoothing."""
        return self.smoothing == 0

    @property
    def constants(self) -> bool:
        """Whether the polynomial holds the constant."""
        return self.polynomial_degree >= 0

    @property
    def polynomial_degree(self) -> int:
        """The polynomial's degree, with the function's own default in the place of None."""
        return max(FUNCTIONS[self.function].min_degree, 0) if self.degree is None else self.degree

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise on coincident anchors, and on anchors that do not determine the polynomial."""
        super().check(positions, window)
        n, n_dims = positions.shape
        required = count_monomials(n_dims, self.polynomial_degree)
        if required == 0:  # no polynomial: NumPy before 2.1 has no rank for no columns
            return None
        if n < required:
            raise AnchorError(
                f"`positions` must hold at least {required} anchors for {self}, whose polynomial has degree "
                f"{self.polynomial_degree} in {n_dims} dimensions, got {n}. Add some, or lower `degree`."
            )
        powers = monomial_powers(n_dims, self.polynomial_degree)
        centred = positions - positions.mean(axis=0)
        largest = np.abs(centred).max(axis=0)
        rank = np.linalg.matrix_rank(monomials(centred / np.where(largest > 0, largest, 1.0), powers))
        if rank < required:
            raise AnchorError(
                f"`positions` do not determine the polynomial of {self}: its {required} monomials have rank {rank} "
                f"at {name_anchors(range(n))} (rank 1 is a point, 2 a line, 3 a plane). Move one off, lower `degree`, "
                "or use `polyharmonic`."
            )
        return None

    def system(self, positions: FloatArray) -> SplineSystem:
        """Return the spline's equations."""
        row, scale, n_dims = FUNCTIONS[self.function], self.shape**2, positions.shape[1]
        radial = Radial(lambda s: row.value(scale * s), lambda s: scale * row.slope(scale * s))
        powers = monomial_powers(n_dims, self.polynomial_degree)
        return SplineSystem(positions, radial, powers, np.eye(n_dims), self.smoothing)
