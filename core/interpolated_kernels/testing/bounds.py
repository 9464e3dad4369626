"""How far a result may be from the reference: the bounds C1 and C2 of the documentation's page on accuracy.

Both are in terms of `S`, the same sum over absolute values, and `n`, the number of products of one element:

- C1, for every element and any data: `gamma(n + m + 4d) S + eta (n + 1) (1 + conv(abs(x), 1) + sum abs(w))`, where
  `gamma(k) = k u / (1 - k u)` and eta is the smallest subnormal number;
- C2, for normal and uniform data: `max abs(y - reference) / (u S) <= 4 sqrt(n + 2)`.

With missing="renormalize" y is a quotient of two sums, and its bounds are those of both, to first order: see
`quotient_bounds`.

Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.oracle import describe_problem, evaluate
from interpolated_kernels.testing.quotient_bounds import QuotientBound
from interpolated_kernels.testing.sum_bounds import TINIEST, UNITS, SumBound, count_products

QUANTITIES = ("y", "grad_x", "grad_weights")


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
    problem, given = describe_problem(x, weights, kernel, **options), {"x": x, "weights": weights}
    given |= {} if grad_y is None else {"grad_y": grad_y}
    n = count_products(problem, quantity)
    bound = SumBound(arithmetic, kernel, problem, {**options, "missing": "propagate"})
    if problem.renormalizes:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scale, limit = (QuotientBound(bound, x, weights, measure).find(quantity, grad_y) for measure in (0, 1))
    else:
        scale, limit = bound.find(quantity, given)
    if out_dtype is not None and UNITS[out_dtype] > bound.unit:
        value = evaluate(quantity, given, kernel, np.float64, options)
        limit = limit + UNITS[out_dtype] * (np.abs(value) + limit) + TINIEST[out_dtype]
    return ErrorBound(n, bound.unit, scale, limit, 4.0 * float(np.sqrt(n + 2)))
