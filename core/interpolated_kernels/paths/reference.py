"""The definition itself, in plain NumPy and float64: the oracle of all other paths.

`y[b, f, o] = sum over c and t of x_padded[b, c, o * stride + t * dilation] * dense[f, c, t]`, where c runs over the
channels of f's group and t over its taps: the cells that some anchor can reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.geometry import Problem
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost, densifying, n_taps, no_parts, pad, pad_transpose, traffic

ACCURACY = "componentwise"
SUMS_IN = "float64"
parts = no_parts


def supports(problem: Problem) -> str | None:
    """Serve every problem on the CPU."""
    return None if problem.device == "cpu" else f"NumPy does not run on {problem.device}"


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict NumPy's multiply-adds in float64."""
    extra = 8 * problem.batch * int(np.prod(problem.x_shape[1:]) + 2 * np.prod(problem.y_shape[1:]))
    seconds = machine.call_seconds * (1 + int(problem.support.any(axis=(0, 1)).sum()))
    seconds += n_taps(problem) / machine.numpy_multiply_adds_per_second
    seconds += traffic(problem, machine) + densifying(problem, machine)
    return Cost(seconds, extra, "float64, then cast")


def prepare(problem: Problem, parts: tuple[Any, ...] = ()) -> Problem:
    """Keep the problem alone."""
    return problem


def forward(problem: Problem, x: FloatArray, bank: FloatArray, dtype: Any = np.float64) -> FloatArray:
    """Return y, computed in `dtype`."""
    x = pad(x.astype(dtype), problem)
    dense = dense_bank(problem, bank, dtype)
    y = np.zeros(problem.y_shape, dtype)
    for tap, reached, patch in _taps(problem, x):
        values = dense[_at(tap)]
        if reached.all():
            _by_group(y, problem)[...] += np.einsum("bgc...,gfc->bgf...", patch, values)
        else:
            _by_group(y, problem)[...] += _masked(patch[:, :, None], values, reached).sum(axis=3)
    return y


def grad_x(problem: Problem, grad_y: FloatArray, bank: FloatArray, dtype: Any = np.float64) -> FloatArray:
    """Return the gradient by x, computed in `dtype`: every product goes back to the cell of x that it came from."""
    dense = dense_bank(problem, bank, dtype)
    grad = np.zeros((problem.batch, problem.channels, *problem.padded), dtype)
    grad_y = _by_group(grad_y.astype(dtype), problem)
    for tap, reached, patch in _taps(problem, grad):
        values = dense[_at(tap)]
        if reached.all():
            patch += np.einsum("bgf...,gfc->bgc...", grad_y, values)
        else:
            patch += _masked(grad_y[:, :, :, None], values, reached).sum(axis=2)
    return pad_transpose(grad, problem)


def grad_weights(problem: Problem, grad_y: FloatArray, x: FloatArray, dtype: Any = np.float64) -> FloatArray:
    """Return the gradient by the bank `(filters, channels, n)`, computed in `dtype`."""
    x, grad_y = pad(x.astype(dtype), problem), _by_group(grad_y.astype(dtype), problem)
    grad_dense = np.zeros(
        (problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window), dtype
    )
    for tap, reached, patch in _taps(problem, x):
        spatial = tuple(range(3, patch.ndim))
        product = np.stack(
            [(grad_y * patch[:, :, c, None]).sum(axis=(0, *spatial)) for c in range(patch.shape[2])], axis=2
        )
        grad_dense[_at(tap)] = np.where(reached, product, 0)
    return gather(problem, grad_dense.reshape(problem.filters, problem.channels_per_group, *problem.window))


def dense_bank(problem: Problem, bank: FloatArray, dtype: Any) -> FloatArray:
    """Return the dense kernel `(groups, filters_per_group, channels_per_group, *window)`; cells out of reach are 0."""
    kernel = problem.kernel
    matrices = _matrices(problem).astype(dtype)
    with np.errstate(invalid="ignore"):
        dense = np.einsum("fcka,fca->fck", *_broadcast(matrices, bank.astype(dtype)))
    dense = np.where(matrices.any(axis=-1), dense, 0).reshape(*dense.shape[:2], *kernel.window)
    if kernel.interpolates_channels:
        dense = np.moveaxis(dense[:, 0], -1, 1)
    return dense.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)


def gather(problem: Problem, grad_dense: FloatArray) -> FloatArray:
    """Return the transpose of `dense_bank`."""
    if problem.kernel.interpolates_channels:
        grad_dense = np.moveaxis(grad_dense, 1, -1)[:, None]
    cells = grad_dense.reshape(*grad_dense.shape[:2], -1)
    return np.einsum("fcka,fck->fca", *_broadcast(_matrices(problem).astype(grad_dense.dtype), cells))


def _matrices(problem: Problem) -> FloatArray:
    """Return `A` as `(1 or filters, 1 or channels, cells, n)`."""
    matrix = problem.kernel.matrix
    return matrix[None, None] if matrix.ndim == 2 else (matrix[:, None] if matrix.ndim == 3 else matrix)


def _broadcast(matrices: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    lead = np.broadcast_shapes(matrices.shape[:2], values.shape[:2])
    return np.broadcast_to(matrices, (*lead, *matrices.shape[2:])), np.broadcast_to(values, (*lead, *values.shape[2:]))


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
