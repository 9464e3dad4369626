"""The lattice path's forward loop: the maps of a block of inputs, and one tap on them for every node.

A task is a block of outputs of one sample and group. Its maps live in a workspace that stays in cache: rows are packed,
then smoothed along columns, rows and planes. Every value is a fixed expression of the input, so bits depend on neither
blocks nor threads. The words are those of `paths/lattice`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import apart, load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Floats, Packed, opener
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.lattice_tables import ForwardTables
from interpolated_kernels.loops.tiles.copies import clear_values
from interpolated_kernels.loops.tiles.lines import (
    Lines,
    Places,
    Runs,
    Taps,
    can_share_rows,
    smooth,
    smooth_some,
    sum_rows,
    sum_taps,
    tile_width,
)
from interpolated_kernels.loops.tiles.packing import Cells, find_cell, find_inside, pack_cells
from interpolated_kernels.loops.tiles.register import lanes_in
from interpolated_kernels.tile_sizes import BYTES_OF_CHUNK, VECTOR_BYTES

open_forward = opener(ForwardTables)


class Block(NamedTuple):
    """The numbers of a block along planes, rows and columns."""

    plane: int
    row: int
    column: int


class Share(NamedTuple):
    """A share of the nodes, by how much the sums of two filters lie apart, and which inputs are summed."""

    number: int
    step: int
    group: int
    channel: int


def lattice_forward(x: Any, weights: Any, tables: Packed, work_size: int, n_tasks: int, y: Any) -> None:
    """Write y from flat x and packed weights."""
    load_apart(x.dtype, "taps", "maps", "forward")
    is_worth_it = y.size * len(weights) > 2**21
    work = workspace(work_size, x.dtype)
    arguments = (x, weights, *tables, n_tasks, work, y)
    launch(_forward_parallel, _forward_serial, is_worth_it, *arguments)


@jit(inner=True)
def find_block(tables, task):
    """Return what is left of a task's number, and its block."""
    n_planes, n_rows, n_columns = tables.plane_blocks.n, tables.row_blocks.n, tables.column_blocks.n
    block = Block(task // (n_columns * n_rows) % n_planes, task // n_columns % n_rows, task % n_columns)
    return task // (n_columns * n_rows * n_planes), block


@jit(inner=True)
def find_output(tables, image, block):
    """Return where the first output of a block lies, for the first filter of a sample's group."""
    arrays = tables.arrays
    start = image * arrays.outs * arrays.y_channel + tables.plane_blocks.outputs[block.plane] * arrays.y_plane
    return start + tables.row_blocks.outputs[block.row] * arrays.y_row + tables.column_blocks.outputs[block.column]


@jit(inner=True)
def _smooth_plane(tables, short_rows, low, high, target, work):
    """Smooth a plane along columns and rows where all but `low <= line < high` is zero."""
    place, n_lines = tables.workspace, tables.rows.n_lines
    clear_values(work, place.at_lines, low * place.line)
    end = n_lines - short_rows * place.row_phases
    clear_values(work, place.at_lines + high * place.line, (end - high) * place.line)
    read, write = place.at_cells + low * place.cells, place.at_lines + low * place.line
    absent = n_lines - (high - low)
    smooth(work, tables.by_columns, 1, absent, Places(read, 0, place.cells), Places(write, 0, place.line))
    lines = Places(place.at_lines, 0, place.row_phases * place.line)
    smooth_some(work, tables.by_rows, short_rows, low, high, lines, Places(target, 0, place.line))


@jit(inner=True)
def _pack_plane(x, start, tables, block, plane, short_rows, work):
    """Pack the rows of one plane of a block's inputs, each phase after phase; -1 is a plane of padding.

    Return the first row that is not padding with zeros, and the one after the last: no others are written.
    """
    arrays, place, axis = tables.arrays, tables.workspace, tables.columns
    low, high = _find_rows(tables, block, plane, short_rows)
    if _has_padding(tables, block):
        clear_values(work, place.at_cells + low * place.cells, (high - low) * place.cells)
    first = tables.column_blocks.cells[block.column]
    for phase in range(axis.n_lines):
        cells = Cells(first + axis.lines[phase], place.column_stride, place.column_cells)
        inside = find_inside(axis, cells)
        for line in range(low, high):
            row = find_cell(tables.rows, tables.row_blocks.cells[block.row] + tables.rows.lines[line])
            at = place.at_cells + line * place.cells + phase * place.column_cells
            row_start = start + plane * arrays.x_plane + row * arrays.x_row
            pack_cells(x, row_start, axis, cells, inside, work, at)
    return low, high


@jit(inner=True)
def _find_rows(tables, block, plane, short_rows):
    """Return the first row of a plane of a block's inputs that shows one of the array, and the one after the last.

    All between them do: zeros are beside an array alone.
    """
    n_lines = 0 if plane < 0 else tables.rows.n_lines - short_rows * tables.workspace.row_phases
    low, high = n_lines, 0
    for line in range(n_lines):
        if find_cell(tables.rows, tables.row_blocks.cells[block.row] + tables.rows.lines[line]) >= 0:
            low, high = min(low, line), line + 1
    return min(low, high), high


@jit(inner=True)
def _has_padding(tables, block):
    """Return whether rows of a block begin or end beside the array, so that pieces of them stay zero."""
    place, axis = tables.workspace, tables.columns
    for phase in range(axis.n_lines):
        first = tables.column_blocks.cells[block.column] + axis.lines[phase]
        begin, end = find_inside(axis, Cells(first, place.column_stride, place.column_cells))
        if begin > 0 or end < place.column_cells:
            return True
    return False


@apart("make_maps", family="maps")
def make_maps(x: Floats, start: int, tables: ForwardTables, block: Block, work: Floats):
    """Write the maps of a block of the channel that starts at `start`.

    The last blocks of an axis are short: the last lines are missing.
    """
    place = tables.workspace
    short_planes = place.planes - tables.plane_blocks.counts[block.plane]
    short_rows = place.rows - tables.row_blocks.counts[block.row]
    size = place.n_lines * place.line
    for line in range(tables.planes.n_lines - short_planes * place.plane_phases):
        plane = find_cell(tables.planes, tables.plane_blocks.cells[block.plane] + tables.planes.lines[line])
        low, high = _pack_plane(x, start, tables, block, plane, short_rows, work)
        _smooth_plane(tables, short_rows, low, high, place.at_rows + line * size, work)
    step = place.plane_phases * size
    smooth(work, tables.by_planes, 1, short_planes, Places(place.at_rows, 0, step), Places(place.at_maps, 0, size))


@jit(inner=True)
def _smooth_late(tables, block, start, work, y):
    """Write a block of all filters of a group from the sums of the nodes' shares."""
    arrays, late = tables.arrays, tables.late
    rows, columns = tables.row_blocks.counts[block.row], tables.column_blocks.counts[block.column]
    taps = Taps(late.coefficients, 0, late.offsets, 0, late.n_taps)
    for filter_ in range(arrays.outs):
        for plane in range(tables.plane_blocks.counts[block.plane]):
            read = late.at + filter_ * late.size + plane * tables.workspace.rows * late.line
            write = start + filter_ * arrays.y_channel + plane * arrays.plane_step
            lines = Lines(1, rows, columns, Places(read, 0, late.line), Places(write, 0, arrays.row_step))
            sum_taps(1, work, taps, lines, False, y, 0)


@jit(inner=True)
def _sum_share(work, weights, tables, share, lines, target):
    """Write (or add) one channel's taps of a share of the nodes, for all filters of a group."""
    arrays, taps, ends = tables.arrays, tables.taps, tables.shares
    if arrays.outs > 1:
        _sum_filters(work, weights, tables, share, lines, target)
        return
    at = (share.group * arrays.ins + share.channel) * arrays.n_nodes
    if can_share_rows(lines, taps.spacing):
        first, last = ends.run_ends[share.number], ends.run_ends[share.number + 1]
        sum_rows(work, Runs(weights, at, taps.runs, first, last, taps.spacing), lines, share.channel > 0, target)
    else:
        first, last = ends.tap_ends[share.number], ends.tap_ends[share.number + 1]
        sum_taps(1, work, Taps(weights, at + first, taps.offsets, first, last), lines, share.channel > 0, target, 0)


@jit(inner=True)
def _sum_filters(work, weights, tables, share, lines, target):
    """Write (or add) one channel's taps for all filters of a group, a few rows at a time."""
    arrays, read, write = tables.arrays, lines.read, lines.write
    first_tap, last_tap = tables.shares.tap_ends[share.number], tables.shares.tap_ends[share.number + 1]
    chunk = max(1, BYTES_OF_CHUNK // VECTOR_BYTES * lanes_in(target) // lines.columns)
    for row in range(0, lines.rows, chunk):
        source, start = Places(read.first + row * read.row, 0, read.row), write.first + row * write.row
        first = 0
        while first < arrays.outs:
            width = tile_width(arrays.outs - first)
            at = ((share.group * arrays.outs + first) * arrays.ins + share.channel * width) * arrays.n_nodes
            taps = Taps(weights, at + first_tap * width, tables.taps.offsets, first_tap, last_tap)
            outputs = Places(start + first * share.step, 0, write.row)
            piece = Lines(1, min(chunk, lines.rows - row), lines.columns, source, outputs)
            sum_taps(width, work, taps, piece, share.channel > 0, target, share.step)
            first += width


@apart("write_outputs", family="forward")
def _write_outputs(x: Floats, weights: Floats, tables: ForwardTables, work: Floats, y: Floats, task: int):
    """Write a block of outputs of one sample and group: the maps of a channel, then its taps, channel after channel."""
    arrays, place, late = tables.arrays, tables.workspace, tables.late
    image, block = find_block(tables, task)
    start, group = find_output(tables, image, block), image % arrays.groups
    rows, columns = tables.row_blocks.counts[block.row], tables.column_blocks.counts[block.column]
    for channel in range(arrays.ins):
        make_maps(x, (image * arrays.ins + channel) * arrays.x_channel, tables, block, work)
        for plane in range(tables.plane_blocks.counts[block.plane]):
            read = Places(place.at_maps + plane * place.n_lines * place.line, 0, place.line)
            if late.n_taps == 0:
                lines = Lines(1, rows, columns, read, Places(start + plane * arrays.plane_step, 0, arrays.row_step))
                _sum_share(work, weights, tables, Share(0, arrays.y_channel, group, channel), lines, y)
                continue
            for index in range(tables.shares.n):
                write = Places(late.at + plane * place.rows * late.line + late.starts[index], 0, late.line)
                lines = Lines(1, rows, late.starts[index + 1] - late.starts[index], read, write)
                _sum_share(work, weights, tables, Share(index, late.size, group, channel), lines, work)
    if late.n_taps > 0:
        _smooth_late(tables, block, start, work, y)


@jit
def _forward_serial(x, weights, numbers, offsets, coefficients, n_tasks, work, y):
    tables = open_forward(numbers, offsets, coefficients)
    for task in range(n_tasks):
        _write_outputs(x, weights, tables, work[0], y, task)


@jit(parallel=True)
def _forward_parallel(x, weights, numbers, offsets, coefficients, n_tasks, work, y):
    for task in prange(n_tasks):
        tables = open_forward(numbers, offsets, coefficients)
        _write_outputs(x, weights, tables, work[thread_id()], y, np.int64(task))
