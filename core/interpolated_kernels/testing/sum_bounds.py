"""How far one sum of products may be from its exact value: C1, as `bounds` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.padding import index_axis
from interpolated_kernels.problem import Problem
from interpolated_kernels.testing.oracle import absolute, evaluate

_PRODUCTS_OF_BLOCK = 4096

UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""The unit roundoff of every dtype."""

TINIEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


@dataclass(frozen=True, eq=False)
class SumBound:
    """What the bounds of y and both gradients have in common.

    Attributes
    ----------
    arithmetic : {"float32", "float64"}
        What was computed in.
    options : dict
        Those of `conv`; here NaN propagates.
    """

    arithmetic: str
    kernel: InterpolatedKernel
    problem: Problem
    options: Mapping[str, Any]

    @property
    def unit(self) -> float:
        """The unit roundoff that is computed in."""
        return UNITS[self.arithmetic]

    def find(self, quantity: str, given: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
        """Return `S` and C1 of a quantity, from x, weights and, for gradients, grad_y."""
        sizes = {name: np.abs(np.asarray(value).astype(np.float64)) for name, value in given.items()}
        n, tiniest = count_products(self.problem, quantity), TINIEST[self.arithmetic]
        scale = self.sum_sizes(quantity, sizes)
        finite = {name: np.where(np.isfinite(value), value, 0.0) for name, value in sizes.items()}
        limit = gamma(n + self.kernel.n_anchors + 4 * self.kernel.n_dims, self.unit) * scale
        underflow = _sum_underflow(quantity, finite, self.kernel, self.problem, self.options)
        return scale, limit + tiniest * (n + 1) * (1.0 + underflow)

    def sum_sizes(self, quantity: str, sizes: Mapping[str, FloatArray]) -> FloatArray:
        """Return a quantity for sizes and `abs(A)`: `S`, or what errors of these sizes sum to."""
        with np.errstate(invalid="ignore"):
            return evaluate(quantity, sizes, absolute(self.kernel), np.float64, self.options)


def gamma(k: int, unit: float) -> float:
    """Return `k u / (1 - k u)`, the bound on k roundings in any order; infinite where k u reaches 1."""
    return k * unit / (1.0 - k * unit) if k * unit < 1 else float("inf")


def count_products(problem: Problem, quantity: str) -> int:
    """Return n: window cells x channels of a group for y, x its filters for grad_x, at most 4096 for grad_weights.

    For grad_x the additions count too that fold padded cells into the one that they show.
    """
    cells = int(np.prod(problem.window))
    if quantity == "y":
        return cells * problem.channels_per_group
    if quantity == "grad_x":
        return cells * problem.filters_per_group + sum(
            int(np.bincount(index_axis(problem, axis)).max()) - 1 for axis, folds in enumerate(problem.folds) if folds
        )
    channels = problem.channels_per_group if problem.sums_channels else 1
    return min(_PRODUCTS_OF_BLOCK, problem.batch * int(np.prod(problem.out_spatial)) * channels)


def _sum_underflow(
    quantity: str,
    sizes: dict[str, FloatArray],
    kernel: InterpolatedKernel,
    problem: Problem,
    options: Mapping[str, Any],
) -> FloatArray | float:
    """Return what multiplies the smallest subnormal: for y `conv(abs(x), 1) + sum abs(w)`, and its like for gradients.

    A weight's gradient is the dense gradient through a column of `abs(A)`, so the largest sum of a column takes the
    place of the weights.
    """
    if quantity == "grad_weights":
        blocks = max(problem.batch * int(np.prod(problem.out_spatial)) // _PRODUCTS_OF_BLOCK, 1)
        return float(blocks * np.abs(kernel.matrix).sum(axis=-2).max() + sizes["grad_y"].sum() + sizes["x"].sum())
    mode = "tied" if problem.sums_channels else "separate"
    ones = InterpolatedKernel(np.zeros((1, kernel.n_dims)), problem.window, "nearest", channel_mode=mode)
    channels = () if problem.sums_channels else (problem.channels_per_group,)
    shape = (1,) if sizes["weights"].ndim == 1 else (problem.filters, *channels, 1)
    products = evaluate(quantity, sizes | {"weights": np.ones(shape)}, ones, np.float64, options)
    return products + float(sizes["weights"].sum())
