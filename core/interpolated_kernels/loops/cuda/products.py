"""Products of y's gradient with what its taps read: the gradient by each weight, the same from run to run.

A block takes eight taps of a part's filters and a stretch of outputs. Each of its threads sums products of every
filter and tap in registers, a few dozen outputs apart; then each of some threads adds up what all have for its own
filter and tap, in float64 and in the threads' order, and at last the blocks' sums are added in theirs::

    thread 0    outputs 0 4 8 12    sum of its products -.
    thread 1    outputs 1 5 9 13    sum of its products -+-> one thread adds them, in float64
    thread 2    outputs 2 6 10 14   sum of its products -+
    thread 3    outputs 3 7 11 15   sum of its products -'
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.cuda.compile import THREADS, count_blocks, cuda, jit, launch
from interpolated_kernels.loops.cuda.copies import add_rows, fill
from interpolated_kernels.loops.cuda.memory import empty, flatten
from interpolated_kernels.loops.cuda.scratch import scratch
from interpolated_kernels.loops.cuda.taps import Taps

FILTERS_OF_PRODUCTS = {"float32": (1, 2, 4, 8), "float64": (1, 2, 4)}

_TAPS = 8
_MOST_BLOCKS = 2048
"""Stretches of outputs whose products are summed apart, at most: as many as keep a large device busy."""


def sum_products(grad_y: Any, x: Any, taps: Taps, n_images: int, n_products: int) -> Any:
    """Return the gradient by packed weights, in float64: sums of at most `n_products` in the arrays' dtype, then more.

    Parts share one box of outputs.
    """
    n_outputs = taps.most_outputs * n_images
    n_rounds = count_blocks(n_outputs, THREADS * n_products)
    n_blocks = min(n_rounds, _MOST_BLOCKS)
    sums = scratch((n_blocks, taps.n_weights), np.float64)
    fill(flatten(sums), 0)
    kernel = _products_kernel(x.dtype.name, taps.filters)
    blocks = count_blocks(taps.most_taps, _TAPS), len(taps.parts.n_taps), n_blocks
    launch(kernel, blocks, flatten(grad_y), flatten(x), taps, n_images, n_products, sums)
    total = empty((taps.n_weights,), np.float64)
    add_rows(sums, total)
    return total


class Place(NamedTuple):
    """An output of a part: its plane, row and column, and where its taps read and it stands."""

    plane: int
    row: int
    column: int
    x: int
    y: int


@jit(inner=True)
def _find_place(parts, steps, part, at):
    """Return output number `at` of a part, images one after another; for a distance, how far it leads."""
    planes, rows, columns = parts.planes[part], parts.rows[part], parts.columns[part]
    column, line = at % columns, at // columns
    row, line = line % rows, line // rows
    plane, image = line % planes, line // planes
    x = image * steps.x_image + plane * steps.x_plane + row * steps.x_row + column
    return Place(plane, row, column, x, image * steps.y_image + plane * steps.y_plane + row * steps.y_row + column)


@jit(inner=True)
def _start(parts, part, place):
    """Return an output with its places in the whole of x and y."""
    x, y = parts.x_starts[part] + place.x, parts.y_starts[part] + place.y
    return Place(place.plane, place.row, place.column, x, y)


@jit(inner=True)
def _move(parts, steps, part, place, way):
    """Return the output that lies a way off: an axis that ends begins again, one further along the next."""
    planes, rows, columns = parts.planes[part], parts.rows[part], parts.columns[part]
    plane, row, column = place.plane + way.plane, place.row + way.row, place.column + way.column
    x, y = place.x + way.x, place.y + way.y
    if column >= columns:
        column, row = column - columns, row + 1
        x, y = x + steps.x_row - columns, y + steps.y_row - columns
    if row >= rows:
        row, plane = row - rows, plane + 1
        x, y = x + steps.x_plane - rows * steps.x_row, y + steps.y_plane - rows * steps.y_row
    if plane >= planes:
        plane = plane - planes
        x, y = x + steps.x_image - planes * steps.x_plane, y + steps.y_image - planes * steps.y_plane
    return Place(plane, row, column, x, y)


@jit(inner=True)
def _add_row(values, first, n):
    """Return the sum of n values in float64, in their order."""
    total = np.float64(0)
    for i in range(n):
        total += values[first + i]
    return total


@functools.cache
def _products_kernel(name, filters):
    """Return the kernel that sums products of eight taps and so many filters in a dtype."""
    dtype, n_sums, row = np.dtype(name).type, filters * _TAPS, THREADS + 1  # threads that add rows meet other banks
    n_shared = n_sums * row

    @jit
    def kernel(grad_y, x, taps, n_images, n_products, out):
        shared = cuda.shared.array(n_shared, dtype)
        sums = cuda.local.array(n_sums, dtype)
        read = cuda.local.array(_TAPS, np.uint64)
        given = cuda.local.array(_TAPS, dtype)
        thread, width, parts, steps = cuda.threadIdx.x, cuda.blockDim.x, taps.parts, taps.steps
        for part in range(cuda.blockIdx.y, len(parts.n_taps), cuda.gridDim.y):
            n_filters, n_taps = parts.n_filters[part], parts.n_taps[part]
            n_outputs = parts.planes[part] * parts.rows[part] * parts.columns[part]
            for tap in range(cuda.blockIdx.x * _TAPS, n_taps, cuda.gridDim.x * _TAPS):
                way = _find_place(parts, steps, part, width)
                for j in range(_TAPS):
                    read[j] = taps.offsets[parts.tap_starts[part] + min(tap + j, n_taps - 1)]
                for block in range(cuda.blockIdx.z, len(out), cuda.gridDim.z):
                    for first in range(block * width * n_products, n_outputs * n_images, len(out) * width * n_products):
                        for i in range(n_sums):
                            sums[i] = 0
                        place = _start(parts, part, _find_place(parts, steps, part, first + thread))
                        for _ in range(first + thread, min(first + width * n_products, n_outputs * n_images), width):
                            y_at = place.y
                            for j in range(_TAPS):
                                given[j] = x[np.uint64(place.x) + read[j]]
                            for i in range(filters):
                                grad = grad_y[np.uint64(y_at)] if i < n_filters else dtype(0)
                                y_at += steps.y_channel
                                for j in range(_TAPS):
                                    sums[i * _TAPS + j] += grad * given[j]
                            place = _move(parts, steps, part, place, way)
                        cuda.syncthreads()
                        for i in range(n_sums):
                            shared[i * row + thread] = sums[i]
                        cuda.syncthreads()
                        for value in range(thread, n_sums, width):
                            i, j = value // _TAPS, value % _TAPS
                            if i < n_filters and tap + j < n_taps:
                                where = parts.weight_starts[part] + (tap + j) * filters + i
                                out[block, where] += _add_row(shared, value * row, width)

    return kernel
