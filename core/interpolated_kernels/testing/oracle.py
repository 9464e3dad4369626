"""The reference on arrays in any layout that `conv` takes: the definition of `paths.reference`, nothing else.

It computes in float64, in longdouble, or, by the loops of `exact`, in `fractions.Fraction`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from interpolated_kernels.arguments import names_options, read_array, show
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import infer_shape
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.filling import Definition
from interpolated_kernels.gradients import Gradients, list_wrt
from interpolated_kernels.interpolation import Interpolator
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.missing import definition as quotients
from interpolated_kernels.options import CONV_OPTIONS, Cells, Options
from interpolated_kernels.paths import reference as definition
from interpolated_kernels.problem import Problem, describe
from interpolated_kernels.testing import exact
from interpolated_kernels.transposed import infer_conv_shape

_NOT_GEOMETRY = ("path", "accuracy", "max_memory", "out")
TAKEN = (*CONV_OPTIONS, "out")
"""The options that functions here take: those of `conv`."""


@names_options(*TAKEN)
def reference(
    x: Any, weights: Any, kernel: InterpolatedKernel, *, dtype: Any = np.float64, **options: Any
) -> FloatArray:
    """Return what `conv` has to return, computed by the definition in plain NumPy.

    Parameters
    ----------
    x, weights, kernel, **options
        As for `conv`; `path`, `accuracy`, `max_memory` and `out` change nothing and are ignored.
    dtype : {float64, longdouble, Fraction}
        What to compute in: longdouble is the oracle of float64 results, and `fractions.Fraction`, for small problems of
        finite numbers, the exact value.

    Returns
    -------
    array
        In the shape that `conv` gives, in `dtype` (of objects for Fraction).
    """
    x, weights = read_array("x", x), read_array("weights", weights)
    problem = describe_problem(x, weights, kernel, **options)
    engine, filling = _choose(kernel, dtype)
    dense = filling.apply(as_bank(weights, problem, dtype), dtype)
    y: FloatArray
    if problem.renormalizes:
        quotient = exact.convolve_present if dtype is Fraction else quotients.convolve
        y = quotient(problem, x.reshape(problem.x_shape), dense, dtype)
    else:
        y = engine.convolve(problem.summed, as_summed(x, problem, dtype), dense, dtype)
    return y.reshape(infer_shape(x, weights, problem.y_shape))


@names_options(*TAKEN)
def reference_backward(
    grad_y: Any,
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    dtype: Any = np.float64,
    wrt: str | Iterable[str] = ("x", "weights"),
    **options: Any,
) -> Gradients:
    """Return the gradients that `conv_backward` has to return, by the definition in plain NumPy.

    Parameters
    ----------
    grad_y, x, weights, kernel, **options
        As for `conv_backward`.
    dtype : {float64, longdouble, Fraction}
        What to compute in. The gradients by positions and widths are float64 whatever it is, since the interpolators'
        derivatives are; Fraction has none.
    wrt : str or iterable of str
        Of "x", "weights", and what the interpolator is differentiable by.

    Raises
    ------
    ValueError
        For a name in `wrt` that has no derivative, or none in Fraction.
    """
    grad_y, x, weights = read_array("grad_y", grad_y), read_array("x", x), read_array("weights", weights)
    problem = describe_problem(x, weights, kernel, **options)
    names = list_wrt(wrt, kernel, ("x", "weights"))
    by_anchors = tuple(name for name in names if name in ("positions", "widths"))
    if dtype is Fraction and (by_anchors or problem.renormalizes):
        raise ValueError(
            "`wrt` must be of 'x' and 'weights', and `missing` 'propagate', where `dtype` is Fraction, got "
            f"{names} and {problem.missing!r}."
        )
    engine, filling = _choose(kernel, dtype)
    if grad_y.size != math.prod(problem.y_shape):
        raise ValueError(f"`grad_y` must have the shape of `conv`'s result, {problem.y_shape}, got {grad_y.shape}.")
    grad_y, bank = _convert(grad_y, dtype).reshape(problem.y_shape), as_bank(weights, problem, dtype)
    if problem.renormalizes:
        return _differentiate_quotient(problem, grad_y, x, weights, names, dtype)
    grads: dict[str, FloatArray | None] = {}
    if "x" in names:
        grad_x = engine.convolve_transpose(problem.summed, grad_y, filling.apply(bank, dtype), dtype)
        grads["x"] = np.repeat(grad_x, problem.n_summed, axis=1).reshape(x.shape)
    summed = as_summed(x, problem, dtype)
    if "weights" in names:
        grad_dense = engine.correlate(problem.summed, grad_y, summed, dtype)
        grads["weights"] = filling.transpose(grad_dense).reshape(weights.shape)
    if by_anchors:
        every_cell = replace(problem.summed, every_cell=True)
        found = filling.vjp(engine.correlate(every_cell, grad_y, summed, dtype), bank)
        grads |= {name: grad for name, grad in zip(("positions", "widths"), found, strict=True) if name in names}
    return Gradients(**grads)


@names_options(*TAKEN)
def reference_transpose(
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    dtype: Any = np.float64,
    output_padding: Cells = 0,
    **options: Any,
) -> FloatArray:
    """Return what `conv_transpose` has to return, by the definition in plain NumPy.

    Parameters
    ----------
    x, weights, kernel, output_padding, **options
        As for `conv_transpose`.
    dtype : {float64, longdouble, Fraction}
        What to compute in.

    Returns
    -------
    array
        In the shape that `conv_transpose` gives, in `dtype` (of objects for Fraction).
    """
    x, weights = read_array("x", x), read_array("weights", weights)
    problem = describe_transposed(x, weights, kernel, output_padding=output_padding, **options)
    y = _convert(np.zeros((problem.batch, problem.filters, *problem.out_spatial)), dtype)
    spatial = x.shape[x.ndim - kernel.n_dims :]
    inside = (slice(None), slice(None), *map(slice, spatial))
    y[inside] = _convert(x, dtype).reshape(problem.batch, problem.filters, *spatial)
    engine, filling = _choose(kernel, dtype)
    grad: FloatArray = engine.convolve_transpose(
        problem.summed, y, filling.apply(as_bank(weights, problem, dtype), dtype), dtype
    )
    return grad.reshape(infer_shape(x, weights, problem.x_shape))


def _differentiate_quotient(
    problem: Problem, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: Sequence[str], dtype: Any
) -> Gradients:
    """Return the gradients with missing="renormalize"."""
    filling, bank = Definition(problem.kernel), as_bank(weights, problem, dtype)
    dense = filling.apply(bank, dtype)
    by_x, by_dense = quotients.differentiate(problem, grad_y, x.reshape(problem.x_shape), dense, dtype)
    grads: dict[str, FloatArray | None] = {"x": by_x.reshape(x.shape)}
    grads |= {"weights": filling.transpose(by_dense).reshape(weights.shape)}
    if "positions" in wrt or "widths" in wrt:
        every_cell = replace(problem, every_cell=True)
        _, by_dense = quotients.differentiate(every_cell, grad_y, x.reshape(problem.x_shape), dense, dtype)
        by_anchors: tuple[FloatArray | None, ...] = filling.vjp(by_dense, bank)
        grads |= dict(zip(("positions", "widths"), by_anchors, strict=True))
    return Gradients(**{name: grads[name] for name in wrt})


def find_quotient(x: Any, weights: Any, kernel: InterpolatedKernel, dtype: Any, **options: Any) -> quotients.Sums:
    """Return the sums that the reference divides with missing="renormalize", and where it divides none."""
    x, weights = read_array("x", x), read_array("weights", weights)
    problem = describe_problem(x, weights, kernel, **options)
    dense = Definition(kernel).apply(as_bank(weights, problem, dtype), dtype)
    return quotients.find_sums(problem, x.reshape(problem.x_shape), dense, dtype)


def evaluate(
    quantity: str, arrays: Mapping[str, Any], kernel: InterpolatedKernel, dtype: Any, options: Mapping[str, Any]
) -> FloatArray:
    """Return a quantity of the reference from `arrays`: x, weights and, for gradients ("grad_x" ...), grad_y."""
    if quantity in ("y", "transposed"):
        function = reference if quantity == "y" else reference_transpose
        return function(arrays["x"], arrays["weights"], kernel, dtype=dtype, **options)
    name = quantity.removeprefix("grad_")
    grad_y, x, weights = (arrays[operand] for operand in ("grad_y", "x", "weights"))
    grads = reference_backward(grad_y, x, weights, kernel, dtype=dtype, wrt=(name,), **options)
    return np.asarray(getattr(grads, name))


def describe_problem(x: Any, weights: Any, kernel: InterpolatedKernel, **options: Any) -> Problem:
    """Return the problem of these arrays and options, without what only chooses a path."""
    geometry = {name: value for name, value in options.items() if name not in _NOT_GEOMETRY}
    return describe(np.shape(x), np.shape(weights), kernel, Options(**geometry), "float64")


def describe_transposed(
    x: Any, weights: Any, kernel: InterpolatedKernel, *, output_padding: Cells = 0, **options: Any
) -> Problem:
    """Return the problem of the convolution that these arrays and options ask the transpose of."""
    geometry = Options(**{name: value for name, value in options.items() if name not in _NOT_GEOMETRY})
    x_shape = infer_conv_shape(np.shape(x), np.shape(weights), kernel, geometry, output_padding)
    return describe(x_shape, np.shape(weights), kernel, geometry, "float64")


def absolute(kernel: InterpolatedKernel) -> InterpolatedKernel:
    """Return the kernel of the interpolation matrix `abs(A)`, with the same support: for sums over absolute values."""
    with ignore_anchor_warnings():
        return kernel.replace(interpolator=_Absolute(kernel.interpolator))


@dataclass(frozen=True)
class _Absolute(Interpolator):
    """Another interpolator with the absolute values of its matrix."""

    inner: Interpolator

    @property
    def width_axes(self) -> int | None:
        return self.inner.width_axes

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        return None

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        return np.abs(self.inner.matrix(positions, window, widths))

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray | None:
        return self.inner.support(positions, window, widths)


def _choose(kernel: InterpolatedKernel, dtype: Any) -> tuple[Any, Any]:
    """Return the module and the filling that compute in `dtype`: they have the same functions."""
    if dtype is Fraction:
        return exact, exact.ExactFilling(kernel)
    try:
        is_floating = dtype is not None and np.dtype(dtype).kind == "f"
    except TypeError:
        is_floating = False
    if not is_floating:
        raise TypeError(f"`dtype` must be float64, longdouble or fractions.Fraction, got {show(dtype)}.")
    return definition, Definition(kernel)


def _convert(array: FloatArray, dtype: Any) -> FloatArray:
    return exact.as_fractions(array) if dtype is Fraction else array.astype(dtype)


def as_summed(x: FloatArray, problem: Problem, dtype: Any) -> FloatArray:
    """Return x `(batch, channels, *spatial)` as a path sees it: a group's channels summed where weights are tied."""
    x = _convert(x, dtype).reshape(problem.x_shape)
    if problem.sums_channels:
        with np.errstate(invalid="ignore"):
            x = x.reshape(problem.batch, problem.groups, problem.channels_per_group, *problem.spatial).sum(axis=2)
    return x


def as_bank(weights: FloatArray, problem: Problem, dtype: Any) -> FloatArray:
    """Return weights as a bank `(filters, channels, n)`: one channel where weights have no such axis."""
    return _convert(weights, dtype).reshape(problem.filters, -1, problem.kernel.n_anchors)
