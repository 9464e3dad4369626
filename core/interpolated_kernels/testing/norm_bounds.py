"""How far a result of accuracy "normwise" may be from the reference: the bound C3, and its like for both gradients.

    abs(y - reference) <= 0.5 u log2(N) ||x||_2 ||k||_2

with the 2-norms of a whole padded sample, over all channels, and of a filter's dense kernel, and N the padded sample's
cells. Each term that can underflow adds the smallest subnormal number. A gradient by x folds as many padded cells as
show a cell; one by weights goes through the columns of `abs(A)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.densify import densify
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.padding import index_axis, pad
from interpolated_kernels.problem import Problem
from interpolated_kernels.testing.oracle import describe_problem
from interpolated_kernels.testing.sum_bounds import UNITS


def find_norm_bounds(
    x: FloatArray, weights: FloatArray, grad_y: FloatArray, kernel: InterpolatedKernel, **options: Any
) -> dict[str, FloatArray]:
    """Return the bounds of "y", "grad_x" and "grad_weights", with all of a bank's and a batch's axes."""
    problem = describe_problem(x, weights, kernel, **options)
    dtype, rest = x.dtype, tuple(range(2, 2 + len(problem.spatial)))
    x = pad(x.reshape(problem.x_shape).astype(np.float64), problem)
    grad_y = grad_y.reshape(problem.y_shape)
    bank = weights.astype(np.float64).reshape(problem.weights_shape)
    dense = np.broadcast_to(densify(bank, kernel), (problem.filters, problem.channels_per_group, *problem.window))
    cells = float(np.prod(problem.padded))
    unit = 0.5 * UNITS[dtype.name] * np.log2(cells)
    by_filter = _find_norm(dense, (1, *rest)).reshape(1, -1, *(1,) * len(rest))
    grouped = dense.reshape(problem.groups, problem.filters_per_group, *dense.shape[1:])
    by_channel = _find_norm(grouped, (1, *(axis + 1 for axis in rest))).reshape(1, -1, *(1,) * len(rest))
    by_bank = _find_norm(grad_y, (0, *rest)).reshape(-1, *(1,) * (len(problem.weights_shape) - 1))
    columns, shown = _sum_columns(kernel, problem), _count_shown(problem)
    bounds = {
        "y": unit * _find_norm(x, (1, *rest)) * by_filter,
        "grad_x": unit * _find_norm(grad_y, (1, *rest)) * by_channel * shown,
        "grad_weights": unit * _find_norm(x, None).item() * by_bank * columns,
    }
    sizes = 1.0 + sum(float(np.abs(values, dtype=np.float64).sum()) for values in (x, grad_y, dense))
    tiniest = float(np.finfo(dtype).smallest_subnormal) * cells * sizes * (1.0 + columns.max())
    return {name: bound + tiniest * np.max(shown) for name, bound in bounds.items()}


def _find_norm(values: FloatArray, axes: tuple[int, ...] | None) -> FloatArray:
    return np.asarray(np.sqrt(np.sum(np.square(values.astype(np.float64)), axis=axes, keepdims=True)))


def _sum_columns(kernel: InterpolatedKernel, problem: Problem) -> FloatArray:
    """Return the sums of the columns of `abs(A)`, so that they broadcast with weights."""
    columns = np.abs(kernel.matrix).sum(axis=-2)
    columns = columns.reshape(*columns.shape[:-1], -1) if columns.ndim > 1 else columns
    return columns[:, None] if columns.ndim == 2 and len(problem.weights_shape) == 3 else columns


def _count_shown(problem: Problem) -> FloatArray:
    """Return how many padded cells show every cell of x: `(1, 1, *spatial)`."""
    counts = np.ones((1, 1, *problem.spatial))
    for axis, size in enumerate(problem.spatial):
        index = index_axis(problem, axis)
        count = np.bincount(index[index >= 0], minlength=size)
        counts = counts * count.reshape((-1,) + (1,) * (len(problem.spatial) - 1 - axis))
    return counts
