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
from interpolated_kernels.loops.compile.tables import Floats, Packed, opener
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.lattice_forward import find_block
from interpolated_kernels.loops.lattice_tables import GradXTables
from interpolated_kernels.loops.tiles.copies import clear_values, copy_values, prefetch
from interpolated_kernels.loops.tiles.lines import Lines, Places, Taps, smooth, sum_taps
from interpolated_kernels.loops.tiles.packing import Cells, unpack_cells
from interpolated_kernels.loops.tiles.register import lanes_in, zeros
from interpolated_kernels.loops.tiles.runs import add_run, add_to_rows
from interpolated_kernels.tile_sizes import VECTORS_OF_LINE, VECTORS_OF_LONE_LINE

open_grad_x = opener(GradXTables)


class Reads(NamedTuple):
    """How a tile reads a row of y's gradient and adds to maps: first values, and how many columns the map has."""

    source: int
    target: int
    columns: int


class Ahead(NamedTuple):
    """Rows of y's gradient that come later, which a tile fetches while it sums: the first, their distance, how many."""

    first: int
    step: int
    n: int


class Targets(NamedTuple):
    """Where the rows of a tile stand among the maps."""

    first: int
    second: int
    third: int
    fourth: int


class OutputRow(NamedTuple):
    """A row of y's gradient, counted from a block's first: where it, its copy or its sums begin.

    And where the row begins that is fetched meanwhile, and by how many lines the block is short of a whole one.
    """

    source: int
    ahead: int
    plane: int
    row: int
    short_planes: int
    short_rows: int


def lattice_grad_x(y: Any, weights: Any, tables: Packed, work_size: int, n_tasks: int, grad: Any) -> None:
    """Write the gradient by x, or by the padded x, from flat y."""
    load_apart(y.dtype, "taps", "gathering", "grad_x")
    is_worth_it = grad.size * len(weights) > 2**21
    work = workspace(work_size, y.dtype)
    arguments = (y, weights, *tables, n_tasks, work, grad)
    launch(_grad_x_parallel, _grad_x_serial, is_worth_it, *arguments)


def _gather_vectors(width, columns):
    """Return the sum over taps into a row of y's gradient, added to `columns` vectors of `width` rows of maps."""
    count = width * columns

    @jit(inner=True)
    def gather(source, taps, reads, targets, target, column):
        places = (targets.first, targets.second, targets.third, targets.fourth)[:width]
        sums, read = zeros(target, count), reads.source + column
        for tap in range(taps.first, taps.last):
            weight = taps.at + (tap - taps.first) * width
            sums = add_run(sums, width, taps.weights, weight, source, read, taps.offsets, tap)
        add_to_rows(sums, target, places, reads.target + column)

    return gather


def _gather_loop(width):
    """Return the same for whole rows of maps: of vectors by threes, two or four are left, by twos; or all by sixes."""
    columns = VECTORS_OF_LONE_LINE if width == 1 else VECTORS_OF_LINE
    gather_wide, gather_two = _gather_vectors(width, columns), _gather_vectors(width, 2)

    @apart(f"gather_{width}", family="gathering")
    def run(source: Floats, taps: Taps, reads: Reads, targets: Targets, target: Floats, y: Floats, ahead: Ahead):
        lanes = lanes_in(target)
        vectors = max(2, (reads.columns + lanes - 1) // lanes)
        wide = vectors if width == 1 else vectors - 2 * (-vectors % VECTORS_OF_LINE)
        for vector in range(0, wide, columns):
            for row in range(ahead.n):
                prefetch(y, ahead.first + row * ahead.step + vector * lanes, columns * lanes)
            gather_wide(source, taps, reads, targets, target, vector * lanes)
        for vector in range(wide, vectors, 2):
            gather_two(source, taps, reads, targets, target, vector * lanes)

    return run


_gather_1, _gather_2, _gather_3, _gather_4 = (_gather_loop(width) for width in (1, 2, 3, 4))


@jit(inner=True)
def _gather_tile(width, work, taps, reads, targets, y, ahead):
    """Add the taps' sums over a row of y's gradient to up to four rows of maps."""
    if width == 4:
        _gather_4(work, taps, reads, targets, work, y, ahead)
    elif width == 3:
        _gather_3(work, taps, reads, targets, work, y, ahead)
    elif width == 2:
        _gather_2(work, taps, reads, targets, work, y, ahead)
    else:
        _gather_1(work, taps, reads, targets, work, y, ahead)


@jit(inner=True)
def _find_row(tables, index, line, plane_at):
    """Return where a tile's row stands among the maps for a row of y's gradient, or `nowhere`."""
    rows, nowhere = tables.map_rows, tables.gathering.nowhere
    if index >= rows.n:
        return nowhere
    row = line.row - rows.shifts[index]
    is_there = 0 <= row < rows.rows[index] - line.short_rows
    return plane_at + rows.starts[index] + row * tables.workspace.line if is_there else nowhere


@jit(inner=True)
def _gather_row(y, weights, at, tables, filters, line, work):
    """Add one row of y's gradient, of some filters, to all rows of maps that it reaches."""
    place, tiles, maps = tables.workspace, tables.tiles, tables.column_maps
    nowhere = tables.gathering.nowhere
    for index in range(tiles.n):
        first, width = tiles.firsts[index], tiles.widths[index]
        plane = line.plane - tiles.shifts[index]
        if not 0 <= plane < tiles.planes[index] - line.short_planes:
            continue
        plane_at = plane * place.n_lines * place.line
        targets = Targets(
            _find_row(tables, first, line, plane_at),
            _find_row(tables, first + 1, line, plane_at) if width > 1 else nowhere,
            _find_row(tables, first + 2, line, plane_at) if width > 2 else nowhere,
            _find_row(tables, first + 3, line, plane_at) if width > 3 else nowhere,
        )
        if targets.first == targets.second == targets.third == targets.fourth == nowhere:
            continue
        for each in range(maps.n):
            tap = maps.taps[each]
            weight = at + filters * (first * maps.n_nodes + width * maps.nodes_before[each])
            taps = Taps(weights, weight, tables.offsets, tap, tap + filters * maps.nodes[each])
            reads = Reads(line.source, maps.starts[each], maps.columns[each])
            _gather_tile(
                width, work, taps, reads, targets, y, _share_rows(tables, filters, line, index * maps.n + each)
            )


@jit(inner=True)
def _share_rows(tables, filters, line, part):
    """Return which of the filters' rows ahead a tile fetches, for a row of maps: all of them take their shares."""
    step, n_parts = tables.arrays.y_channel, tables.tiles.n * tables.column_maps.n
    first, end = filters * part // n_parts, filters * (part + 1) // n_parts
    return Ahead(line.ahead + first * step, step, end - first)


@jit(inner=True)
def _gather_maps(y, weights, at, tables, image, block, work):
    """Write the maps of a task's channels: weights times y's gradient, row after row, all filters."""
    arrays, place, gathering = tables.arrays, tables.workspace, tables.gathering
    planes, rows = tables.plane_blocks, tables.row_blocks
    short_planes, short_rows = place.planes - planes.counts[block.plane], place.rows - rows.counts[block.row]
    clear_values(work, place.at_maps, gathering.channels * gathering.maps_size)
    clear_values(work, gathering.at, gathering.rows * gathering.filters * gathering.column_span)
    for plane in range(gathering.plane_span - short_planes):
        out_plane = planes.firsts[block.plane] + gathering.plane_low + plane
        if not 0 <= out_plane < planes.outputs[block.plane]:
            continue
        start = image * arrays.outs * arrays.y_channel
        start += (out_plane * gathering.planes_interleaved + planes.problems[block.plane]) * arrays.y_plane
        first_row = rows.firsts[block.row] + gathering.row_low
        high = min(gathering.row_span - short_rows, rows.outputs[block.row] - first_row)
        for row in range(max(0, -first_row), high, gathering.rows):
            line = OutputRow(start, start, plane, row, short_planes, short_rows)
            count = min(gathering.rows, high - row)
            _gather_rows(y, weights, at, tables, line, count, block, work)


@jit(inner=True)
def _gather_rows(y, weights, at, tables, line, count, block, work):
    """Add some rows of y's gradient, from `line` on, whose plane begins at its source, of all filters."""
    arrays, gathering, rows, sums = tables.arrays, tables.gathering, tables.row_blocks, tables.sums
    step_in_y = gathering.rows_interleaved * arrays.y_row
    first_row = rows.firsts[block.row] + gathering.row_low + line.row
    first_row_at = line.source + first_row * step_in_y + rows.problems[block.row] * arrays.y_row
    first_column = tables.column_blocks.firsts[block.column] + gathering.column_low
    source, step = (gathering.at, gathering.column_span) if sums.n == 0 else (sums.at, sums.line)
    for first in range(0, arrays.outs, gathering.filters):
        filters = min(gathering.filters, arrays.outs - first)
        for row in range(count):
            begin = first_row_at + first * arrays.y_channel + row * step_in_y
            target = gathering.at + row * filters * gathering.column_span
            _copy_rows(y, begin, first_column, filters, tables, work, target)
        _sum_outputs(tables, count * filters, work)
        for row in range(count):
            begin = source + row * filters * step
            ahead = first_row_at + first * arrays.y_channel + (gathering.rows + row) * step_in_y + max(0, first_column)
            one = OutputRow(begin, ahead, line.plane, line.row + row, line.short_planes, line.short_rows)
            _gather_row(y, weights, at, tables, filters, one, work)
        at += filters * arrays.n_nodes * gathering.channels


@jit(inner=True)
def _copy_rows(y, start, first_column, filters, tables, work, target):
    """Copy a row of y's gradient of some filters, zeros beside it."""
    arrays, gathering = tables.arrays, tables.gathering
    low = max(0, min(gathering.column_span, -first_column))
    count = max(0, min(gathering.column_span, gathering.out_columns - first_column) - low)
    for index in range(filters):
        cell = start + index * arrays.y_channel + first_column + low
        copy_values(work, target + index * gathering.column_span + low, y, cell, count)


@jit(inner=True)
def _sum_outputs(tables, count, work):
    """Smooth so many copied rows of y's gradient along columns, where that comes first."""
    sums, gathering = tables.sums, tables.gathering
    for index in range(sums.n):
        first, last, start = sums.ends[index], sums.ends[index + 1], sums.starts[index]
        taps = Taps(sums.coefficients, first, sums.offsets, first, last)
        read, write = Places(gathering.at, 0, gathering.column_span), Places(sums.at + start, 0, sums.line)
        sum_taps(1, work, taps, Lines(1, count, sums.starts[index + 1] - start, read, write), False, work, 0)


@jit(inner=True)
def _spread_maps(tables, maps, start, block, work, grad):
    """Write one channel's cells of a block from its maps: the smoothing transposed, planes first."""
    place, gathering = tables.workspace, tables.gathering
    count = tables.plane_blocks.counts[block.plane]
    short_rows = place.rows - tables.row_blocks.counts[block.row]
    size = place.n_lines * place.line
    smooth(work, tables.by_planes, 1, place.planes - count, Places(maps, 0, size), Places(place.at_rows, 0, size))
    for line in range(tables.planes.n_lines):
        plane = tables.plane_blocks.cells[block.plane] + tables.planes.lines[line]
        if line % place.planes >= count or not 0 <= plane < gathering.x_planes:
            continue
        source = maps if tables.by_planes.n == 0 else place.at_rows + line * size
        smooth(
            work, tables.by_rows, 1, short_rows, Places(source, 0, place.line), Places(place.at_lines, 0, place.line)
        )
        if tables.by_rows.n > 0:
            source = place.at_lines
        smooth(
            work, tables.by_columns, place.row_phases, short_rows, Places(source, place.rows * place.line, place.line),
            Places(place.at_cells, place.rows * place.cells, place.cells),
        )  # fmt: skip
        _unpack_plane(tables, start + plane * tables.arrays.x_plane, block, work, grad)


@jit(inner=True)
def _unpack_plane(tables, start, block, work, grad):
    """Copy the cells of one plane of a block to where they stand; those outside the array are left out."""
    place, gathering, blocks = tables.workspace, tables.gathering, tables.column_blocks
    for line in range(tables.rows.n_lines):
        row = tables.row_blocks.cells[block.row] + tables.rows.lines[line]
        if line % place.rows >= tables.row_blocks.counts[block.row] or not 0 <= row < gathering.x_rows:
            continue
        at, target = place.at_cells + line * place.cells, start + row * tables.arrays.x_row
        for phase in range(tables.columns.n_lines):
            first = blocks.cells[block.column] + tables.columns.lines[phase]
            cells = Cells(first, place.column_stride, blocks.counts[block.column])
            unpack_cells(work, at, cells, grad, target, gathering.x_columns)
            at += place.column_cells


@apart("write_cells", family="grad_x")
def _write_cells(y: Floats, weights: Floats, tables: GradXTables, work: Floats, grad: Floats, task: int):
    """Write a block of x's cells, of one sample and some channels of a group."""
    arrays, gathering = tables.arrays, tables.gathering
    rest, block = find_block(tables, task)
    n_parts = (arrays.ins + gathering.channels - 1) // gathering.channels
    image, part = rest // n_parts, rest % n_parts
    at = (image % arrays.groups * n_parts + part) * gathering.channels * arrays.outs * arrays.n_nodes
    _gather_maps(y, weights, at, tables, image, block, work)
    first = part * gathering.channels
    for index in range(min(gathering.channels, arrays.ins - first)):
        start = (image * arrays.ins + first + index) * arrays.x_channel
        _spread_maps(tables, tables.workspace.at_maps + index * gathering.maps_size, start, block, work, grad)


@jit
def _grad_x_serial(y, weights, numbers, offsets, coefficients, n_tasks, work, grad):
    tables = open_grad_x(numbers, offsets, coefficients)
    for task in range(n_tasks):
        _write_cells(y, weights, tables, work[0], grad, task)


@jit(parallel=True)
def _grad_x_parallel(y, weights, numbers, offsets, coefficients, n_tasks, work, grad):
    for task in prange(n_tasks):
        tables = open_grad_x(numbers, offsets, coefficients)
        _write_cells(y, weights, tables, work[thread_id()], grad, np.int64(task))
