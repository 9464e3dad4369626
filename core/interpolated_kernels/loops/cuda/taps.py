"""Sums of taps: outputs of several filters from what lies `offsets` away.

A part is a box of outputs of a few filters that have the same taps. Its outputs are numbered, columns fastest, and a
thread makes a few of them, a block's width apart, for all of the part's filters: neighbours read neighbours, and each
value that is read serves all filters, each weight all outputs. Weights, packed tap by tap, and offsets pass through
shared memory::

    x  a line of a map   . . o o o o o o o o . . .      thread 0 makes outputs 0, 4, 8 of a block of four threads:
    tap at offset 2      . . . . ^ ^ ^ ^ . . . . .      its own sum for each filter and output stays in a register
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.cuda.compile import ALIGNMENT, THREADS, count_blocks, cuda, jit, launch
from interpolated_kernels.loops.cuda.memory import flatten

FILTERS_OF_TILE = (1, 2, 4, 8, 16)

_OUTPUTS_OF_THREAD = {"float32": 4, "float64": 2}
_TAPS_OF_CHUNK = 64


class Parts(NamedTuple):
    """One entry a part, int64: where its inputs and outputs begin, its box, filters, taps, and weights."""

    x_starts: Any
    y_starts: Any
    planes: Any
    rows: Any
    columns: Any
    n_filters: Any
    tap_starts: Any
    n_taps: Any
    weight_starts: Any


class Steps(NamedTuple):
    """The distances in values between samples, planes and rows of x, and samples, filters, planes and rows of y."""

    x_image: int
    x_plane: int
    x_row: int
    y_image: int
    y_channel: int
    y_plane: int
    y_row: int


class Taps(NamedTuple):
    """All that the loops must know of a pass: its parts, what its taps read, steps, and the largest part's sizes."""

    parts: Parts
    offsets: Any
    steps: Steps
    filters: int
    most_outputs: int
    most_taps: int
    n_weights: int


def sum_taps(x: Any, weights: Any, taps: Taps, n_images: int, enabled: Any, y: Any) -> None:
    """Write y from x and packed weights: nothing where `enabled` is an array that holds 0."""
    kernel, per_block = _taps_kernel(y.dtype.name, taps.filters)
    blocks = count_blocks(taps.most_outputs, per_block), len(taps.parts.n_taps), n_images
    launch(kernel, blocks, flatten(x), weights, taps, n_images, enabled, flatten(y))


@jit(inner=True)
def _find_place(parts, part, at, plane_step, row_step):
    """Return how far output number `at` of a part lies from its first one, in an array with such steps."""
    rows, columns = parts.rows[part], parts.columns[part]
    column, line = at % columns, at // columns
    return line // rows * plane_step + line % rows * row_step + column


@jit(inner=True)
def _load(values, first, n, shared):
    """Copy n values to shared memory, a thread each."""
    for i in range(cuda.threadIdx.x, n, cuda.blockDim.x):
        shared[i] = values[first + i]


@functools.cache
def _taps_kernel(name, filters):
    """Return the kernel for so many filters in a dtype, and how many outputs a block makes."""
    dtype, outputs = np.dtype(name).type, _OUTPUTS_OF_THREAD[name]
    n_sums, n_kept = filters * outputs, filters * _TAPS_OF_CHUNK

    @jit
    def kernel(x, weights, taps, n_images, enabled, y):
        if enabled[0] == 0:
            return
        kept = cuda.shared.array(n_kept, dtype, alignment=ALIGNMENT)  # several weights in one load
        reads = cuda.shared.array(_TAPS_OF_CHUNK, np.uint64)  # an unsigned index is not looked at for its sign
        sums = cuda.local.array(n_sums, dtype)
        read = cuda.local.array(outputs, np.uint64)
        thread, width, parts, steps = cuda.threadIdx.x, cuda.blockDim.x, taps.parts, taps.steps
        for part in range(cuda.blockIdx.y, len(parts.n_taps), cuda.gridDim.y):
            n, n_taps = parts.planes[part] * parts.rows[part] * parts.columns[part], parts.n_taps[part]
            for image in range(cuda.blockIdx.z, n_images, cuda.gridDim.z):
                x_start = parts.x_starts[part] + image * steps.x_image
                y_start = parts.y_starts[part] + image * steps.y_image
                for first in range(cuda.blockIdx.x * width * outputs, n, cuda.gridDim.x * width * outputs):
                    for j in range(outputs):
                        at = min(first + thread + j * width, n - 1)
                        read[j] = x_start + _find_place(parts, part, at, steps.x_plane, steps.x_row)
                    for i in range(n_sums):
                        sums[i] = 0
                    for chunk in range(0, n_taps, _TAPS_OF_CHUNK):
                        count = min(_TAPS_OF_CHUNK, n_taps - chunk)
                        cuda.syncthreads()
                        _load(taps.offsets, parts.tap_starts[part] + chunk, count, reads)
                        _load(weights, parts.weight_starts[part] + chunk * filters, count * filters, kept)
                        cuda.syncthreads()
                        for tap in range(np.uint64(count)):
                            first_kept = tap * np.uint64(filters)
                            for j in range(outputs):
                                value = x[read[j] + reads[tap]]
                                for i in range(filters):
                                    sums[i * outputs + j] += kept[first_kept + np.uint64(i)] * value
                    for j in range(outputs):
                        at = first + thread + j * width
                        write = y_start + _find_place(parts, part, at, steps.y_plane, steps.y_row)
                        for i in range(filters):
                            if at < n and i < parts.n_filters[part]:
                                y[write + i * steps.y_channel] = sums[i * outputs + j]

    return kernel, THREADS * outputs
