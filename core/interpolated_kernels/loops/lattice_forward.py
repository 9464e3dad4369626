"""The lattice path's loops: the maps of a block of inputs, one tap on them for every anchor, and the transposes.

A task is a block of outputs (or of inputs, for their gradient) of one sample and group. Its maps live in a workspace
that stays in cache: rows are packed, then smoothed along columns, rows and planes. Every value is a fixed expression of
the input, so bits depend on neither blocks nor threads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.tiles.lines import (
    AxisTable,
    Lines,
    Stage,
    can_share_rows,
    cell_shown,
    pack_cells,
    smooth,
    sum_rows,
    sum_taps,
    tile_width,
)
from interpolated_kernels.loops.tiles.register import lanes_in
from interpolated_kernels.loops.tiles.runs import clear_values

VECTORS_OF_CHUNK = 12
"""Vectors of outputs whose maps stay in the nearest cache while all filters pass: a multiple of the widest tile's."""


class Arrays(NamedTuple):
    """Where x `(samples, groups * ins, *spatial)` and y `(samples, groups * outs, *out)` lie; steps in values.

    `plane_step` and `row_step` count outputs of the same problem (see `Axis`).
    """

    samples: int
    groups: int
    ins: int
    outs: int
    n_nodes: int
    x_channel: int
    x_plane: int
    x_row: int
    y_channel: int
    y_plane: int
    y_row: int
    plane_step: int
    row_step: int


class Block(NamedTuple):
    """The workspace of a whole block: counts of outputs (or inputs) and lines, and where each stage lies, in values.

    `cells` is a packed row, phase after phase; `line` holds all maps of the column axis side by side, and `n_lines`
    such lines those of the row axis.
    """

    planes: int
    rows: int
    plane_span: int
    row_span: int
    column_span: int
    column_stride: int
    cells: int
    line: int
    n_lines: int
    at_cells: int
    at_lines: int
    at_rows: int
    at_maps: int
    size: int


class Taps(NamedTuple):
    """Where every anchor reads the maps, tap by tap; and as runs over rows that are `spacing` apart, or 0."""

    offsets: Any
    runs: Any
    spacing: int


class Tables(NamedTuple):
    """The three axes, and the stages along columns, rows and planes; a stage without parts is left out."""

    planes: Any
    rows: Any
    columns: Any
    by_columns: Any
    by_rows: Any
    by_planes: Any


class Job(NamedTuple):
    """All that a loop must know, in three arrays: numba unpacks and compiles few arguments far faster than many.

    `numbers` starts with the place and the length of every section; sections are `Arrays`, `Block`, the axes' limits,
    their blocks, lines and indices, the stages' places in `offsets` and `coefficients`, parts and runs, the taps, and
    what a computation adds.
    """

    numbers: Any
    offsets: Any
    coefficients: Any


def job_of(arrays: Arrays, block: Block, tables: Tables, taps: Taps, *more: Any) -> Job:
    """Return the arguments in three arrays; `more` are int arrays for `section`."""
    axes = (tables.planes, tables.rows, tables.columns)
    stages = (tables.by_columns, tables.by_rows, tables.by_planes)
    ends = np.cumsum([0, *(len(stage.offsets) for stage in stages), len(taps.offsets)])
    sections = [
        arrays,
        block,
        [limit for axis in axes for limit in (axis.low, axis.high)],
        *(part for axis in axes for part in (axis.blocks, axis.lines, axis.index)),
        [*ends, taps.spacing],
        *(part for stage in stages for part in (stage.parts, stage.runs)),
        taps.runs,
        *more,
    ]
    flat = [np.asarray(section, np.int64).ravel() for section in sections]
    sizes = np.array([len(section) for section in flat])
    header = np.stack([2 * len(flat) + np.cumsum(sizes) - sizes, sizes], axis=1)
    return Job(
        np.concatenate([header.ravel(), *flat]),
        np.concatenate([*(stage.offsets for stage in stages), taps.offsets]).astype(np.int32),
        np.concatenate([stage.coefficients for stage in stages]),
    )


@jit(inner=True, returns_arrays=True)
def section(numbers, index):
    """Return a section of a job's numbers."""
    start = numbers[2 * index]
    return numbers[start : start + numbers[2 * index + 1]]


@jit(inner=True, returns_arrays=True)
def _axis_of(numbers, axis, columns):
    limits, blocks = section(numbers, 2), section(numbers, 3 + 3 * axis)
    return AxisTable(
        blocks.reshape(len(blocks) // columns, columns), section(numbers, 4 + 3 * axis),
        section(numbers, 5 + 3 * axis), limits[2 * axis], limits[2 * axis + 1],
    )  # fmt: skip


@jit(inner=True, returns_arrays=True)
def _stage_of(job, stage):
    numbers = job.numbers
    ends, parts, runs = section(numbers, 12), section(numbers, 13 + 2 * stage), section(numbers, 14 + 2 * stage)
    first, last = ends[stage], ends[stage + 1]
    return Stage(parts.reshape(len(parts) // 7, 7), job.offsets[first:last], runs, job.coefficients[first:last])


@jit(inner=True, returns_arrays=True)
def open_job(job, columns):
    """Return the arrays' and the block's numbers, the tables and the taps; blocks have so many `columns`."""
    numbers = job.numbers
    a, b, ends = section(numbers, 0), section(numbers, 1), section(numbers, 12)
    arrays = Arrays(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12])
    block = Block(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13])
    tables = Tables(
        _axis_of(numbers, 0, columns), _axis_of(numbers, 1, columns), _axis_of(numbers, 2, columns),
        _stage_of(job, 0), _stage_of(job, 1), _stage_of(job, 2),
    )  # fmt: skip
    return arrays, block, tables, Taps(job.offsets[ends[3] : ends[4]], section(numbers, 19), ends[5])


def lattice_forward(x: Any, weights: Any, job: Job, block_size: int, n_tasks: int, y: Any) -> None:
    """Write y from flat x and packed weights."""
    load_apart(x.dtype)
    is_worth_it = y.size * len(weights) > 2**21
    launch(
        _forward_parallel, _forward_serial, is_worth_it, x, weights, *job, n_tasks, workspace(block_size, x.dtype), y
    )


@jit(inner=True)
def block_of(tables, task):
    """Return what is left of a task's number, and its blocks of planes, rows and columns."""
    n_planes, n_rows, n_columns = len(tables.planes.blocks), len(tables.rows.blocks), len(tables.columns.blocks)
    return (
        task // (n_columns * n_rows * n_planes), task // (n_columns * n_rows) % n_planes, task // n_columns % n_rows,
        task % n_columns,
    )  # fmt: skip


@jit(inner=True)
def make_maps(x, start, arrays, block, tables, plane_at, row_at, column_at, work):
    """Write the maps of a block of the channel that starts at `start`."""
    plane_block, row_block = tables.planes.blocks[plane_at], tables.rows.blocks[row_at]
    first = tables.columns.blocks[column_at, 1]
    short_planes, short_rows = block.planes - plane_block[2], block.rows - row_block[2]
    n_row_lines = len(tables.rows.lines)
    row_phases = n_row_lines // block.row_span
    for plane_line in range(len(tables.planes.lines)):
        if plane_line % block.plane_span + short_planes >= block.plane_span:
            continue
        plane = cell_shown(tables.planes, plane_block[1] + tables.planes.lines[plane_line])
        for row_line in range(n_row_lines):
            if row_line % block.row_span + short_rows >= block.row_span:
                continue
            row = cell_shown(tables.rows, row_block[1] + tables.rows.lines[row_line])
            at = block.at_cells + row_line * block.cells
            if plane < 0 or row < 0:
                clear_values(work, at, block.cells)
                continue
            row_start = start + plane * arrays.x_plane + row * arrays.x_row
            for phase in range(len(tables.columns.lines)):
                cell = first + tables.columns.lines[phase]
                pack_cells(x, row_start, tables.columns, cell, block.column_stride, block.column_span, work, at)
                at += block.column_span
        smooth(
            work, tables.by_columns, row_phases, short_rows, block.at_cells, block.row_span * block.cells, block.cells,
            block.at_lines, block.row_span * block.line, block.line,
        )  # fmt: skip
        rows_target = block.at_rows + plane_line * block.n_lines * block.line
        smooth(
            work, tables.by_rows, 1, short_rows, block.at_lines, 0, block.line, rows_target, 0, block.line
        )  # fmt: skip
    size = block.n_lines * block.line
    smooth(work, tables.by_planes, 1, short_planes, block.at_rows, 0, size, block.at_maps, 0, size)


@jit(inner=True, returns_arrays=True)
def _forward_task(x, weights, numbers, offsets, coefficients, work, y, task):
    arrays, block, tables, taps = open_job(Job(numbers, offsets, coefficients), 3)
    image, plane_at, row_at, column_at = block_of(tables, task)
    plane_block, row_block = tables.planes.blocks[plane_at], tables.rows.blocks[row_at]
    columns = tables.columns.blocks[column_at, 2]
    y_start = image * arrays.outs * arrays.y_channel + plane_block[0] * arrays.y_plane
    y_start += row_block[0] * arrays.y_row + tables.columns.blocks[column_at, 0]
    for channel in range(arrays.ins):
        x_start = (image * arrays.ins + channel) * arrays.x_channel
        make_maps(x, x_start, arrays, block, tables, plane_at, row_at, column_at, work)
        at = (image % arrays.groups * arrays.outs * arrays.ins + channel) * arrays.n_nodes
        for plane in range(plane_block[2]):
            lines = Lines(
                1, row_block[2], columns, block.at_maps + plane * block.n_lines * block.line, 0, block.line,
                y_start + plane * arrays.plane_step, 0, arrays.row_step,
            )  # fmt: skip
            if arrays.outs == 1 and can_share_rows(lines, taps.spacing, y):
                sum_rows(work, weights, at, taps.runs, 0, len(taps.runs) // 3, lines, taps.spacing, channel > 0, y)
            elif arrays.outs == 1:
                sum_taps(1, work, weights, at, taps.offsets, 0, arrays.n_nodes, lines, channel > 0, y, 0)
            else:
                _sum_filters(work, weights, taps.offsets, arrays, lines, image % arrays.groups, channel, y)


@jit(inner=True)
def _sum_filters(work, weights, offsets, arrays, lines, group, channel, y):
    """Write (or add) one channel's taps for all filters of a group, a piece of a row at a time."""
    cells = VECTORS_OF_CHUNK * lanes_in(y)
    chunk = max(1, cells // lines.columns)
    for row in range(0, lines.rows, chunk):
        for column in range(0, lines.columns, cells):
            source = lines.source + row * lines.source_row + column
            target = lines.target + row * lines.target_row + column
            first = 0
            while first < arrays.outs:
                width = tile_width(arrays.outs - first)
                at = ((group * arrays.outs + first) * arrays.ins + channel * width) * arrays.n_nodes
                piece = Lines(
                    1, min(chunk, lines.rows - row), min(cells, lines.columns - column), source, 0, lines.source_row,
                    target + first * arrays.y_channel, 0, lines.target_row,
                )  # fmt: skip
                sum_taps(width, work, weights, at, offsets, 0, arrays.n_nodes, piece, channel > 0, y, arrays.y_channel)
                first += width


@jit
def _forward_serial(x, weights, numbers, offsets, coefficients, n_tasks, work, y):
    for task in range(n_tasks):
        _forward_task(x, weights, numbers, offsets, coefficients, work[0], y, task)


@jit(parallel=True)
def _forward_parallel(x, weights, numbers, offsets, coefficients, n_tasks, work, y):
    for task in prange(n_tasks):
        _forward_task(x, weights, numbers, offsets, coefficients, work[thread_id()], y, np.int64(task))
