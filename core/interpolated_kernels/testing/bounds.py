"""How far a result may be from the reference: the bounds C1 and C2 of the documentation's page on accuracy.

Both are in terms of `S`, the same sum over absolute values, and `n`, the number of products of one element:

- C1, for every element and any data: `gamma(n + m + 4d) S + eta (n + 1) (1 + conv(abs(x), 1) + sum abs(w))`, where
  `gamma(k) = k u / (1 - k u)` and eta is the smallest subnormal number;
  a weight's gradient is also summed over the cells that the weight has a part in, which n then counts too;
- C2, for normal and uniform data: `max abs(y - reference) / (u S) <= 4 sqrt(n + 2)`.

Where the factors of products are rounded to a narrower dtype of unit roundoff v (`arithmetics`), C1 has these roundings
too, and in the place of C2, for normal data, stands `8 v sqrt(conv(x^2, K^2))` beside what C1 allows the sums: errors
of factors are then independent, and add up as such. That is twenty times the standard deviation of such a sum, and
several times the worst that frameworks show; yet it is below the product of most taps: not even a lost one passes.

The gradients by positions and widths have the bounds of the gradient by the dense kernel, through the sizes of their
derivatives, and 64 roundings more, times the condition of what the interpolator solves, for the derivatives themselves.

With missing="renormalize" y is a quotient of two sums, and its bounds are those of both, to first order: see
`quotient_bounds`.

Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arguments import check_choice, names_options
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.arithmetics import find_arithmetic
from interpolated_kernels.testing.arrays import as_array
from interpolated_kernels.testing.oracle import TAKEN, describe_problem, describe_transposed, evaluate
from interpolated_kernels.testing.quotient_bounds import QuotientBound
from interpolated_kernels.testing.sum_bounds import SumBound, count_products, find_quality

QUANTITIES = ("y", "grad_x", "grad_weights", "grad_positions", "grad_widths", "transposed")


@dataclass(frozen=True, eq=False)
class ErrorBound:
    """What a result may differ by from the reference.

    Attributes
    ----------
    n : int
        Products of one element (at most 4096 for the weights' gradient, whose blocks are summed in float64).
    unit : float
        The unit roundoff `u` that is summed in.
    scale : array
        `S`, the sum over absolute values, for every element.
    componentwise : array
        C1: the largest difference that any element may have.
    quality : float
        C2: the largest `abs(y - reference) / (u S)` on normal and uniform data.
    random : array
        The largest difference that any element may have on random data: by C2; where factors are rounded to a narrower
        dtype, and for normal data, `8 v sqrt(conv(x^2, K^2))` beside what C1 allows the sums.
    """

    n: int
    unit: float
    scale: FloatArray
    componentwise: FloatArray
    quality: float
    random: FloatArray


@names_options(*TAKEN, "output_padding")
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
        As for `conv`; as for `conv_transpose` where that is compared.
    quantity : {"y", "grad_x", "grad_weights", "grad_positions", "grad_widths", "transposed"}
        What is compared: `conv`'s result, a gradient, which needs `grad_y`, or `conv_transpose`'s result.
    grad_y : array, optional
        As for `conv_backward`.
    arithmetic : {"float32", "float64", "tf32", "float16", "bfloat16"}
        What was computed in; the last three mean products of inputs so rounded, summed in float32.
    out_dtype : str, optional
        What the result was rounded to in the end, where that is narrower.

    Raises
    ------
    ValueError
        For an unknown quantity or arithmetic, or a gradient without `grad_y`.
    """
    check_question(quantity, grad_y)
    if out_dtype is not None:
        check_choice("out_dtype", out_dtype, ("float64", "float32", "float16", "bfloat16"))
    given = {"x": x, "weights": weights} | ({} if grad_y is None else {"grad_y": grad_y})
    arrays = {name: as_array(name, value).astype(np.float64) for name, value in given.items()}
    x, weights = arrays["x"], arrays["weights"]
    describe = describe_transposed if quantity == "transposed" else describe_problem
    problem = describe(x, weights, kernel, **options)
    bound = SumBound(find_arithmetic(arithmetic), kernel, problem, {**options, "missing": "propagate"})
    if problem.renormalizes:
        _check_quotient(quantity)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scale, limit = (QuotientBound(bound, x, weights, measure).find(quantity, grad_y) for measure in (0, 1))
        random = limit
    else:
        scale, limit, random = bound.find(quantity, arrays)
    for result in bound.find_results(out_dtype):
        with np.errstate(invalid="ignore"):
            value = np.abs(evaluate(quantity, arrays, kernel, np.float64, options))
        limit, random = (each + result.unit * (value + each) + result.tiniest for each in (limit, random))
    n = count_products(problem, quantity)
    return ErrorBound(n, bound.unit, scale, limit, find_quality(n), random)


def check_question(quantity: str, grad_y: Any) -> None:
    """Raise `ValueError` unless the quantity is one, and `grad_y` came for a gradient."""
    check_choice("quantity", quantity, QUANTITIES)
    if quantity.startswith("grad_") and grad_y is None:
        raise ValueError(f"`grad_y` is needed for {quantity}: pass the gradient by `conv`'s result.")


def _check_quotient(quantity: str) -> None:
    if quantity not in ("y", "grad_x", "grad_weights"):
        raise ValueError(f"`quantity` must be y, grad_x or grad_weights with missing='renormalize', got {quantity!r}.")
