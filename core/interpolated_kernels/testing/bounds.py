"""How far a result may be from the reference: the bounds C1 and C2 of the documentation's page on accuracy.

Both are in terms of `S`, the same sum over absolute values, and `n`, the number of products of one element:

- C1, for every element and any data: `gamma(n + m + 4d) S + eta (n + 1) (1 + conv(abs(x), 1) + sum abs(w))`, where
  `gamma(k) = k u / (1 - k u)` and eta is the smallest subnormal number;
- C2, for normal and uniform data: `max abs(y - reference) / (u S) <= 4 sqrt(n + 2)`.

Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.padding import index_axis
from interpolated_kernels.problem import Problem
from interpolated_kernels.testing.oracle import absolute, describe_problem, evaluate

QUANTITIES = ("y", "grad_x", "grad_weights")
_PRODUCTS_OF_BLOCK = 4096

UNITS = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
"""The unit roundoff of every dtype."""

_TINIEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


@dataclass(frozen=True, eq=False)
class ErrorBound:
    """What a result may differ by from the reference.

    Attributes
    ----------
    n : int
        Products of one element (at most 4096 for the weights' gradient, whose blocks are summed in float64).
    unit : float
        The unit roundoff `u` that is computed in.
    scale : array
        `S`, the sum over absolute values, for every element.
    componentwise : array
        C1: the largest difference that any element may have.
    quality : float
        C2: the largest `abs(y - reference) / (u S)` on normal and uniform data.
    """

    n: int
    unit: float
    scale: FloatArray
    componentwise: FloatArray
    quality: float


def error_bound(
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    quantity: str = "y",
    grad_y: Any = None,
    arithmetic: str = "float32",
    out_dtype: str | None = None,
    **options: Any,
) -> ErrorBound:
    """Return the bounds for one result of `conv` or `conv_backward`.

    Parameters
    ----------
    x, weights, kernel, **options
        As for `conv`.
    quantity : {"y", "grad_x", "grad_weights"}
        What is compared; the gradients need `grad_y`.
    grad_y : array, optional
        As for `conv_backward`.
    arithmetic : {"float32", "float64"}
        What was computed in.
    out_dtype : str, optional
        What the result was rounded to in the end, where that is narrower.

    Raises
    ------
    ValueError
        For an unknown quantity, or a gradient without `grad_y`.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"`quantity` must be one of {', '.join(QUANTITIES)}, got {quantity!r}.")
    if quantity != "y" and grad_y is None:
        raise ValueError(f"`grad_y` is needed for the bound of {quantity}.")
    problem = describe_problem(x, weights, kernel, **options)
    unit, tiniest = UNITS[arithmetic], _TINIEST[arithmetic]
    n = count_products(problem, quantity)
    given = {"x": x, "weights": weights} | ({} if grad_y is None else {"grad_y": grad_y})
    sizes = {name: np.abs(np.asarray(value).astype(np.float64)) for name, value in given.items()}
    with np.errstate(invalid="ignore"):
        scale = evaluate(quantity, sizes, absolute(kernel), np.float64, options)
    finite = {name: np.where(np.isfinite(value), value, 0.0) for name, value in sizes.items()}
    bound = gamma(n + kernel.n_anchors + 4 * kernel.n_dims, unit) * scale
    bound = bound + tiniest * (n + 1) * (1.0 + _sum_underflow(quantity, finite, kernel, problem, options))
    if out_dtype is not None and UNITS[out_dtype] > unit:
        value = evaluate(quantity, given, kernel, np.float64, options)
        bound = bound + UNITS[out_dtype] * (np.abs(value) + bound) + _TINIEST[out_dtype]
    return ErrorBound(n, unit, scale, bound, 4.0 * float(np.sqrt(n + 2)))


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
    quantity: str, sizes: dict[str, FloatArray], kernel: InterpolatedKernel, problem: Problem, options: dict[str, Any]
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
