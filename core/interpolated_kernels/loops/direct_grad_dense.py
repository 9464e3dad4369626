"""The direct path's loop for the gradient by the taps: dot products of y's gradient with the shifted input.

A tile is `width` output channels (or rows of a window) by a few taps. Products are summed lane by lane in blocks of
bounded length, the blocks in float64 and in order; every tap is summed by one task alone, so its bits do not depend on
threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import get_num_threads, launch
from interpolated_kernels.loops.direct_forward import DirectLayout, DirectTaps, take_block
from interpolated_kernels.loops.tiles.register import add_products, add_some_products, lane_sums, with_item, zeros
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, TAPS_OF_TILE, VECTOR_BYTES

PRODUCTS_OF_BLOCK = 4096
"""Most products of a weights' gradient that are summed in the caller's dtype before float64."""

BLOCKS_OF_THREAD = 4
"""From so many blocks of taps a thread on, each is one task, which reads y once; fewer are cut, a part a thread."""


def direct_grad_dense(y: Any, x: Any, taps: DirectTaps, layout: DirectLayout, grad: Any) -> None:
    """Add to the flat float64 `grad` of the dense bank, for every tap, the sum over outputs of gradient times input."""
    is_worth_it = grad.size * layout.n_outputs > 2**21
    n_threads = get_num_threads()
    n_parts = 1 if len(taps.blocks) >= BLOCKS_OF_THREAD * n_threads else n_threads
    arguments = (y, x, taps, layout, n_parts, grad)
    launch(_multiply_parallel, _multiply_serial, is_worth_it, *arguments)


class OutputRows(NamedTuple):
    """One block of outputs: some rows, from the first vector to the last; where the first row lies."""

    n_rows: int
    row: int
    plane: int
    x_row: int
    y_row: int
    first: int
    last: int


def _channel_products(width):
    """Return the loop over a block of outputs for `width` output channels by some taps."""
    columns = TAPS_OF_TILE[width - 1]
    count, no_channels, no_taps = width * columns, (0,) * width, (0,) * columns

    @jit(inner=True)
    def products(y, x, taps, block, layout, rows, tiles, grad):
        y_starts, x_starts = no_channels, no_taps
        for i in range(width):
            y_starts = with_item(y_starts, i, (block.first + i) * layout.y_channel)
        lanes = VECTOR_BYTES // x.itemsize
        whole_vectors = layout.columns // lanes
        for tap in range(tiles[0] * columns, tiles[1] * columns, columns):
            for j in range(columns):
                offset = taps.offsets[block.tap_start + min(tap + j, block.n_taps - 1)]
                x_starts = with_item(x_starts, j, block.x_start + offset)
            sums = zeros(x, count)
            row, plane, x_row, y_row = rows.row, rows.plane, rows.x_row, rows.y_row
            for _ in range(rows.n_rows):
                for vector in range(rows.first, min(rows.last, whole_vectors)):
                    start = vector * lanes
                    sums = add_products(sums, y, y_starts, y_row + start, x, x_starts, x_row + start)
                if rows.last > whole_vectors:
                    start, n_lanes = whole_vectors * lanes, layout.columns - whole_vectors * lanes
                    sums = add_some_products(sums, y, y_starts, y_row + start, x, x_starts, x_row + start, n_lanes)
                row, x_row, y_row = row + 1, x_row + layout.x_row, y_row + layout.y_row
                if row == layout.rows:
                    row, plane = 0, plane + 1
                    x_row += layout.x_plane - layout.rows * layout.x_row
                    y_row += layout.y_plane - layout.rows * layout.y_row
                    if plane == layout.planes:
                        plane = 0
                        x_row += layout.x_sample - layout.planes * layout.x_plane
                        y_row += layout.y_sample - layout.planes * layout.y_plane
            totals = lane_sums(sums)
            for j in range(min(columns, block.n_taps - tap)):
                for i in range(width):
                    at = block.dense_start + i * taps.dense_step + taps.sources[block.tap_start + tap + j]
                    grad[at] += totals[i * columns + j]

    return products


def _row_products():
    """Return the loop over a block of outputs for `ROWS_OF_TILE` rows by some columns of a whole window.

    An input row meets, for every row of the tile, another row of y's gradient, which has zero rows above and below.
    """
    # The loop over a row's vectors stands in both kinds of products: as a function of its own it stores and loads the
    # whole tile at every row, which doubled the time of rows of seven vectors.
    columns = TAPS_OF_TILE[ROWS_OF_TILE - 1]
    count, no_rows, no_taps = ROWS_OF_TILE * columns, (0,) * ROWS_OF_TILE, (0,) * columns

    @jit(inner=True)
    def products(y, x, taps, block, layout, rows, tiles, grad):
        lanes = VECTOR_BYTES // x.itemsize
        whole_vectors = layout.columns // lanes
        y_starts, x_starts = no_rows, no_taps
        for i in range(ROWS_OF_TILE):
            y_starts = with_item(y_starts, i, block.first * layout.y_channel - i * layout.y_row)
        down, across = -(-block.window_rows // ROWS_OF_TILE), -(-block.window_columns // columns)
        for tile in range(tiles[0], tiles[1]):
            window_row, column = tile // across % down * ROWS_OF_TILE, tile % across * columns
            tap = (tile // (across * down) * block.window_rows + window_row) * block.window_columns + column
            for j in range(columns):
                offset = taps.offsets[block.tap_start + tap - column + min(column + j, block.window_columns - 1)]
                x_starts = with_item(x_starts, j, block.x_start + offset)
            sums = zeros(x, count)
            x_row, y_row = rows.x_row, rows.y_row
            for _ in range(rows.n_rows):
                for vector in range(rows.first, min(rows.last, whole_vectors)):
                    start = vector * lanes
                    sums = add_products(sums, y, y_starts, y_row + start, x, x_starts, x_row + start)
                if rows.last > whole_vectors:
                    start, n_lanes = whole_vectors * lanes, layout.columns - whole_vectors * lanes
                    sums = add_some_products(sums, y, y_starts, y_row + start, x, x_starts, x_row + start, n_lanes)
                x_row, y_row = x_row + layout.x_row, y_row + layout.y_row
            totals = lane_sums(sums)
            for i in range(min(ROWS_OF_TILE, block.window_rows - window_row)):
                for j in range(min(columns, block.window_columns - column)):
                    source = taps.sources[block.tap_start + tap + i * block.window_columns + j]
                    grad[block.dense_start + source] += totals[i * columns + j]

    return products


_products_1, _products_2, _products_3, _products_4 = (_channel_products(width) for width in (1, 2, 3, 4))
_products_rows = _row_products()


@jit(inner=True)
def _count_tiles(block):
    """Return how many tiles the taps of a block are cut into."""
    if block.window_rows == 0:
        return -(-block.n_taps // TAPS_OF_TILE[block.width - 1])
    n_planes = block.n_taps // (block.window_rows * block.window_columns)
    return n_planes * -(-block.window_rows // ROWS_OF_TILE) * -(-block.window_columns // TAPS_OF_TILE[ROWS_OF_TILE - 1])


@jit(inner=True)
def _multiply_task(y, x, taps, layout, n_parts, grad, task):
    """Run over all outputs, block by block, for one part of the taps: a block of y stays in the nearest cache."""
    block = take_block(taps.blocks, task % len(taps.blocks))
    part, n_tiles = task // len(taps.blocks), _count_tiles(block)
    tiles = (part * n_tiles // n_parts, (part + 1) * n_tiles // n_parts)
    if tiles[0] == tiles[1]:
        return
    lanes = VECTOR_BYTES // x.itemsize
    products = PRODUCTS_OF_BLOCK // block.width
    vectors = min(layout.row_vectors, max(1, products // lanes))
    count = max(1, products // (vectors * lanes))
    n_images, n_rows = 1, layout.samples * layout.planes * layout.rows
    if block.window_rows > 0:
        n_images, n_rows = layout.samples * layout.planes, layout.rows + ROWS_OF_TILE - 1
    for image in range(n_images):
        for first_row in range(0, n_rows, count):
            index = image if block.window_rows > 0 else first_row // layout.rows
            row = first_row if block.window_rows > 0 else first_row % layout.rows
            sample, plane = index // layout.planes, index % layout.planes
            x_row = sample * layout.x_sample + plane * layout.x_plane + row * layout.x_row
            y_row = layout.y_start + sample * layout.y_sample + plane * layout.y_plane + row * layout.y_row
            for first in range(0, layout.row_vectors, vectors):
                rows = OutputRows(
                    n_rows=min(count, n_rows - first_row), row=row, plane=plane, x_row=x_row, y_row=y_row,
                    first=first, last=min(first + vectors, layout.row_vectors),
                )  # fmt: skip
                _multiply_block(y, x, taps, block, layout, rows, tiles, grad)


@jit(inner=True)
def _multiply_block(y, x, taps, block, layout, rows, tiles, grad):
    if block.window_rows > 0:
        _products_rows(y, x, taps, block, layout, rows, tiles, grad)
    elif block.width == 4:
        _products_4(y, x, taps, block, layout, rows, tiles, grad)
    elif block.width == 3:
        _products_3(y, x, taps, block, layout, rows, tiles, grad)
    elif block.width == 2:
        _products_2(y, x, taps, block, layout, rows, tiles, grad)
    else:
        _products_1(y, x, taps, block, layout, rows, tiles, grad)


@jit
def _multiply_serial(y, x, taps, layout, n_parts, grad):
    for task in range(n_parts * len(taps.blocks)):
        _multiply_task(y, x, taps, layout, n_parts, grad, task)


@jit(parallel=True)
def _multiply_parallel(y, x, taps, layout, n_parts, grad):
    for task in prange(n_parts * len(taps.blocks)):
        _multiply_task(y, x, taps, layout, n_parts, grad, np.int64(task))
