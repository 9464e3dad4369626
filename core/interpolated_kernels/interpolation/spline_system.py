"""Splines of a radial function and a polynomial: one bordered system, its functions, its gradient by position."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.interpolation.base import squared_distances
from interpolated_kernels.interpolation.factorisation import Factorisation, factorise
from interpolated_kernels.interpolation.local import in_blocks
from interpolated_kernels.lazy import loops


class Radial(NamedTuple):
    """A function of the squared distance `s = |p - x|^2`, elementwise on arrays."""

    value: Callable[[FloatArray], FloatArray]
    slope: Callable[[FloatArray], FloatArray]
    """Twice the derivative by `s`: the gradient of `value` by `p` is `slope(s) * (p - x)`. Finite at `s = 0`."""
    loops: str | None = None
    """The name of the loops that know the function too, where there are some."""


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

    @functools.cached_property
    def factors(self) -> Factorisation:
        """The factorised system, for as long as this object lives."""
        return factorise(self._left(self._between))

    @property
    def _between(self) -> FloatArray:
        return squared_distances(self.positions, self.positions)

    @property
    def n_unknowns(self) -> int:
        """The coefficients of radial functions and monomials."""
        return len(self.positions) + len(self.powers)

    def functions(self, cells: FloatArray) -> FloatArray:
        """Return the radial functions and monomials at `(k, d)` cells: `(k, n + m)`."""
        squared = squared_distances(cells, self.positions)
        return np.concatenate([self._values(squared), self._monomials(cells)], axis=1)

    def rows(self, cells: FloatArray) -> FloatArray:
        """Return the spline of every unit weight at `(k, d)` cells: their rows of `A`, `(k, n)`."""
        solution = self.factors.solve(self.functions(cells).T)
        return np.ascontiguousarray(solution[: len(self.positions)].T)

    def coefficients(self, weights: FloatArray) -> FloatArray:
        """Return `(kernels, n + m)` coefficients of the splines through weights `(kernels, n)`."""
        right = np.zeros((self.n_unknowns, len(weights)))
        right[: weights.shape[1]] = weights.T
        return np.ascontiguousarray(self.factors.solve(right).T)

    def solve(self, pulled: FloatArray) -> FloatArray:
        """Return the anchors' part `(kernels, n)` of the solutions for right sides `(kernels, n + m)`."""
        return np.asarray(self.factors.solve(np.ascontiguousarray(pulled.T))[: len(self.positions)].T)

    def vjp(self, grad_kernels: FloatArray, weights: FloatArray, cells: FloatArray) -> FloatArray:
        """Return the `(n, d)` gradient by positions, for the kernels' gradients `(kernels, cells)`.

        A kernel is `F c` with `S c = [w; 0]`, `F` being the functions at the cells. With `S y = F^T g` its gradient is
        that of `F` and `S` under `g c^T` and `-y c^T`: no array of cells x anchors outlives a block of cells. `axes`
        must be the identity.
        """
        n, coefficients = len(self.positions), self.coefficients(weights)
        pulled, grad = self.gather(grad_kernels, cells)[0], self._move(grad_kernels, coefficients[:, :n], cells)
        by_left = -self.factors.solve(pulled.T) @ coefficients
        by_left = by_left + by_left.T  # each entry depends on two anchors, and has a twin across the diagonal
        grad += self._gradient_by_distances(by_left[:n, :n] * self.radial.slope(self._between), self.positions)
        return grad + self._gradient_by_monomials(by_left[:n, n:])

    @property
    def _loops(self) -> str | None:
        """The name of the loops that serve: they know three axes at most."""
        return self.radial.loops if self.positions.shape[1] <= 3 else None

    def fill(self, coefficients: FloatArray, cells: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the kernels `(kernels, cells)` of coefficients `(kernels, n + m)`, and sums of absolute values."""
        n = len(self.positions)
        if self._loops is None:
            parts = in_blocks(lambda block: _apply(coefficients, self.functions(cells[block])), len(cells), n)
            filled, sizes = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
            return filled, sizes
        radial = np.ascontiguousarray(coefficients[:, :n])
        filled, sizes = loops.SPLINES[self._loops].fill(radial, _in_three(cells), _in_three(self.positions))
        trend, trend_sizes = _apply(coefficients[:, n:], self._monomials(cells))
        return filled + trend, sizes + trend_sizes

    def gather(self, grad: FloatArray, cells: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return `F^T g` `(kernels, n + m)` for gradients `(kernels, cells)`, and sums of absolute values."""
        if self._loops is None:
            parts = in_blocks(
                lambda block: _apply(np.ascontiguousarray(grad[:, block]), self.functions(cells[block]).T),
                len(cells), len(self.positions),
            )  # fmt: skip
            pulled, sizes = (functools.reduce(np.add, part) for part in zip(*parts, strict=True))
            return pulled, sizes
        grad = np.ascontiguousarray(grad, np.float64)
        radial = loops.SPLINES[self._loops].gather(grad, _in_three(cells), _in_three(self.positions))
        trend = _apply(grad, self._monomials(cells).T)
        pulled, sizes = (np.concatenate(parts, axis=1) for parts in zip(radial, trend, strict=True))
        return pulled, sizes

    def _move(self, grad: FloatArray, coefficients: FloatArray, cells: FloatArray) -> FloatArray:
        """Return the gradient by positions `(n, d)` through the radial functions at the cells."""
        if self._loops is None:
            parts = in_blocks(
                lambda block: self._move_by(grad[:, block], coefficients, cells[block]), len(cells), len(self.positions)
            )
            return functools.reduce(np.add, parts)
        moved = loops.SPLINES[self._loops].move(
            np.ascontiguousarray(grad, np.float64), np.ascontiguousarray(coefficients), _in_three(cells),
            _in_three(self.positions),
        )  # fmt: skip
        return np.asarray(moved.T[:, 3 - self.positions.shape[1] :])

    def _move_by(self, grad: FloatArray, coefficients: FloatArray, cells: FloatArray) -> FloatArray:
        pull = (grad.T @ coefficients) * self.radial.slope(squared_distances(cells, self.positions))
        return self._gradient_by_distances(pull, cells)

    def _left(self, squared: FloatArray) -> FloatArray:
        n = len(self.positions)
        tail = self._monomials(self.positions)
        left = np.zeros((n + tail.shape[1],) * 2)
        left[:n, :n] = self._values(squared)
        left[range(n), range(n)] += self.diagonal
        left[:n, n:] = tail
        left[n:, :n] = tail.T
        return left

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


def _in_three(points: FloatArray) -> FloatArray:
    """Return `(k, d)` points as `(3, k)` coordinates, 0 on axes that are not there."""
    padded = np.zeros((3, len(points)))
    padded[3 - points.shape[1] :] = points.T
    return padded


def _apply(rows: FloatArray, functions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return `rows @ functions^T`, and the same of absolute values; a row depends on nothing but itself."""
    functions = np.ascontiguousarray(functions)
    return loops.dot(np.ascontiguousarray(rows), functions), loops.dot(np.abs(rows), np.abs(functions))


def count_monomials(n_axes: int, degree: int) -> int:
    """Return how many monomials there are up to `degree`, without listing them."""
    return math.comb(n_axes + degree, n_axes) if degree >= 0 else 0


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
