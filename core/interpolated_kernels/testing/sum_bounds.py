"""How far one sum of products may be from its exact value: C1, as `bounds` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import Problem
from interpolated_kernels.testing.arithmetics import ARITHMETICS, Arithmetic, find_arithmetic
from interpolated_kernels.testing.oracle import evaluate
from interpolated_kernels.testing.sums import BY_ANCHORS, count_shown, find_condition, sum_absolute, sum_squares

_PRODUCTS_OF_BLOCK = 4096

_SPREAD = 8.0  # torch's worst in bfloat16 and float16 was 0.18 to 0.3 of it on windows of 25 to 961 cells
_ROUNDINGS_OF_DERIVATIVES = 64

UNITS = {name: arithmetic.unit for name, arithmetic in ARITHMETICS.items()}
"""The unit roundoff of every arithmetic."""


@dataclass(frozen=True, eq=False)
class SumBound:
    """What the bounds of y and both gradients have in common.

    Attributes
    ----------
    arithmetic : Arithmetic
        What was computed in.
    options : dict
        Those of `conv`; here NaN propagates.
    """

    arithmetic: Arithmetic
    kernel: InterpolatedKernel
    problem: Problem
    options: Mapping[str, Any]

    @property
    def sums(self) -> Arithmetic:
        """The arithmetic of sums."""
        return ARITHMETICS[self.arithmetic.sums]

    @property
    def unit(self) -> float:
        """The unit roundoff that is summed in."""
        return self.sums.unit

    def find(self, quantity: str, given: Mapping[str, Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return `S`, C1 and the bound for random data of a quantity, from x, weights and, for gradients, grad_y."""
        arrays = {name: np.asarray(value).astype(np.float64) for name, value in given.items()}
        sizes = {name: np.abs(array) for name, array in arrays.items()}
        finite = {name: np.where(np.isfinite(size), size, 0.0) for name, size in sizes.items()}
        n, factors = count_products(self.problem, quantity), self.arithmetic
        scale, lost = self.sum_sizes(quantity, sizes), self._sum_underflow(quantity, finite)
        growth = gamma(_count_roundings(quantity, n, self.kernel), self.unit)
        underflow = self.sums.tiniest * (n + 1) * (1.0 + lost)
        if not factors.rounds_factors:
            return scale, growth * scale + underflow, find_quality(n) * self.unit * scale
        underflow = underflow + factors.tiniest * (lost + self._sum_cofactors(quantity, finite))
        spread: FloatArray | float = 0.0
        if quantity != "transposed":
            squares = sum_squares(quantity, arrays, self.kernel, self.problem).reshape(scale.shape)
            spread = _SPREAD * factors.unit * np.sqrt(squares)
        whole = (1.0 + factors.unit) ** 2 * (1.0 + growth) - 1.0
        return scale, whole * scale + underflow, growth * scale + underflow + spread

    def find_results(self, out_dtype: str | None) -> list[Arithmetic]:
        """Return what a result may have been rounded to in the end: its dtype, and that of the arithmetic."""
        names = (out_dtype or self.sums.name, self.arithmetic.name if self.arithmetic.is_dtype else self.sums.name)
        return [find_arithmetic(name) for name in dict.fromkeys(names) if UNITS[name] > self.unit]

    def sum_sizes(self, quantity: str, sizes: Mapping[str, FloatArray]) -> FloatArray:
        """Return a quantity for sizes and `abs(A)`: `S`, or what errors of these sizes sum to."""
        return sum_absolute(quantity, sizes, self.kernel, self.problem, self.options)

    def _sum_underflow(self, quantity: str, sizes: Mapping[str, FloatArray]) -> FloatArray | float:
        """Return what multiplies the smallest subnormal: for y `conv(abs(x), 1) + sum abs(w)`, and its like for others.

        A weight's gradient is the dense gradient through a column of `abs(A)`, so the largest sum of a column takes the
        place of the weights; for a position's or width's that is a sum over its derivatives.
        """
        kernel, problem = self.kernel, self.problem
        if quantity not in ("y", "grad_x", "transposed"):
            blocks = max(problem.batch * int(np.prod(problem.out_spatial)) // _PRODUCTS_OF_BLOCK, 1)
            columns = np.abs(kernel.matrix).sum(axis=-2).max()
            if quantity in BY_ANCHORS:
                ones = {name: np.ones_like(sizes[name]) for name in ("x", "grad_y")}
                columns = self.sum_sizes(quantity, {**sizes, **ones})
            return blocks * columns + float(sizes["grad_y"].sum() + sizes["x"].sum())
        mode = "tied" if problem.sums_channels else "separate"
        box = InterpolatedKernel(np.zeros((1, kernel.n_dims)), problem.window, "nearest", channel_mode=mode)
        channels = () if problem.sums_channels else (problem.channels_per_group,)
        shape = (1,) if sizes["weights"].ndim == 1 else (problem.filters, *channels, 1)
        products = evaluate(quantity, {**sizes, "weights": np.ones(shape)}, box, np.float64, self.options)
        return products + float(sizes["weights"].sum())

    def _sum_cofactors(self, quantity: str, sizes: Mapping[str, FloatArray]) -> FloatArray:
        """Return the sum of what the arrays' factors are multiplied with, which multiplies the smallest factor."""
        factors = {"y": ("x",), "grad_x": ("grad_y",), "transposed": ("x",)}.get(quantity, ("x", "grad_y"))
        ones = ({name: np.ones_like(sizes[name])} for name in factors)
        return np.sum([self.sum_sizes(quantity, {**sizes, **one}) for one in ones], axis=0)


def find_quality(n: int) -> float:
    """Return C2: the largest `abs(y - reference) / (u S)` of n products, on normal and uniform data."""
    return 4.0 * float(np.sqrt(n + 2))


def gamma(k: float, unit: float) -> float:
    """Return `k u / (1 - k u)`, the bound on k roundings in any order; beyond a half `(1 + u)^k - 1`."""
    return k * unit / (1.0 - k * unit) if k * unit <= 0.5 else float(np.expm1(k * np.log1p(unit)))


def count_products(problem: Problem, quantity: str) -> int:
    """Return n: window cells x channels of a group for y, x its filters for grad_x, at most 4096 for grad_weights.

    A transposed convolution is a gradient by x. For both the additions count too that fold padded cells into the one
    that they show.
    """
    cells = int(np.prod(problem.window))
    if quantity == "y":
        return cells * problem.channels_per_group
    if quantity in ("grad_x", "transposed"):
        return cells * problem.filters_per_group + sum(shown - 1 for shown in count_shown(problem))
    return min(_PRODUCTS_OF_BLOCK, problem.batch * int(np.prod(problem.out_spatial)) * problem.n_summed)


def _count_roundings(quantity: str, n: int, kernel: InterpolatedKernel) -> float:
    """Return how many roundings an element may have: n + m + 4d, those of cells that share a weight, of derivatives."""
    roundings = n + kernel.n_anchors + 4 * kernel.n_dims
    if quantity == "grad_weights":
        return roundings + int(np.count_nonzero(kernel.matrix, axis=-2).max())
    if quantity not in BY_ANCHORS:
        return roundings
    return roundings + int(np.prod(kernel.window)) + _ROUNDINGS_OF_DERIVATIVES * find_condition(kernel)
