"""Results band by band: into an `out` that loops cannot write themselves, without a second array of its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.padding import index_axis
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import plan_problem
from interpolated_kernels.problem import Problem

_BYTES_OF_BAND = 8 * 2**20


def forward_by_bands(plan: Plan, x: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    """Write y, planned as `plan` says, into an `out` of any strides, byte order or narrower dtype.

    Sample by sample, and some outputs of the first spatial axis at a time, with the inputs that they see.
    """
    problem = plan.problem
    row_bytes = np.dtype(problem.dtype).itemsize * problem.filters * int(np.prod(problem.out_spatial[1:]))
    rows = min(max(1, _BYTES_OF_BAND // max(row_bytes, 1)), problem.out_spatial[0])
    for sample, target in _walk_samples(out, problem.y_shape[1:]):
        for first in range(0, problem.out_spatial[0], rows):
            last = min(first + rows, problem.out_spatial[0])
            outputs = [range(first, last)] if rows < problem.out_spatial[0] else []
            band, cells = cut_outputs(problem, x[sample : sample + 1], outputs)
            y = plan_problem(band, plan.path).convolve(np.ascontiguousarray(cells), weights)
            target[:, first:last] = y[0]


def transpose_by_bands(plan: Plan, y: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    """Write the transpose of `forward` into such an `out`, sample by sample."""
    one = plan_problem(replace(plan.problem, batch=1), plan.path)
    for sample, target in _walk_samples(out, plan.problem.x_shape[1:]):
        target[...] = one.transpose(y[sample : sample + 1], weights)[0]


def _walk_samples(out: FloatArray, shape: tuple[int, ...]) -> Iterator[tuple[int, FloatArray]]:
    """Yield the number of every sample and its view in `out`, `(channels, *spatial)`.

    `out` has any leading axes where weights are plain, and may lack the batch axis where they are not. A single channel
    counts as a leading axis, whether it is there or not.
    """
    n_lead = out.ndim - len(shape) + (shape[0] == 1)
    for number, index in enumerate(np.ndindex(*out.shape[:n_lead])):
        yield number, out[(*index, None, ...)] if shape[0] == 1 else out[(*index, ...)]


def cut_outputs(problem: Problem, x: FloatArray, outputs: Sequence[range]) -> tuple[Problem, FloatArray]:
    """Return the problem of some outputs, a range for each of the first axes, and the cells of x that they see.

    These axes are padded by then; those after them stay whole, with their padding. The cells are a view where they are
    neighbours in x, else a copy of them alone.
    """
    indices = [index_axis(problem, axis, wanted) for axis, wanted in enumerate(outputs)]
    nothing = np.nan if problem.renormalizes else 0.0
    return replace(problem.cut([len(wanted) for wanted in outputs]), batch=len(x)), _take(x, indices, nothing)


def _take(x: FloatArray, indices: list[IntArray], nothing: float) -> FloatArray:
    """Return the cells at indices of the first spatial axes, `nothing` where an index is -1."""
    where: tuple[Any, ...]
    if all(index[0] >= 0 and (np.diff(index) == 1).all() for index in indices):
        where = (slice(None), slice(None), *(slice(index[0], index[-1] + 1) for index in indices))
        return x[where]
    where = (slice(None), slice(None), *np.ix_(*(np.maximum(index, 0) for index in indices)))
    cells: FloatArray = x[where]
    for axis, index in enumerate(indices):
        cells[(slice(None),) * (axis + 2) + (index < 0,)] = nothing
    return cells
