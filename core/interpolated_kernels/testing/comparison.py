"""The assertion that all results pass, and what it says when one does not."""

from __future__ import annotations

import base64
import os
import tempfile
import zlib
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, compute_dtype
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.testing.bounds import error_bound
from interpolated_kernels.testing.oracle import describe_problem, evaluate, find_quotient

_MOST_BYTES_IN_CODE = 4096


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
    quantity : {"y", "grad_x", "grad_weights"}
        Which result it is; the gradients need `grad_y`.
    grad_y : array, optional
        As for `conv_backward`.
    arithmetic : {"float32", "float64"}, optional
        What it was computed in; by default what NumPy's promotion of the inputs gives.
    dtype : dtype, optional
        What it must be; by default as NumPy promotes, and for a gradient the dtype of its argument.
    quality : bool
        Also hold the quality gate, for normal and uniform data.

    Returns
    -------
    float
        The worst ratio of difference to bound, for `hypothesis.target`.

    Raises
    ------
    AssertionError
        With the worst ratio, its index, both values, the bound, and Python code that reproduces it.
    """
    actual, x, weights = np.asarray(actual), np.asarray(x), np.asarray(weights)
    promoted = np.result_type(x, weights) if quantity == "y" else np.result_type(x, weights, np.asarray(grad_y))
    arithmetic = arithmetic or compute_dtype(promoted).name
    expected_dtype = np.dtype(dtype or {"y": promoted, "grad_x": x.dtype, "grad_weights": weights.dtype}[quantity])
    context = _Context(quantity, x, weights, kernel, grad_y, options)
    if actual.dtype != expected_dtype:
        raise AssertionError(f"{quantity} has dtype {actual.dtype}, expected {expected_dtype}.\n{context.code()}")
    expected = context.evaluate(arithmetic)
    if actual.shape != expected.shape:
        raise AssertionError(f"{quantity} has shape {actual.shape}, expected {expected.shape}.\n{context.code()}")
    _check_finite(actual, expected, context)
    bound = error_bound(
        x,
        weights,
        kernel,
        quantity=quantity,
        grad_y=grad_y,
        arithmetic=arithmetic,
        out_dtype=expected_dtype.name,
        **options,
    )
    limit = bound.componentwise
    if arithmetic == "float64" and not _has_wide_longdouble():
        limit = 2 * limit  # then the reference itself is no better
    difference = _subtract_finite(actual, expected)
    worst = _check_ratio("the bound C1", difference, limit, actual, expected, 1.0, context)
    if quality:
        _check_ratio(
            "u S (the gate C2)", difference, bound.unit * bound.scale, actual, expected, bound.quality, context
        )
    return worst


def _subtract_finite(actual: FloatArray, expected: FloatArray) -> FloatArray:
    """Return the absolute difference where both are finite, else 0: `_check_finite` has seen the others."""
    finite = np.isfinite(expected) & np.isfinite(actual)
    ours, theirs = np.where(finite, actual.astype(expected.dtype), 0), np.where(finite, expected, 0)
    return np.where(finite, np.abs(ours - theirs), 0)


def _has_wide_longdouble() -> bool:
    return bool(np.finfo(np.longdouble).nmant >= 63)


class _Context:
    """What a failure was computed from, and the code that computes it again."""

    def __init__(
        self,
        quantity: str,
        x: FloatArray,
        weights: FloatArray,
        kernel: InterpolatedKernel,
        grad_y: Any,
        options: dict[str, Any],
    ) -> None:
        self.quantity, self.kernel, self.options = quantity, kernel, options
        self.arrays = {"x": x, "weights": weights} | ({} if grad_y is None else {"grad_y": np.asarray(grad_y)})

    def evaluate(self, arithmetic: str) -> FloatArray:
        """Return the reference's result, in more digits than the arithmetic under test has."""
        precise = np.longdouble if arithmetic == "float64" else np.float64
        with np.errstate(invalid="ignore"):
            return evaluate(self.quantity, self.arrays, self.kernel, precise, self.options)

    def find_spoiled_filters(self) -> FloatArray:
        """Return which weights' gradients a non-finite product of their filter may spoil, in the weights' shape."""
        x, weights, grad_y = (self.arrays[name] for name in ("x", "weights", "grad_y"))
        problem = describe_problem(x, weights, self.kernel, **self.options)
        if problem.renormalizes:  # holes spoil nothing, nor does what comes from an output without a value
            is_met = find_quotient(x, weights, self.kernel, np.float64, **self.options).is_met
            x, grad_y = np.where(np.isnan(x), 0, x), np.where(is_met, grad_y.reshape(problem.y_shape), 0)
        by_filter = ~np.isfinite(grad_y.reshape(problem.y_shape)).all(
            axis=(0, *range(2, grad_y.reshape(problem.y_shape).ndim))
        )
        shape = (problem.batch, problem.groups, problem.channels_per_group, *problem.spatial)
        by_group = ~np.isfinite(x.reshape(shape)).all(axis=(0, *range(2, len(shape))))
        spoiled = by_filter | np.repeat(by_group, problem.filters_per_group)
        return np.broadcast_to(
            spoiled.reshape(-1, *(1,) * (len(problem.weights_shape) - 1)), problem.weights_shape
        ).reshape(weights.shape)

    def code(self) -> str:
        """Return Python code that computes the result again."""
        arguments = "".join(f", {name}={value!r}" for name, value in self.options.items())
        lines = ["import base64, zlib", "import numpy, interpolated_kernels as ik"]
        try:
            lines.append(f"kernel = ik.InterpolatedKernel.from_dict({self.kernel.to_dict()!r})")
        except ValueError:  # an interpolator that was never registered
            lines.append(f"kernel = {self.kernel!r}  # not registered: build it by hand")
        lines += [f"{name} = {_write_array(name, array)}" for name, array in self.arrays.items()]
        if self.quantity == "y":
            lines.append(f"actual = ik.conv(x, weights, kernel{arguments})")
            lines.append(f"ik.testing.assert_matches_reference(actual, x, weights, kernel{arguments})")
        else:
            name = self.quantity.removeprefix("grad_")
            lines.append(f"actual = ik.conv_backward(grad_y, x, weights, kernel{arguments}).{name}")
            lines.append(
                "ik.testing.assert_matches_reference("
                f"actual, x, weights, kernel, quantity={self.quantity!r}, grad_y=grad_y{arguments})"
            )
        lines.insert(2, "import interpolated_kernels.testing")
        return "To see it again:\n\n" + "\n".join(lines)


def _write_array(name: str, array: FloatArray) -> str:
    if array.nbytes > _MOST_BYTES_IN_CODE:
        with tempfile.NamedTemporaryFile(prefix=f"{name}-{os.getpid()}-", suffix=".npy", delete=False) as file:
            np.save(file, array)
        return f"numpy.load({file.name!r})"
    text = base64.b85encode(zlib.compress(np.ascontiguousarray(array).tobytes())).decode()
    data = f"zlib.decompress(base64.b85decode({text!r}))"
    return f"numpy.frombuffer({data}, {str(array.dtype)!r}).reshape({array.shape})"


def _check_finite(actual: FloatArray, expected: FloatArray, context: _Context) -> None:
    """Raise unless the same entries are non-finite; in weights' gradients a filter may be spoiled whole."""
    wrong = np.isfinite(actual) != np.isfinite(expected)
    if context.quantity == "grad_weights":
        wrong &= np.isfinite(actual) | ~context.find_spoiled_filters()
    if wrong.any():
        index = tuple(map(int, np.argwhere(wrong)[0]))
        raise AssertionError(
            f"{context.quantity} is finite where the reference is not, or the other way, at {int(wrong.sum())} of "
            f"{wrong.size} entries, first at index {index}: got {actual[index]}, expected {expected[index]}.\n"
            f"{context.code()}"
        )


def _check_ratio(
    what: str,
    difference: FloatArray,
    unit: FloatArray,
    actual: FloatArray,
    expected: FloatArray,
    limit: float,
    context: _Context,
) -> float:
    """Raise if `difference / unit` exceeds `limit` anywhere; return the largest as a part of `limit`."""
    if not difference.size:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(difference > 0, difference / unit, 0.0)
    worst = int(np.argmax(np.where(np.isnan(ratio), np.inf, ratio)))
    index = tuple(map(int, np.unravel_index(worst, ratio.shape)))
    if not ratio[index] <= limit:
        raise AssertionError(
            f"{context.quantity} is {float(ratio[index]):.3g} times {what} off reference (limit {limit:.3g}) at "
            f"index {index} of shape {actual.shape}: got {actual[index]!r}, expected {expected[index]!r}, difference "
            f"{float(difference[index]):.3g}, bound {float(unit[index]) * limit:.3g}; "
            f"{int((ratio > limit).sum())} entries exceed it.\n{context.code()}"
        )
    return float(ratio[index]) / limit
