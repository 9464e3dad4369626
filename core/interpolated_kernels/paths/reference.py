"""The definition itself, in plain NumPy and float64: the oracle of all other paths.

`y[b, f, o] = sum over c and t of x_padded[b, c, o * stride + t * dilation] * dense[f, c, t]`, where c runs over the
channels of f's group and t over its taps: the cells that some anchor can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.machine import Machine
from interpolated_kernels.padding import pad, pad_transpose
from interpolated_kernels.paths.common import Cost, count_taps, no_parts, predict_traffic
from interpolated_kernels.paths.path import Part, Prepared, PreparedEngine
from interpolated_kernels.problem import Problem

ACCURACY = "componentwise"
TAKES = "dense"
SUMS_IN: str | None = "float64"
parts = no_parts

_CALLS_BESIDE_TAPS = 5  # casts, copies and masks: measured on 1x1x8x8, where nothing else takes time


def supports(problem: Problem) -> str | None:
    """Serve every problem on the CPU."""
    return None if problem.device == "cpu" else f"NumPy does not run on {problem.device}"


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict NumPy's multiply-adds in float64."""
    extra = 8 * problem.batch * int(2 * np.prod((problem.channels, *problem.padded)) + 2 * np.prod(problem.y_shape[1:]))
    taps = int(problem.support.any(axis=(0, 1)).sum())
    seconds = machine.call_seconds * (_CALLS_BESIDE_TAPS + taps)
    seconds += count_taps(problem) / machine.numpy_multiply_adds_per_second
    return Cost(seconds + predict_traffic(problem, machine), extra, "float64, then cast")


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Keep the problem alone."""
    return PreparedReference(problem)


@dataclass(frozen=True, eq=False)
class PreparedReference(PreparedEngine):
    """The definition, for one problem."""

    problem: Problem

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        out[...] = convolve(self.problem, x, kernels, np.float64)

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        out[...] = convolve_transpose(self.problem, grad_y, kernels, np.float64)

    def grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels."""
        return correlate(self.problem, grad_y, x, np.float64)


def convolve(problem: Problem, x: FloatArray, dense: FloatArray, dtype: Any) -> FloatArray:
    """Return y for dense kernels `(filters, channels_per_group, *window)`, computed in `dtype`."""
    x, dense = pad(x.astype(dtype), problem), _by_pair(dense.astype(dtype), problem)
    y = np.zeros(problem.y_shape, dtype)
    for tap, reached, patch in _taps(problem, x):
        values = dense[_at(tap)]
        if reached.all():
            _by_group(y, problem)[...] += np.einsum("bgc...,gfc->bgf...", patch, values)
        else:
            _by_group(y, problem)[...] += _masked(patch[:, :, None], values, reached).sum(axis=3)
    return y


def convolve_transpose(problem: Problem, grad_y: FloatArray, dense: FloatArray, dtype: Any) -> FloatArray:
    """Return the gradient by x, computed in `dtype`: every product goes back to the cell of x that it came from."""
    dense = _by_pair(dense.astype(dtype), problem)
    grad = np.zeros((problem.batch, problem.channels, *problem.padded), dtype)
    grad_y = _by_group(grad_y.astype(dtype), problem)
    for tap, reached, patch in _taps(problem, grad):
        values = dense[_at(tap)]
        if reached.all():
            patch += np.einsum("bgf...,gfc->bgc...", grad_y, values)
        else:
            patch += _masked(grad_y[:, :, :, None], values, reached).sum(axis=2)
    return pad_transpose(grad, problem)


def correlate(problem: Problem, grad_y: FloatArray, x: FloatArray, dtype: Any) -> FloatArray:
    """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, computed in `dtype`."""
    x, grad_y = pad(x.astype(dtype), problem), _by_group(grad_y.astype(dtype), problem)
    grad = _by_pair(np.zeros((problem.filters, problem.channels_per_group, *problem.window), dtype), problem)
    for tap, reached, patch in _taps(problem, x):
        spatial = tuple(range(3, patch.ndim))
        product = np.stack(
            [(grad_y * patch[:, :, c, None]).sum(axis=(0, *spatial)) for c in range(patch.shape[2])], axis=2
        )
        grad[_at(tap)] = np.where(reached, product, 0)
    return grad.reshape(problem.filters, problem.channels_per_group, *problem.window)


def _by_pair(dense: FloatArray, problem: Problem) -> FloatArray:
    """Return a view `(groups, filters_per_group, channels_per_group, *window)`."""
    return dense.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)


def _by_group(array: FloatArray, problem: Problem) -> FloatArray:
    """Return a view `(batch, groups, channels or filters of a group, *spatial)`."""
    return array.reshape(array.shape[0], problem.groups, array.shape[1] // problem.groups, *array.shape[2:])


def _at(tap: tuple[int, ...]) -> tuple[Any, ...]:
    return (..., *tap)


def _taps(problem: Problem, padded: FloatArray) -> Iterator[tuple[tuple[int, ...], FloatArray, FloatArray]]:
    """Yield every tap, a mask `(g, f, c)` of the filters that have it, and the view of `padded` that it meets."""
    reached = np.broadcast_to(problem.support, (problem.filters, problem.channels_per_group, *problem.window))
    reached = reached.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)
    for tap in map(tuple, np.argwhere(problem.support.any(axis=(0, 1)))):
        cells = tuple(
            slice(index * dilation, index * dilation + (count - 1) * stride + 1, stride)
            for index, dilation, count, stride in zip(
                tap, problem.dilation, problem.out_spatial, problem.stride, strict=True
            )
        )
        yield tap, reached[_at(tap)], _by_group(padded, problem)[(slice(None),) * 3 + cells]


def _masked(values: FloatArray, taps: FloatArray, reached: FloatArray) -> FloatArray:
    """Return `values * taps` over `(b, g, f, c, *spatial)` and 0 where a filter has no such tap."""
    shape = (*taps.shape, *(1,) * (values.ndim - 4))
    return np.where(reached.reshape(shape), values * taps.reshape(shape), 0)
