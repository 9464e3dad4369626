"""The assertion that all results pass, and what it says when one does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from interpolated_kernels.arguments import names_options
from interpolated_kernels.arrays import FloatArray, compute_dtype
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.arithmetics import find_arithmetic
from interpolated_kernels.testing.arrays import as_array
from interpolated_kernels.testing.bounds import check_question, error_bound
from interpolated_kernels.testing.oracle import TAKEN, describe_problem, evaluate, find_quotient
from interpolated_kernels.testing.reproducing import write_array, write_program


class MismatchError(AssertionError):
    """A result is not the reference's: in one sentence, without the code that shows it again."""


@names_options(*TAKEN, "output_padding")
def assert_matches_reference(
    actual: Any,
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    quantity: str = "y",
    grad_y: Any = None,
    arithmetic: str | None = None,
    dtype: Any = None,
    quality: bool = False,
    exact: bool = False,
    **options: Any,
) -> float:
    """Raise unless `actual` is `conv`'s result, or one of `conv_backward`'s, within the error bounds.

    First dtype and shape, then the set of non-finite entries, then the bound of every element.

    Parameters
    ----------
    actual : array
        The result under test.
    x, weights, kernel, **options
        What it was computed from.
    quantity : {"y", "grad_x", "grad_weights", "grad_positions", "grad_widths", "transposed"}
        Which result it is: `conv`'s, a gradient, which needs `grad_y`, or `conv_transpose`'s.
    grad_y : array, optional
        As for `conv_backward`.
    arithmetic : {"float32", "float64", "tf32", "float16", "bfloat16"}, optional
        What it was computed in, see `error_bound`; by default what NumPy's promotion of the inputs gives.
    dtype : dtype, optional
        What it must be; by default as NumPy promotes, and for a gradient the dtype of its argument. A result of a
        narrower arithmetic may have its dtype too.
    quality : bool
        Also hold the bound for random data: C2, for normal and uniform data; in a narrower arithmetic, for normal data,
        its own.
    exact : bool
        Also hold C0, for data whose every partial sum is exact: equal to the last bit.

    Returns
    -------
    float
        The worst ratio of difference to bound, for `hypothesis.target`.

    Raises
    ------
    AssertionError
        With the worst ratio, its index, both values, the bound, and Python code that shows it again.
    TypeError, ValueError
        For an unknown quantity or arithmetic, a gradient without `grad_y`, or what NumPy cannot read.
    """
    check_question(quantity, grad_y)
    given = {"x": x, "weights": weights} | ({} if grad_y is None else {"grad_y": grad_y})
    arrays, actual = {name: as_array(name, value) for name, value in given.items()}, as_array("actual", actual)
    checks = {"arithmetic": arithmetic, "dtype": dtype, "quality": quality, "exact": exact}
    try:
        return compare(actual, arrays, kernel, quantity, options, **checks)
    except MismatchError as found:
        named = {} if quantity == "y" else {"quantity": quantity}
        named |= {name: value for name, value in checks.items() if value} | options
        call = ["# What the result was; put the call of what made it here.", f"actual = {write_array(actual)}"]
        raise AssertionError(f"{found}\n{write_program(kernel, arrays, call, named)}") from None


def compare(
    actual: FloatArray,
    arrays: Mapping[str, FloatArray],
    kernel: InterpolatedKernel,
    quantity: str,
    options: Mapping[str, Any],
    *,
    arithmetic: str | None = None,
    dtype: Any = None,
    quality: bool = False,
    exact: bool = False,
) -> float:
    """Return the worst ratio of difference to bound, or raise `MismatchError`; see `assert_matches_reference`."""
    used = arrays if quantity.startswith("grad_") else {name: arrays[name] for name in ("x", "weights")}
    arithmetic = arithmetic or compute_dtype(np.result_type(*used.values())).name
    _check_dtype(actual, quantity, dtype, used, arithmetic)
    with np.errstate(invalid="ignore"):
        expected = evaluate(quantity, used, kernel, choose_oracle(arithmetic), options)
    if actual.shape != expected.shape:
        raise MismatchError(f"{quantity} has shape {actual.shape}, expected {expected.shape}.")
    context = _Context(quantity, used, kernel, options, actual, expected)
    context.check_finite()
    if exact:
        context.check_equal()
    bound = error_bound(
        **used, kernel=kernel, quantity=quantity, arithmetic=arithmetic, out_dtype=actual.dtype.name, **options
    )
    worst = context.check_ratio("the bound C1", find_slack(arithmetic) * bound.componentwise, 1.0)
    if quality and find_arithmetic(arithmetic).rounds_factors:
        context.check_ratio("the bound for random data", bound.random, 1.0)
    elif quality:
        context.check_ratio("u S (the gate C2)", bound.unit * bound.scale, bound.quality)
    return worst


def _check_dtype(
    actual: FloatArray, quantity: str, dtype: Any, arrays: Mapping[str, FloatArray], arithmetic: str
) -> None:
    """Raise unless a result has a dtype that it may have.

    Without one that is asked for, a gradient has the dtype of what it is by, and any other result that of its operands;
    a kernel's arrays are float64, and their gradients may be. A narrower arithmetic may give its own.
    """
    computed = find_arithmetic(arithmetic).dtypes
    operand = arrays.get(quantity.removeprefix("grad_"))
    if dtype is not None:
        expected = [np.dtype(dtype).name]
    elif quantity in ("grad_positions", "grad_widths"):
        expected = ["float64", *computed]
    else:
        promoted = np.result_type(*arrays.values()) if operand is None else operand.dtype
        expected = [promoted.name, *computed[1:]]
    if actual.dtype.name not in expected:
        raise MismatchError(f"{quantity} has dtype {actual.dtype}, expected {' or '.join(dict.fromkeys(expected))}.")


def choose_oracle(arithmetic: str) -> Any:
    """Return the dtype of the reference that an arithmetic is compared with: longdouble for float64, else float64."""
    return np.longdouble if arithmetic == "float64" else np.float64


def find_slack(arithmetic: str) -> float:
    """Return what C1 is multiplied with: 2 for float64 where longdouble is no wider, and the reference no better."""
    return 2.0 if arithmetic == "float64" and np.finfo(np.longdouble).nmant < 63 else 1.0


def find_spoiled(
    arrays: Mapping[str, FloatArray], kernel: InterpolatedKernel, options: Mapping[str, Any]
) -> FloatArray:
    """Return which weights' gradients a non-finite product of their filter may spoil, in the weights' shape."""
    x, weights, grad_y = (arrays[name] for name in ("x", "weights", "grad_y"))
    problem = describe_problem(x, weights, kernel, **options)
    grad_y = grad_y.reshape(problem.y_shape)
    if problem.renormalizes:  # holes spoil nothing, nor does what comes from an output without a value
        is_met = find_quotient(x, weights, kernel, np.float64, **options).is_met
        x, grad_y = np.where(np.isnan(x), 0, x), np.where(is_met, grad_y, 0)
    by_filter = ~np.isfinite(grad_y).all(axis=(0, *range(2, grad_y.ndim)))
    shape = (problem.batch, problem.groups, problem.channels_per_group, *problem.spatial)
    by_group = ~np.isfinite(x.reshape(shape)).all(axis=(0, *range(2, len(shape))))
    spoiled = by_filter | np.repeat(by_group, problem.filters_per_group)
    spoiled = spoiled.reshape(-1, *(1,) * (len(problem.weights_shape) - 1))
    return np.broadcast_to(spoiled, problem.weights_shape).reshape(weights.shape)


class _Context:
    """A result beside the reference's, and what both are of."""

    def __init__(
        self,
        quantity: str,
        arrays: Mapping[str, FloatArray],
        kernel: InterpolatedKernel,
        options: Mapping[str, Any],
        actual: FloatArray,
        expected: FloatArray,
    ) -> None:
        self.quantity, self.arrays, self.kernel, self.options = quantity, arrays, kernel, options
        self.actual, self.expected = actual, expected

    def check_finite(self) -> None:
        """Raise unless the same entries are non-finite; in gradients by anchors a filter may be spoiled whole."""
        actual, expected = self.actual, self.expected
        wrong = np.isfinite(actual) != np.isfinite(expected)
        if self.quantity == "grad_weights":
            wrong &= np.isfinite(actual) | ~find_spoiled(self.arrays, self.kernel, self.options)
        elif self.quantity in ("grad_positions", "grad_widths"):
            wrong &= np.isfinite(actual) | (not find_spoiled(self.arrays, self.kernel, self.options).any())
        if wrong.any():
            index = tuple(map(int, np.argwhere(wrong)[0]))
            raise MismatchError(
                f"{self.quantity} is finite where the reference is not, or the other way, at {int(wrong.sum())} of "
                f"{wrong.size} entries, first at index {index}: got {actual[index]}, expected {expected[index]}."
            )

    def check_equal(self) -> None:
        """Raise unless all finite entries are equal to the last bit."""
        wrong, actual, expected = self._find_difference() != 0, self.actual, self.expected
        if wrong.any():
            index = tuple(map(int, np.argwhere(wrong)[0]))
            raise MismatchError(
                f"{self.quantity} is not exact (C0), though every partial sum is, at {int(wrong.sum())} of "
                f"{wrong.size} entries, first at index {index}: got {actual[index]!r}, expected {expected[index]!r}."
            )

    def check_ratio(self, what: str, unit: FloatArray, limit: float) -> float:
        """Raise if the difference over `unit` exceeds `limit` anywhere; return the largest as a part of `limit`."""
        difference = self._find_difference()
        if not difference.size:
            return 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(difference > 0, difference / unit, 0.0)
        worst = int(np.argmax(np.where(np.isnan(ratio), np.inf, ratio)))
        index = tuple(map(int, np.unravel_index(worst, ratio.shape)))
        if not ratio[index] <= limit:
            raise MismatchError(
                f"{self.quantity} is {float(ratio[index]):.3g} times {what} off reference (limit {limit:.3g}) at index "
                f"{index} of shape {self.actual.shape}: got {self.actual[index]!r}, expected {self.expected[index]!r}, "
                f"difference {float(difference[index]):.3g}, bound {float(unit[index]) * limit:.3g}; "
                f"{int((ratio > limit).sum())} of {ratio.size} entries exceed it."
            )
        return float(ratio[index]) / limit

    def _find_difference(self) -> FloatArray:
        """Return the absolute difference where both are finite, else 0: `check_finite` has seen the others."""
        finite = np.isfinite(self.expected) & np.isfinite(self.actual)
        ours = np.where(finite, self.actual.astype(self.expected.dtype), 0)
        return np.where(finite, np.abs(ours - np.where(finite, self.expected, 0)), 0)
