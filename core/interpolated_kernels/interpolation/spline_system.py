"""Splines of a radial function and a polynomial: one bordered system, its solution, its gradient by position."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator, squared_distances, window_cells

_ROUNDING = 2.0**-53
_CONDITION_LIMIT = 1e-4


class Radial(NamedTuple):
    """A function of the squared distance `s = |p - x|^2`, elementwise on arrays."""

    value: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    """Twice the derivative by `s`: the gradient of `value` by `p` is `slope(s) * (p - x)`. Finite at `s = 0`."""


@dataclass(frozen=True, eq=False)
class SplineSystem:
    """The equations of `f(x) = sum_i c_i phi(|x - p_i|) + sum_k v_k monomial_k(x)` through weights at the anchors.

    `[[Phi + g I, B], [B^T, 0]] [c; v] = [w; 0]`, with `Phi_ij = phi(|p_i - p_j|)` and `B` the monomials at the anchors.
    The monomials are those of the positions from their centre. Another centre gives other `v` and the same `f`, so that
    `f` has no derivative by it.
    """

    positions: FloatArray
    """`(n, d)` array, window cells."""
    radial: Radial
    powers: IntArray
    """`(m, k)` int array: each monomial's power of each coordinate along `axes`; see `monomial_powers`."""
    axes: FloatArray
    """`(d, k)` array: the directions that the polynomial varies along."""
    diagonal: float
    """`g`, 0 where the spline goes through its anchors."""

    def matrix(self, cells: FloatArray) -> tuple[FloatArray, float]:
        """Return the spline of every unit weight at `(cells, d)` points, `(cells, n)`, and the system's condition."""
        to_cells, between = self._distances(cells)
        solution, condition = solve_equilibrated(self._left(between), self._right(cells, to_cells))
        if not np.isfinite(solution).all():
            condition = np.inf
        return np.ascontiguousarray(solution[: len(self.positions)].T), condition

    def matrix_vjp(self, grad_matrix: FloatArray, cells: FloatArray) -> tuple[FloatArray, float]:
        """Return the `(n, d)` gradient by positions for a `(cells, n)` gradient by `matrix`, and the condition.

        With `S X = R` the system for all cells, `A = X[:n]^T` and `S Y = [grad_matrix^T; 0]`: the gradient by `R` is
        `Y` and by `S` is `-Y X^T`. Both solves share one factorisation. `axes` must be the identity.
        """
        n, n_cells = len(self.positions), len(cells)
        to_cells, between = self._distances(cells)
        right = np.zeros((n + len(self.powers), 2 * n_cells))
        right[:, :n_cells] = self._right(cells, to_cells)
        right[:n, n_cells:] = grad_matrix.T
        solution, condition = solve_equilibrated(self._left(between), right)
        solved, adjoint = solution[:, :n_cells], solution[:, n_cells:]
        by_left = -adjoint @ solved.T
        by_left = by_left + by_left.T  # each entry depends on two anchors, and has a twin across the diagonal
        grad = self._gradient_by_distances(adjoint[:n].T * self.radial.slope(to_cells), cells)
        grad += self._gradient_by_distances(by_left[:n, :n] * self.radial.slope(between), self.positions)
        return grad + self._gradient_by_monomials(by_left[:n, n:]), condition

    def _distances(self, cells: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the squared distances of the anchors from the cells, and from each other."""
        return squared_distances(cells, self.positions), squared_distances(self.positions, self.positions)

    def _left(self, squared: FloatArray) -> FloatArray:
        n = len(self.positions)
        tail = self._monomials(self.positions)
        left = np.zeros((n + tail.shape[1],) * 2)
        left[:n, :n] = self._values(squared)
        left[range(n), range(n)] += self.diagonal
        left[:n, n:] = tail
        left[n:, :n] = tail.T
        return left

    def _right(self, cells: FloatArray, squared: FloatArray) -> FloatArray:
        return np.concatenate([self._values(squared), self._monomials(cells)], axis=1).T

    def _values(self, squared: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore"):  # the condition tells
            return self.radial.value(squared)

    def _monomials(self, points: FloatArray) -> FloatArray:
        return monomials((points - self.positions.mean(axis=0)) @ self.axes, self.powers)

    def _gradient_by_distances(self, pull: FloatArray, points: FloatArray) -> FloatArray:
        """Return `sum_k pull[k, n] (p_n - x_k)`, the gradient by positions, for `(k, d)` points."""
        axes = zip(self.positions.T, points.T, strict=True)
        return np.stack([np.einsum("kn,kn->n", pull, p[None, :] - x[:, None]) for p, x in axes], axis=1)

    def _gradient_by_monomials(self, by_tail: FloatArray) -> FloatArray:
        """Return the gradient by positions for the `(n, m)` gradient by their monomials."""
        centred, powers = self.positions - self.positions.mean(axis=0), self.powers
        grad = np.zeros_like(centred)
        for axis, step in enumerate(np.eye(centred.shape[1], dtype=int)):
            slopes = powers[:, axis] * monomials(centred, np.maximum(powers - step, 0))
            grad[:, axis] = np.einsum("nm,nm->n", by_tail, slopes)
        return grad


class SplineInterpolator(Interpolator):
    """An interpolator whose matrix solves a `SplineSystem`; a subclass says which, in `system`."""

    distinct: ClassVar[bool] = True
    differentiable_by: ClassVar[tuple[str, ...]] = ("positions",)
    remedy: ClassVar[str] = "Move them apart."

    def system(self, positions: FloatArray) -> SplineSystem:
        """Return the equations for `(n, d)` positions."""
        raise NotImplementedError(f"{type(self).__name__} must define `system(positions)`.")

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`: the spline of every unit weight, at every cell.

        Raises
        ------
        AnchorError
            If the condition estimate of the equilibrated system times 2^-53 is above 1e-4.
        """
        matrix, condition = self.system(positions).matrix(window_cells(window))
        self._check_condition(condition, positions)
        return matrix

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradient by positions, by the adjoint of the linear solve; None for widths.

        It is finite everywhere. Where an anchor stands on a cell, or on another anchor, a radial function with a kink
        there (`r`) counts as flat: the mean of its one-sided derivatives.

        Raises
        ------
        AnchorError
            As `matrix` does.
        """
        grad, condition = self.system(positions).matrix_vjp(grad_matrix, window_cells(window))
        self._check_condition(condition, positions)
        return grad, None

    def condition(self, positions: FloatArray, window: tuple[int, ...]) -> float:
        """Return the condition estimate of the equilibrated system, in the 1-norm; infinity where it is singular."""
        return self.system(positions).matrix(window_cells(window)[:1])[1]

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the whole window where rows of `A` sum to one; without a polynomial a row may be zero."""
        return np.ones(window, dtype=bool) if self.constants else None

    def _check_condition(self, condition: float, positions: FloatArray) -> None:
        if not condition * _ROUNDING <= _CONDITION_LIMIT:
            nearest = f"; the nearest pair is {name_anchors(_nearest_pair(positions))}" if len(positions) > 1 else ""
            raise AnchorError(
                f"`positions` are too ill-conditioned for {self}: condition {condition:.1e}{nearest}. {self.remedy}"
            )


def monomial_powers(n_axes: int, degree: int) -> IntArray:
    """Return the `(m, n_axes)` powers of all monomials up to `degree`, lowest first; m = 0 for degree -1."""
    powers = [
        np.bincount(combination, minlength=n_axes)
        for power in range(degree + 1)
        for combination in itertools.combinations_with_replacement(range(n_axes), power)
    ]
    return np.array(powers, dtype=int).reshape(len(powers), n_axes)


def monomials(points: FloatArray, powers: IntArray) -> FloatArray:
    """Return the `(points, m)` monomials of the points' coordinates."""
    return np.prod(points[:, None, :] ** powers, axis=-1)


def solve_equilibrated(left: FloatArray, right: FloatArray) -> tuple[FloatArray, float]:
    """Solve the symmetric system `left` for every column of `right`; return the solution and the system's condition.

    Rows and columns are scaled alike by powers of two until every row's largest entry is near one, which leaves the
    solution as it is. The condition is LAPACK's 1-norm estimate for the scaled system, infinity for a singular one or
    one that is not finite.
    """
    from scipy.linalg import lapack

    singular = np.full(right.shape, np.nan), np.inf
    if not np.isfinite(left).all():
        return singular
    sizes, scale = np.abs(left), np.ones(len(left))
    for _ in range(4):
        largest = (sizes * scale).max(axis=1) * scale
        step = np.round(-np.log2(np.where(largest > 0, largest, 1.0)) / 2)
        if not step.any():
            break
        scale *= 2.0**step
    scaled = left * scale[:, None] * scale[None, :]
    factors, _, solution, info = lapack.dgesv(scaled, right * scale[:, None])
    if info > 0:
        return singular
    reciprocal, _ = lapack.dgecon(factors, np.abs(scaled).sum(axis=0).max(), norm="1")
    return solution * scale[:, None], 1.0 / reciprocal if reciprocal > 0 else np.inf


def _nearest_pair(positions: FloatArray) -> tuple[int, int]:
    distances = np.minimum(squared_distances(positions, positions), np.finfo(np.float64).max)
    np.fill_diagonal(distances, np.inf)
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    return int(first), int(second)
