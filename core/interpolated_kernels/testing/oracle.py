"""The reference on arrays in any layout that `conv` takes: the definition of `paths.reference`, nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorWarning
from interpolated_kernels.filling import Definition
from interpolated_kernels.gradients import Gradients
from interpolated_kernels.interpolation import Interpolator
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.missing import definition as quotients
from interpolated_kernels.options import Options
from interpolated_kernels.paths import reference as definition
from interpolated_kernels.problem import Problem, describe

_NOT_GEOMETRY = ("path", "accuracy", "max_memory", "out")


def reference(
    x: Any, weights: Any, kernel: InterpolatedKernel, *, dtype: Any = np.float64, **options: Any
) -> FloatArray:
    """Return what `conv` has to return, computed by the definition in plain NumPy.

    Parameters
    ----------
    x, weights, kernel, **options
        As for `conv`; `path`, `accuracy`, `max_memory` and `out` change nothing and are ignored.
    dtype : {float64, longdouble}
        What to compute in; longdouble is the oracle of float64 results.

    Returns
    -------
    array
        In the shape that `conv` gives, in `dtype`.
    """
    x, weights = np.asarray(x), np.asarray(weights)
    problem = describe_problem(x, weights, kernel, **options)
    dense = Definition(kernel).apply(_as_bank(weights, problem, dtype), dtype)
    if problem.renormalizes:
        y = quotients.convolve(problem, x.reshape(problem.x_shape), dense, dtype)
    else:
        y = definition.convolve(problem.summed, _as_summed(x, problem, dtype), dense, dtype)
    return y.reshape(infer_y_shape(x, weights, problem))


def reference_backward(
    grad_y: Any,
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    dtype: Any = np.float64,
    wrt: Sequence[str] = ("x", "weights"),
    **options: Any,
) -> Gradients:
    """Return the gradients that `conv_backward` has to return, by the definition in plain NumPy.

    Parameters
    ----------
    grad_y, x, weights, kernel, **options
        As for `conv_backward`.
    dtype : {float64, longdouble}
        What to compute in.
    wrt : sequence of str
        Of "x" and "weights".
    """
    grad_y, x, weights = np.asarray(grad_y), np.asarray(x), np.asarray(weights)
    problem = describe_problem(x, weights, kernel, **options)
    grad_y = grad_y.astype(dtype).reshape(problem.y_shape)
    bank = _as_bank(weights, problem, dtype)
    if problem.renormalizes:
        dense = Definition(kernel).apply(bank, dtype)
        by_x, by_dense = quotients.differentiate(problem, grad_y, x.reshape(problem.x_shape), dense, dtype)
        found = {"x": by_x.reshape(x.shape), "weights": Definition(kernel).transpose(by_dense).reshape(weights.shape)}
        return Gradients(**{name: found[name] for name in wrt})
    grads: dict[str, FloatArray] = {}
    if "x" in wrt:
        dense = Definition(kernel).apply(bank, dtype)
        grad_x = definition.convolve_transpose(problem.summed, grad_y, dense, dtype)
        repeats = problem.channels_per_group if problem.sums_channels else 1
        grads["x"] = np.repeat(grad_x, repeats, axis=1).reshape(x.shape)
    if "weights" in wrt:
        grad_dense = definition.correlate(problem.summed, grad_y, _as_summed(x, problem, dtype), dtype)
        grads["weights"] = Definition(kernel).transpose(grad_dense).reshape(weights.shape)
    return Gradients(**grads)


def find_quotient(x: Any, weights: Any, kernel: InterpolatedKernel, dtype: Any, **options: Any) -> quotients.Sums:
    """Return the sums that the reference divides with missing="renormalize", and where it divides none."""
    x, weights = np.asarray(x), np.asarray(weights)
    problem = describe_problem(x, weights, kernel, **options)
    dense = Definition(kernel).apply(_as_bank(weights, problem, dtype), dtype)
    return quotients.find_sums(problem, x.reshape(problem.x_shape), dense, dtype)


def evaluate(
    quantity: str, arrays: Mapping[str, Any], kernel: InterpolatedKernel, dtype: Any, options: Mapping[str, Any]
) -> FloatArray:
    """Return the reference's "y", "grad_x" or "grad_weights" from `arrays`: x, weights and, for gradients, grad_y."""
    if quantity == "y":
        return reference(arrays["x"], arrays["weights"], kernel, dtype=dtype, **options)
    name = quantity.removeprefix("grad_")
    grad_y, x, weights = (arrays[operand] for operand in ("grad_y", "x", "weights"))
    grads = reference_backward(grad_y, x, weights, kernel, dtype=dtype, wrt=(name,), **options)
    return np.asarray(getattr(grads, name))


def describe_problem(x: Any, weights: Any, kernel: InterpolatedKernel, **options: Any) -> Problem:
    """Return the problem of these arrays and options, without what only chooses a path."""
    geometry = {name: value for name, value in options.items() if name not in _NOT_GEOMETRY}
    return describe(np.shape(x), np.shape(weights), kernel, Options(**geometry), "float64")


def infer_y_shape(x: Any, weights: Any, problem: Problem) -> tuple[int, ...]:
    """Return the shape of `conv`'s result for x and weights."""
    lead = np.shape(x)[: np.ndim(x) - problem.kernel.n_dims]
    if np.ndim(weights) > 1:
        lead = (*lead[:-1], problem.filters)
    return (*lead, *problem.out_spatial)


def absolute(kernel: InterpolatedKernel) -> InterpolatedKernel:
    """Return the kernel of the interpolation matrix `abs(A)`, with the same support: for sums over absolute values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnchorWarning)  # the kernel's maker was warned
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


def _as_summed(x: FloatArray, problem: Problem, dtype: Any) -> FloatArray:
    """Return x `(batch, channels, *spatial)` as a path sees it: a group's channels summed where weights are tied."""
    x = x.astype(dtype).reshape(problem.x_shape)
    if problem.sums_channels:
        with np.errstate(invalid="ignore"):
            x = x.reshape(problem.batch, problem.groups, problem.channels_per_group, *problem.spatial).sum(axis=2)
    return x


def _as_bank(weights: FloatArray, problem: Problem, dtype: Any) -> FloatArray:
    return weights.astype(dtype).reshape(problem.filters, -1, problem.kernel.n_anchors)
