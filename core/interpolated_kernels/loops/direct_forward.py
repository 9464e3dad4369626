"""The direct path's forward loop: every tap times a shifted input, into register tiles.

Arrays are flat, and rows are padded to whole vectors; `paths.direct` draws how. A tile is `width` output channels (or
rows) by a few vectors of outputs. Each output is one chain of multiply-adds over its block's taps in their order,
whatever tile it falls into, so its bits depend on neither threads, batch nor position.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch
from interpolated_kernels.loops.tiles.register import add_taps, as_tuple, load, load_cells, store, with_item, zeros
from interpolated_kernels.tile_sizes import COLUMNS_OF_TILE, ROWS_OF_TILE, VECTOR_BYTES

VECTORS_OF_TASK = 48
"""A multiple of every tile's columns, so that no two tasks write the same output."""


class DirectLayout(NamedTuple):
    """Where rows of outputs lie, and the inputs that their first tap meets; steps in values."""

    samples: int
    planes: int
    rows: int
    columns: int
    row_vectors: int
    x_sample: int
    x_plane: int
    x_row: int
    y_start: int
    y_sample: int
    y_channel: int
    y_plane: int
    y_row: int

    @property
    def n_outputs(self) -> int:
        """Outputs of one channel, of all samples."""
        return self.samples * self.planes * self.rows * self.columns


class TapBlock(NamedTuple):
    """Up to four output channels with the same taps; `window_rows > 0` where rows of whole windows can be shared.

    A task runs over its outputs once a segment of taps, so that what it reads stays in cache; sums wait in y meanwhile.
    """

    first: int
    width: int
    x_start: int
    tap_start: int
    n_taps: int
    segment: int
    weights_start: int
    dense_start: int
    window_rows: int
    window_columns: int
    row_tap_start: int


_N_FIELDS = len(TapBlock._fields)


class DirectTaps(NamedTuple):
    """The taps of every block: how far from an output's first input each reads, and where its weight comes from.

    After the taps of the blocks stand those of the rows that a tile of rows shares.
    """

    blocks: NDArray[np.int64]
    """`(blocks, fields of TapBlock)`."""
    offsets: NDArray[np.integer[Any]]
    sources: NDArray[np.int64]
    """Cells of the dense kernels, from the `dense_start` of a block."""
    dense_step: int
    """From an output channel's dense kernels to the next one's."""
    n_weights: int
    """The length of the packed weights."""


class Place(NamedTuple):
    """Where a tile stands: in which sample, at which vector of its outputs, and at which of its block's taps."""

    sample: int
    vector: int
    segment: int


class Spot(NamedTuple):
    """Where a vector of outputs stands: its plane, row and number in the row, and how many are left with it."""

    plane: int
    row: int
    column: int
    left: int


class SharedWindow(NamedTuple):
    """One channel's window, whose rows a tile of rows shares."""

    first_weight: int
    first_tap: int
    columns: int


def direct_forward(x: Any, weights: Any, taps: DirectTaps, layout: DirectLayout, y: Any) -> None:
    """Write every output: the sum over its block's taps of weight times input."""
    is_worth_it = weights.size * layout.n_outputs > 2**21
    launch(_forward_parallel, _forward_serial, is_worth_it, x, weights, taps, layout, y)


@jit
def pack_weights(dense, taps, packed):
    """Put every block's weights side by side, tap by tap, from the flat dense bank."""
    for index in range(len(taps.blocks)):
        block = take_block(taps.blocks, index)
        for tap in range(block.n_taps):
            for i in range(block.width):
                source = block.dense_start + i * taps.dense_step + taps.sources[block.tap_start + tap]
                packed[block.weights_start + tap * block.width + i] = dense[source]


@jit
def take_block(blocks, index):
    """Return one row of the table of blocks."""
    return TapBlock(*as_tuple(blocks[index], _N_FIELDS))


@jit(inner=True, inlined=True)
def _locate(layout, vector, tile_rows):
    """Return where a vector of outputs stands; the last one where there are not so many."""
    groups = (layout.rows + tile_rows - 1) // tile_rows
    n_vectors = layout.planes * groups * layout.row_vectors
    rest, column = divmod(min(vector, n_vectors - 1), layout.row_vectors)
    plane, group = divmod(rest, groups)
    return Spot(plane, group * tile_rows, column, n_vectors - vector)


@jit(inner=True, inlined=True)
def _advance(layout, spot, tile_rows):
    """Return where the next vector of outputs stands; the last one stays."""
    plane, row, column, left = spot
    if column + 1 < layout.row_vectors:
        column += 1
    elif row + tile_rows < layout.rows:
        row, column = row + tile_rows, 0
    elif plane + 1 < layout.planes:
        plane, row, column = plane + 1, 0, 0
    return Spot(plane, row, column, left - 1)


@jit(inner=True, inlined=True)
def _find_cells(layout, sample, spot, lanes):
    """Return where a vector of outputs reads and writes, and how many of its lanes count."""
    plane, row, column, left = spot
    cell = column * lanes
    x_start = sample * layout.x_sample + plane * layout.x_plane + row * layout.x_row + cell
    y_start = layout.y_start + sample * layout.y_sample + plane * layout.y_plane + row * layout.y_row + cell
    return x_start, y_start, min(lanes, layout.columns - cell) if left > 0 else 0


def _row_sum(low, high):
    """Return the loop over input rows that meet the rows `low <= i < high` of a tile.

    Input row `r` meets row `i` of the tile in row `r - i` of the window, whose weights lie `i` rows before.
    """

    @jit(inner=True)
    def add(sums, weights, x, x_starts, offsets, window, first_row, last_row):
        for tap in range(first_row * window.columns, last_row * window.columns):
            cells = load_cells(x, x_starts, offsets, window.first_tap + tap)
            sums = add_taps(sums, low, high, weights, window.first_weight + tap, -window.columns, cells)
        return sums

    return add


_sum_0, _sum_01, _sum_012, _sum_0123 = (_row_sum(0, high) for high in (1, 2, 3, ROWS_OF_TILE))
_sum_123, _sum_23, _sum_3 = (_row_sum(low, ROWS_OF_TILE) for low in (1, 2, 3))


def _channel_tile(width):
    """Return the loop over taps for `width` output channels by so many vectors of outputs as the registers hold."""
    columns = COLUMNS_OF_TILE[width - 1]
    count, none = width * columns, (0,) * columns

    @jit(inner=True)
    def tile(x, weights, offsets, block, layout, place, y):
        lanes = VECTOR_BYTES // x.itemsize
        x_starts, y_starts, n_lanes, n_channels = none, none, none, none
        spot = _locate(layout, place.vector, 1)
        for j in range(columns):
            x_start, y_start, lanes_left = _find_cells(layout, place.sample, spot, lanes)
            spot = _advance(layout, spot, 1)
            x_starts = with_item(x_starts, j, x_start + block.x_start)
            y_starts = with_item(y_starts, j, y_start + block.first * layout.y_channel)
            n_lanes = with_item(n_lanes, j, lanes_left)
            n_channels = with_item(n_channels, j, width)
        sums = zeros(x, count)
        if place.segment > 0:
            sums = load(sums, y, layout.y_channel, y_starts, n_channels, n_lanes)
        for tap in range(place.segment, min(place.segment + block.segment, block.n_taps)):
            cells = load_cells(x, x_starts, offsets, block.tap_start + tap)
            sums = add_taps(sums, 0, width, weights, block.weights_start + tap * width, 1, cells)
        store(sums, y, layout.y_channel, y_starts, n_channels, n_lanes)

    return tile


def _row_tile():
    """Return the loop over whole windows for `ROWS_OF_TILE` rows of one output channel by some vectors.

    An input row meets every row of the tile, each with another row of the window, so it is loaded once for all.
    """
    columns = COLUMNS_OF_TILE[ROWS_OF_TILE - 1]
    count, none = ROWS_OF_TILE * columns, (0,) * columns

    @jit(inner=True)
    def tile(x, weights, offsets, block, layout, place, y):
        lanes = VECTOR_BYTES // x.itemsize
        x_starts, y_starts, n_lanes, n_rows = none, none, none, none
        spot = _locate(layout, place.vector, ROWS_OF_TILE)
        for j in range(columns):
            x_start, y_start, lanes_left = _find_cells(layout, place.sample, spot, lanes)
            n_rows = with_item(n_rows, j, min(ROWS_OF_TILE, layout.rows - spot.row))
            spot = _advance(layout, spot, ROWS_OF_TILE)
            x_starts = with_item(x_starts, j, x_start + block.x_start)
            y_starts = with_item(y_starts, j, y_start + block.first * layout.y_channel)
            n_lanes = with_item(n_lanes, j, lanes_left)
        sums = zeros(x, count)
        if place.segment > 0:
            sums = load(sums, y, layout.y_row, y_starts, n_rows, n_lanes)
        width, end = block.window_columns, block.window_rows
        window_taps = width * end
        shared_taps = width * (end + ROWS_OF_TILE - 1)
        for first in range(place.segment, min(place.segment + block.segment, block.n_taps), window_taps):
            first_tap = block.row_tap_start + first // window_taps * shared_taps
            window = SharedWindow(block.weights_start + first, first_tap, width)
            # the first and the last input rows meet some rows of the tile alone
            sums = _sum_0(sums, weights, x, x_starts, offsets, window, 0, 1)
            sums = _sum_01(sums, weights, x, x_starts, offsets, window, 1, 2)
            sums = _sum_012(sums, weights, x, x_starts, offsets, window, 2, 3)
            sums = _sum_0123(sums, weights, x, x_starts, offsets, window, 3, end)
            sums = _sum_123(sums, weights, x, x_starts, offsets, window, end, end + 1)
            sums = _sum_23(sums, weights, x, x_starts, offsets, window, end + 1, end + 2)
            sums = _sum_3(sums, weights, x, x_starts, offsets, window, end + 2, end + 3)
        store(sums, y, layout.y_row, y_starts, n_rows, n_lanes)

    return tile


_tile_1, _tile_2, _tile_3, _tile_4 = (_channel_tile(width) for width in (1, 2, 3, 4))
_tile_rows = _row_tile()


@jit(inner=True)
def _forward_task(x, weights, taps, layout, n_parts, y, task):
    offsets, sample = taps.offsets, task // (n_parts * len(taps.blocks))
    block = take_block(taps.blocks, task % len(taps.blocks))
    first = task // len(taps.blocks) % n_parts * VECTORS_OF_TASK
    last = min(first + VECTORS_OF_TASK, _count_vectors(block, layout))
    columns = COLUMNS_OF_TILE[ROWS_OF_TILE - 1 if block.window_rows > 0 else block.width - 1]
    for segment in range(0, max(block.n_taps, 1), block.segment):
        for vector in range(first, last, columns):
            place = Place(sample, vector, segment)
            if block.window_rows > 0:
                _tile_rows(x, weights, offsets, block, layout, place, y)
            elif block.width == 4:
                _tile_4(x, weights, offsets, block, layout, place, y)
            elif block.width == 3:
                _tile_3(x, weights, offsets, block, layout, place, y)
            elif block.width == 2:
                _tile_2(x, weights, offsets, block, layout, place, y)
            else:
                _tile_1(x, weights, offsets, block, layout, place, y)


@jit(inner=True)
def _count_vectors(block, layout):
    tile_rows = ROWS_OF_TILE if block.window_rows > 0 else 1
    return layout.planes * ((layout.rows + tile_rows - 1) // tile_rows) * layout.row_vectors


@jit(inner=True)
def _count_parts(blocks, layout):
    most = 0
    for index in range(len(blocks)):
        most = max(most, _count_vectors(take_block(blocks, index), layout))
    return (most + VECTORS_OF_TASK - 1) // VECTORS_OF_TASK


@jit
def _forward_serial(x, weights, taps, layout, y):
    n_parts = _count_parts(taps.blocks, layout)
    for task in range(layout.samples * n_parts * len(taps.blocks)):
        _forward_task(x, weights, taps, layout, n_parts, y, task)


@jit(parallel=True)
def _forward_parallel(x, weights, taps, layout, y):
    n_parts = _count_parts(taps.blocks, layout)
    for task in prange(layout.samples * n_parts * len(taps.blocks)):
        _forward_task(x, weights, taps, layout, n_parts, y, np.int64(task))
