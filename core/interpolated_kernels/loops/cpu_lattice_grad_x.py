"""The lattice path's gradient by x: y's gradient is gathered into maps, anchor by anchor, and the smoothing transposed.

A task is a block of x's cells of one sample, and up to four channels of a group, which share what they read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import prange

from interpolated_kernels.loops.cpu_lattice import Job, block_of, open_job, section, workspace
from interpolated_kernels.loops.cpu_lines import (
    AxisTable,
    Lines,
    can_share_rows,
    pack_cells,
    smooth,
    sum_rows,
    sum_taps,
    tile_width,
    unpack_cells,
)
from interpolated_kernels.loops.jit import jit, load_apart
from interpolated_kernels.loops.threads import launch, thread_id


class Gathering(NamedTuple):
    """How y's gradient is read: outputs that a block needs, and the parts of the maps.

    `filters` are gathered at a time. `parts` are `(planes, rows, columns, target, first node, last node)`; the taps of
    a part are counted by filter, then node. Runs over rows that are `spacing` apart, those of part p from `run_ends[p]`
    to `run_ends[p + 1]`, are the same taps, or none. A job's taps are those of whole chunks, then of the last, smaller.
    """

    filters: int
    spacing: int
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
    maps_size: int
    x_planes: int
    x_rows: int
    x_columns: int


def lattice_grad_x(y: Any, weights: Any, job: Job, block_size: int, n_tasks: int, grad: Any) -> None:
    """Write the gradient by x, or by the padded x, from flat y."""
    load_apart(y.dtype)
    is_worth_it = grad.size * len(weights) > 2**21
    launch(
        _grad_x_parallel, _grad_x_serial, is_worth_it, y, weights, *job, n_tasks, workspace(block_size, y.dtype), grad
    )


@jit(inner=True)
def _pack_outputs(y, start, arrays, gathering, plane_block, row_block, column_block, planes, rows, work, at):
    """Copy the outputs of one filter that a block needs, with zeros where there are none."""
    size = gathering.column_span
    nothing = row_block[:0]
    outputs = AxisTable(row_block.reshape(1, len(row_block)), nothing, nothing, 0, gathering.out_columns)
    for plane in range(planes):
        out_plane = plane_block[0] + gathering.plane_low + plane
        for row in range(rows):
            out_row = row_block[0] + gathering.row_low + row
            target = at + (plane * gathering.row_span + row) * size
            if not (0 <= out_plane < plane_block[4] and 0 <= out_row < row_block[4]):
                work[target : target + size] = 0
                continue
            source = start + (out_plane * gathering.plane_residues + plane_block[3]) * arrays.y_plane
            source += (out_row * gathering.row_residues + row_block[3]) * arrays.y_row
            pack_cells(y, source, outputs, column_block[0] + gathering.column_low, 1, size, work, target)


@jit(inner=True)
def _gather_maps(y, weights, arrays, block, gathering, taps, parts, run_ends, image, first, width, blocks, work):
    """Write the maps of `width` channels from `first` on: weights times y's gradient, all filters, chunk by chunk."""
    plane_block, row_block, column_block = blocks
    short_planes, short_rows = block.planes - plane_block[2], block.rows - row_block[2]
    filter_size = gathering.plane_span * gathering.row_span * gathering.column_span
    at = (image % arrays.groups * arrays.ins + first) * arrays.outs * arrays.n_nodes
    size = block.n_lines * block.line
    for first_filter in range(0, arrays.outs, gathering.filters):
        filters = min(gathering.filters, arrays.outs - first_filter)
        for index in range(filters):
            _pack_outputs(
                y, (image * arrays.outs + first_filter + index) * arrays.y_channel, arrays, gathering, plane_block,
                row_block, column_block, gathering.plane_span - short_planes, gathering.row_span - short_rows, work,
                gathering.at + index * filter_size,
            )  # fmt: skip
        whole = gathering.filters * arrays.n_nodes
        offsets = taps.offsets[:whole] if filters == gathering.filters else taps.offsets[whole:]
        for index in range(len(parts)):
            part = parts[index]
            lines = Lines(
                part[0] - short_planes, part[1] - short_rows, part[2], gathering.at,
                gathering.row_span * gathering.column_span, gathering.column_span, block.at_maps + part[3], size,
                block.line,
            )  # fmt: skip
            if width == 1 and filters == gathering.filters and can_share_rows(lines, gathering.spacing, work):
                first_run, last_run = run_ends[index], run_ends[index + 1]
                sum_rows(
                    work, weights, at + part[4] * filters, taps.runs, first_run, last_run, lines,
                    gathering.spacing, first_filter > 0, work,
                )  # fmt: skip
                continue
            sum_taps(
                width, work, weights, at + part[4] * filters * width, offsets, part[4] * filters, part[5] * filters,
                lines, first_filter > 0, work, gathering.maps_size,
            )  # fmt: skip
        at += filters * arrays.n_nodes * width


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


@jit
def n_tiles(count):
    """Return how many tiles of 4, 2 and 1 a number of channels takes."""
    return count // 4 + count % 4 // 2 + count % 2


@jit(inner=True)
def _grad_x_task(y, weights, numbers, offsets, coefficients, work, grad, task):
    arrays, block, tables, taps = open_job(Job(numbers, offsets, coefficients), 5)
    g, parts, run_ends = section(numbers, 20), section(numbers, 21), section(numbers, 22)
    parts = parts.reshape(len(parts) // 6, 6)
    gathering = Gathering(
        g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]
    )
    task, plane_at, row_at, column_at = block_of(tables, task)
    n_parts = n_tiles(arrays.ins)
    image, part, fours = task // n_parts, task % n_parts, arrays.ins // 4
    first = 4 * part if part <= fours else 4 * fours + 2
    width = tile_width(arrays.ins - first)
    blocks = (tables.planes.blocks[plane_at], tables.rows.blocks[row_at], tables.columns.blocks[column_at])
    _gather_maps(y, weights, arrays, block, gathering, taps, parts, run_ends, image, first, width, blocks, work)
    for index in range(width):
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
        _grad_x_task(y, weights, numbers, offsets, coefficients, work[thread_id()], grad, task)
