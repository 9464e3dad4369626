"""Results band by band: into an `out` that loops cannot write themselves, without a second array of its size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from interpolated_kernels.arrays import FloatArray
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
            band, cells = _cut(problem, x[sample : sample + 1], first, last)
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


def _cut(problem: Problem, x: FloatArray, first: int, last: int) -> tuple[Problem, FloatArray]:
    """Return the problem of some outputs of the first axis, and the cells of x that they see, padding included."""
    if last - first == problem.out_spatial[0]:
        return replace(problem, batch=1), x
    start = first * problem.stride[0]
    stop = (last - 1) * problem.stride[0] + problem.extent[0]
    index = index_axis(problem, 0)[start:stop]
    if index[0] >= 0 and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
        cells = x[:, :, index[0] : index[-1] + 1]
    else:
        cells = np.take(x, np.maximum(index, 0), axis=2)
        cells[:, :, index < 0] = np.nan if problem.renormalizes else 0
    spatial, padding = (len(index), *problem.spatial[1:]), ((0, 0), *problem.padding[1:])
    return replace(problem, batch=1, spatial=spatial, padding=padding), cells
