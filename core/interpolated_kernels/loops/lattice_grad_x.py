"""The lattice path's gradient by x: y's gradient is gathered into maps, anchor by anchor, and the smoothing transposed.

A task is a block of x's cells of one sample, and some channels of a group. A row of y's gradient, of all filters, is
read once for all rows of maps that it reaches: these are the rows of a register tile, and share what they read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import apart, load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.lattice_forward import Job, block_of, open_job, section
from interpolated_kernels.loops.tiles.lines import smooth, unpack_cells
from interpolated_kernels.loops.tiles.register import lanes_in, zeros
from interpolated_kernels.loops.tiles.runs import add_run, add_to_rows, clear_values, copy_values, prefetch

VECTORS_OF_TILE = 3
"""Vectors of a tile's rows; those of a tile of one row are twice as many."""


class Gathering(NamedTuple):
    """How y's gradient is read: outputs that a block needs, and where the maps of a task's channels lie.

    `filters` are gathered at a time, for `channels` at a time. `nowhere` takes rows that no map has.
    """

    filters: int
    channels: int
    out_columns: int
    plane_low: int
    plane_span: int
    plane_residues: int
    row_low: int
    row_span: int
    row_residues: int
    column_low: int
    column_span: int
    at: int
    nowhere: int
    maps_size: int
    x_planes: int
    x_rows: int
    x_columns: int


class Targets(NamedTuple):
    """The rows of maps that a row of y's gradient reaches, tile by tile, and the taps along columns.

    `tiles` are `(first row, rows, planes of the map, y's plane less the map's)`; `rows` `(rows of the map, y's row less
    the map's, where the map starts)`; `classes` `(first tap, nodes, nodes before, where its columns start, columns)`:
    the taps of one filter, filter after filter.
    """

    tiles: Any
    rows: Any
    classes: Any


def lattice_grad_x(y: Any, weights: Any, job: Job, block_size: int, n_tasks: int, grad: Any) -> None:
    """Write the gradient by x, or by the padded x, from flat y."""
    load_apart(y.dtype)
    is_worth_it = grad.size * len(weights) > 2**21
    launch(
        _grad_x_parallel, _grad_x_serial, is_worth_it, y, weights, *job, n_tasks, workspace(block_size, y.dtype), grad
    )


def _gather_loop(width, columns):
    """Return the sum over taps into a row of y's gradient, added to `width` rows of maps, `columns` vectors at a time.

    Rows of maps are whole tiles long.
    """
    count = width * columns

    @apart(f"gather_{width}x{columns}", "ffiof" + "i" * 9)
    def run(
        source, weights, at, offsets, target, first, last, n_columns, read_at, write_at, place, second, third, fourth,
    ):  # fmt: skip
        places = (place, second, third, fourth)[:width]
        for column in range(0, n_columns, columns * lanes_in(target)):
            sums = zeros(target, count)
            for tap in range(first, last):
                sums = add_run(sums, width, weights, at + (tap - first) * width, source, read_at + column, offsets, tap)
            add_to_rows(sums, target, places, write_at + column)

    return run


_gather_1x6, _gather_2x3, _gather_3x3, _gather_4x3 = (
    _gather_loop(width, VECTORS_OF_TILE * (1 + (width == 1))) for width in (1, 2, 3, 4)
)


@jit(inner=True)
def _gather_tile(width, work, weights, at, offsets, first, last, n_columns, read, write, places):
    """Add the taps' sums over a row of y's gradient to up to four rows of maps."""
    place, second, third, fourth = places
    if width == 4:
        _gather_4x3(work, weights, at, offsets, work, first, last, n_columns, read, write, place, second, third,
                    fourth)  # fmt: skip
    elif width == 3:
        _gather_3x3(work, weights, at, offsets, work, first, last, n_columns, read, write, place, second, third,
                    fourth)  # fmt: skip
    elif width == 2:
        _gather_2x3(work, weights, at, offsets, work, first, last, n_columns, read, write, place, second, third,
                    fourth)  # fmt: skip
    else:
        _gather_1x6(work, weights, at, offsets, work, first, last, n_columns, read, write, place, second, third,
                    fourth)  # fmt: skip


@jit(inner=True)
def _place(targets, index, row, short_rows, plane_at, line, nowhere):
    """Return where a tile's row stands among the maps for a row of y's gradient, or `nowhere`."""
    if index >= len(targets.rows):
        return nowhere
    at = row - targets.rows[index, 1]
    return plane_at + targets.rows[index, 2] + at * line if 0 <= at < targets.rows[index, 0] - short_rows else nowhere


@jit(inner=True)
def _gather_row(weights, at, block, gathering, offsets, targets, filters, plane, row, short_planes, short_rows, work):
    """Add one row of y's gradient, of some filters, to all rows of maps that it reaches."""
    nowhere, n_columns = gathering.nowhere, 0
    for index in range(len(targets.classes)):
        n_columns += targets.classes[index, 1]
    for index in range(len(targets.tiles)):
        first, width = targets.tiles[index, 0], targets.tiles[index, 1]
        map_plane = plane - targets.tiles[index, 3]
        if not 0 <= map_plane < targets.tiles[index, 2] - short_planes:
            continue
        plane_at = map_plane * block.n_lines * block.line
        places = (
            _place(targets, first, row, short_rows, plane_at, block.line, nowhere),
            _place(targets, first + 1, row, short_rows, plane_at, block.line, nowhere) if width > 1 else nowhere,
            _place(targets, first + 2, row, short_rows, plane_at, block.line, nowhere) if width > 2 else nowhere,
            _place(targets, first + 3, row, short_rows, plane_at, block.line, nowhere) if width > 3 else nowhere,
        )
        if places[0] == nowhere and places[1] == nowhere and places[2] == nowhere and places[3] == nowhere:
            continue
        for part in range(len(targets.classes)):
            tap, nodes, before = targets.classes[part, 0], targets.classes[part, 1], targets.classes[part, 2]
            _gather_tile(
                width, work, weights, at + filters * (first * n_columns + width * before), offsets, tap,
                tap + filters * nodes, targets.classes[part, 4], gathering.at, targets.classes[part, 3], places,
            )  # fmt: skip


@jit(inner=True)
def _gather_maps(y, weights, at, arrays, block, gathering, offsets, targets, image, blocks, work):
    """Write the maps of a task's channels: weights times y's gradient, row after row, all filters.

    The row that comes next is fetched while the present one is gathered.
    """
    plane_block, row_block, column_block = blocks
    short_planes, short_rows = block.planes - plane_block[2], block.rows - row_block[2]
    first_column = column_block[0] + gathering.column_low
    low = max(0, min(gathering.column_span, -first_column))
    n_cells = max(0, min(gathering.column_span, gathering.out_columns - first_column) - low)
    clear_values(work, block.at_maps, gathering.channels * gathering.maps_size)
    clear_values(work, gathering.at, gathering.filters * gathering.column_span)
    row_step = gathering.row_residues * arrays.y_row
    for plane in range(gathering.plane_span - short_planes):
        out_plane = plane_block[0] + gathering.plane_low + plane
        if not 0 <= out_plane < plane_block[4]:
            continue
        for row in range(gathering.row_span - short_rows):
            out_row = row_block[0] + gathering.row_low + row
            if not 0 <= out_row < row_block[4]:
                continue
            start = image * arrays.outs * arrays.y_channel + first_column + low
            start += (out_plane * gathering.plane_residues + plane_block[3]) * arrays.y_plane
            start += (out_row * gathering.row_residues + row_block[3]) * arrays.y_row
            weight = at
            for first in range(0, arrays.outs, gathering.filters):
                filters = min(gathering.filters, arrays.outs - first)
                for index in range(filters):
                    cell = start + (first + index) * arrays.y_channel
                    copy_values(work, gathering.at + index * gathering.column_span + low, y, cell, n_cells)
                    prefetch(y, cell + row_step, n_cells)
                _gather_row(
                    weights, weight, block, gathering, offsets, targets, filters, plane, row, short_planes, short_rows,
                    work,
                )  # fmt: skip
                weight += filters * arrays.n_nodes * gathering.channels


@jit(inner=True)
def _spread_maps(arrays, block, tables, gathering, maps, start, blocks, work, grad):
    """Write one channel's cells of a block from its maps."""
    plane_block, row_block, column_block = blocks
    short_planes, short_rows = block.planes - plane_block[2], block.rows - row_block[2]
    size = block.n_lines * block.line
    smooth(work, tables.by_planes, 1, short_planes, maps, 0, size, block.at_rows, 0, size)
    row_phases = len(tables.rows.lines) // block.rows
    for plane_line in range(len(tables.planes.lines)):
        plane = plane_block[1] + tables.planes.lines[plane_line]
        if plane_line % block.planes >= plane_block[2] or not 0 <= plane < gathering.x_planes:
            continue
        source = maps if len(tables.by_planes.parts) == 0 else block.at_rows + plane_line * size
        smooth(work, tables.by_rows, 1, short_rows, source, 0, block.line, block.at_lines, 0, block.line)
        if len(tables.by_rows.parts) > 0:
            source = block.at_lines
        smooth(
            work, tables.by_columns, row_phases, short_rows, source, block.rows * block.line, block.line,
            block.at_cells, block.rows * block.cells, block.cells,
        )  # fmt: skip
        for row_line in range(len(tables.rows.lines)):
            row = row_block[1] + tables.rows.lines[row_line]
            if row_line % block.rows >= row_block[2] or not 0 <= row < gathering.x_rows:
                continue
            at, target = block.at_cells + row_line * block.cells, start + plane * arrays.x_plane + row * arrays.x_row
            for phase in range(len(tables.columns.lines)):
                first = column_block[1] + tables.columns.lines[phase]
                unpack_cells(work, at, first, block.column_stride, column_block[2], grad, target, gathering.x_columns)
                at += block.column_span


@jit(inner=True, returns_arrays=True)
def _grad_x_task(y, weights, numbers, offsets, coefficients, work, grad, task):
    arrays, block, tables, taps = open_job(Job(numbers, offsets, coefficients), 5)
    g, tiles, rows, classes = section(numbers, 20), section(numbers, 21), section(numbers, 22), section(numbers, 23)
    gathering = Gathering(
        g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15], g[16]
    )
    targets = Targets(
        tiles.reshape(len(tiles) // 4, 4), rows.reshape(len(rows) // 3, 3), classes.reshape(len(classes) // 5, 5)
    )
    task, plane_at, row_at, column_at = block_of(tables, task)
    n_parts = (arrays.ins + gathering.channels - 1) // gathering.channels
    image, part = task // n_parts, task % n_parts
    blocks = (tables.planes.blocks[plane_at], tables.rows.blocks[row_at], tables.columns.blocks[column_at])
    at = (image % arrays.groups * n_parts + part) * gathering.channels * arrays.outs * arrays.n_nodes
    _gather_maps(y, weights, at, arrays, block, gathering, taps.offsets, targets, image, blocks, work)
    first = part * gathering.channels
    for index in range(min(gathering.channels, arrays.ins - first)):
        start = (image * arrays.ins + first + index) * arrays.x_channel
        maps = block.at_maps + index * gathering.maps_size
        _spread_maps(arrays, block, tables, gathering, maps, start, blocks, work, grad)


@jit
def _grad_x_serial(y, weights, numbers, offsets, coefficients, n_tasks, work, grad):
    for task in range(n_tasks):
        _grad_x_task(y, weights, numbers, offsets, coefficients, work[0], grad, task)


@jit(parallel=True)
def _grad_x_parallel(y, weights, numbers, offsets, coefficients, n_tasks, work, grad):
    for task in prange(n_tasks):
        _grad_x_task(y, weights, numbers, offsets, coefficients, work[thread_id()], grad, np.int64(task))
