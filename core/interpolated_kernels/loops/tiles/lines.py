"""Lines of vectors: the loops that sum taps over them, and the packing of rows. The lattice path is made of these."""

from __future__ import annotations

from typing import Any, NamedTuple

from interpolated_kernels.loops.compile.apart import apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.tiles.register import lanes_in, zeros
from interpolated_kernels.loops.tiles.runs import (
    add_line,
    add_run,
    copy_values,
    load_some_run,
    store_run,
    store_some_run,
)

ROWS = 4
"""Rows that a tile of one output channel sums at once, where they share their inputs."""


_VECTORS_OF_ROWS = 2 * ROWS


class Lines(NamedTuple):
    """Planes of rows of columns: how many, and where they are read and written; steps in values."""

    planes: int
    rows: int
    columns: int
    source: int
    source_plane: int
    source_row: int
    target: int
    target_plane: int
    target_row: int


class Stage(NamedTuple):
    """One axis of a smoothing: parts `(rows, columns, target, first and last tap, first and last run)` and their taps.

    Where a part has runs, they are its taps: see `sum_rows`.
    """

    parts: Any
    offsets: Any
    runs: Any
    coefficients: Any


class AxisTable(NamedTuple):
    """One axis of a padded array: blocks, the cell of every line counted from a block's, and what each cell shows.

    `index[cell]` is the cell of the array, -1 for zero; cells from `low` to `high` show their own number less `low`.
    """

    blocks: Any
    lines: Any
    index: Any
    low: int
    high: int


@jit(inner=True)
def tile_width(left):
    """Return how many of the output channels that are left a tile takes: 4, 2 or 1."""
    return 4 if left >= 4 else (2 if left >= 2 else 1)


def _tap_loop(width, columns):
    """Return the sum over taps into lines, `width` output channels by `columns` vectors at a time.

    A row's last tile is pushed back into the row. With `adds` the sums start from what the target holds, and are
    written once.
    """
    count = width * columns

    @apart(f"taps_{width}x{columns}", "ffiof" + "i" * 13)
    def run(
        source, weights, at, offsets, target, first, last, planes, rows, n_columns, read_at, read_plane, read_row,
        write_at, write_plane, write_row, target_channel, adds,
    ):  # fmt: skip
        tile = columns * lanes_in(target)
        final = max(0, n_columns - tile)
        for plane in range(planes):
            for row in range(rows):
                read = read_at + plane * read_plane + row * read_row
                write = write_at + plane * write_plane + row * write_row
                for column in range(0, n_columns, tile):
                    start = min(column, final)
                    skipped, reached = column - start, n_columns - start
                    sums = zeros(target, count)
                    if adds:
                        sums = load_some_run(sums, width, target, write + start, target_channel, 0, skipped, reached)
                    for tap in range(first, last):
                        weight = at + (tap - first) * width
                        sums = add_run(sums, width, weights, weight, source, read + start, offsets, tap)
                    if reached < tile or (adds and skipped > 0):
                        store_some_run(sums, width, target, write + start, target_channel, 0, skipped, reached)
                    else:
                        store_run(sums, width, target, write + start, target_channel)

    return run


_taps_1x2, _taps_1x8, _taps_2x4, _taps_4x3 = (_tap_loop(*shape) for shape in ((1, 2), (1, 8), (2, 4), (4, 3)))


@jit(inner=True)
def sum_taps(width, source, weights, at, offsets, first, last, lines, adds, target, target_channel):
    """Write (or add) the taps' sums of `width` output channels, 1, 2 or 4."""
    planes, rows, columns, read, read_plane, read_row, write, write_plane, write_row = lines
    if width == 4:
        _taps_4x3(source, weights, at, offsets, target, first, last, planes, rows, columns, read, read_plane, read_row,
                  write, write_plane, write_row, target_channel, adds)  # fmt: skip
    elif width == 2:
        _taps_2x4(source, weights, at, offsets, target, first, last, planes, rows, columns, read, read_plane, read_row,
                  write, write_plane, write_row, target_channel, adds)  # fmt: skip
    elif columns <= 3 * lanes_in(target):
        _taps_1x2(source, weights, at, offsets, target, first, last, planes, rows, columns, read, read_plane, read_row,
                  write, write_plane, write_row, target_channel, adds)  # fmt: skip
    else:
        _taps_1x8(source, weights, at, offsets, target, first, last, planes, rows, columns, read, read_plane, read_row,
                  write, write_plane, write_row, target_channel, adds)  # fmt: skip


@apart("rows", "ffirf" + "i" * 13)
def _row_loop(
    source, weights, at, runs, target, first, last, planes, rows, n_columns, read_at, read_plane, read_row, write_at,
    write_plane, write_row, spacing, adds,
):  # fmt: skip
    tile = _VECTORS_OF_ROWS // ROWS * lanes_in(target)
    step, jump = spacing * read_row, spacing * write_row
    for plane in range(planes):
        for rest in range(spacing):
            n_rows = (rows - rest + spacing - 1) // spacing
            for next_row in range(0, n_rows, ROWS):
                row = min(next_row, n_rows - ROWS)
                read = read_at + plane * read_plane + rest * read_row + row * step
                write = write_at + plane * write_plane + rest * write_row + row * jump
                for next_column in range(0, n_columns, tile):
                    column = min(next_column, n_columns - tile)
                    skipped = next_column - column
                    sums = zeros(target, _VECTORS_OF_ROWS)
                    if adds:
                        sums = load_some_run(sums, ROWS, target, write + column, jump, next_row - row, skipped, tile)
                    for index in range(3 * first, 3 * last, 3):
                        start, weight, n = read + column + runs[index], at + runs[index + 1], runs[index + 2]
                        if n > 1:  # the first lines meet the first rows alone, and the last lines the last
                            sums = add_line(sums, ROWS, 0, 1, weights, weight, source, start)
                            sums = add_line(sums, ROWS, 0, 2, weights, weight + 1, source, start + step)
                            sums = add_line(sums, ROWS, 0, 3, weights, weight + 2, source, start + 2 * step)
                            for line in range(3, n):
                                sums = add_line(sums, ROWS, 0, 4, weights, weight + line, source, start + line * step)
                            start, weight = start + n * step, weight + n
                            sums = add_line(sums, ROWS, 1, 4, weights, weight, source, start)
                            sums = add_line(sums, ROWS, 2, 4, weights, weight + 1, source, start + step)
                            sums = add_line(sums, ROWS, 3, 4, weights, weight + 2, source, start + 2 * step)
                        else:
                            sums = add_line(sums, ROWS, 0, 1, weights, weight, source, start)
                            sums = add_line(sums, ROWS, 1, 2, weights, weight + 1, source, start + step)
                            sums = add_line(sums, ROWS, 2, 3, weights, weight + 2, source, start + 2 * step)
                            sums = add_line(sums, ROWS, 3, 4, weights, weight + 3, source, start + 3 * step)
                    if adds and (skipped > 0 or next_row > row):
                        store_some_run(sums, ROWS, target, write + column, jump, next_row - row, skipped, tile)
                    else:
                        store_run(sums, ROWS, target, write + column, jump)


@jit(inner=True)
def sum_rows(source, weights, at, runs, first, last, lines, spacing, adds, target):
    """Write (or add) the sums of runs of taps for one output channel, `ROWS` rows at a time, `spacing` rows apart.

    A run `(offset, tap, count)` reads lines that are `spacing` rows apart: so rows of the tile share what they read. It
    holds one tap or at least `ROWS`. A row's last tile is pushed back into the row, and a column's into the column.
    """
    planes, rows, columns, read, read_plane, read_row, write, write_plane, write_row = lines
    _row_loop(source, weights, at, runs, target, first, last, planes, rows, columns, read, read_plane, read_row, write,
              write_plane, write_row, spacing, adds)  # fmt: skip


@jit(inner=True)
def can_share_rows(lines, spacing, target):
    """Return whether lines are long and many enough for a tile of rows."""
    tile = _VECTORS_OF_ROWS // ROWS * lanes_in(target)
    return spacing > 0 and lines.rows >= ROWS * spacing and lines.columns >= tile


@jit(inner=True)
def smooth(work, stage, planes, short, source, source_plane, source_row, target, target_plane, target_row):
    """Apply one axis' stage within the workspace; a block that is `short` lines of a whole has so much less rows."""
    for index in range(len(stage.parts)):
        part = stage.parts[index]
        lines = Lines(
            planes, part[0] - short, part[1], source, source_plane, source_row, target + part[2], target_plane,
            target_row,
        )  # fmt: skip
        if part[6] > part[5] and can_share_rows(lines, 1, work):
            sum_rows(work, stage.coefficients, 0, stage.runs, part[5], part[6], lines, 1, False, work)
        else:
            sum_taps(1, work, stage.coefficients, part[3], stage.offsets, part[3], part[4], lines, False, work, 0)


@jit(inner=True)
def cell_shown(table, cell):
    """Return the cell of the array that a padded cell shows, or -1."""
    return table.index[cell] if 0 <= cell < table.index.size else -1


@jit(inner=True)
def pack_cells(source, start, table, first, step, count, work, at):
    """Copy cells `first, first + step, ...` of a padded row to `work[at:]`; `start` is where the row stands."""
    inner = max(0, min(count, (table.low - first + step - 1) // step))
    outer = max(inner, min(count, (table.high - first + step - 1) // step))
    _pack_edge(source, start, table, first, step, 0, inner, work, at)
    cell = start + first - table.low
    if step == 1:
        copy_values(work, at + inner, source, cell + inner, outer - inner)
    else:
        for index in range(inner, outer):
            work[at + index] = source[cell + index * step]
    _pack_edge(source, start, table, first, step, outer, count, work, at)


@jit(inner=True)
def _pack_edge(source, start, table, first, step, low, high, work, at):
    for index in range(low, high):
        cell = first + index * step  # as `cell_shown`: a call for every cell made depthwise kernels half as slow again
        shown = table.index[cell] if 0 <= cell < table.index.size else -1
        work[at + index] = source[start + shown] if shown >= 0 else 0


@jit(inner=True)
def unpack_cells(work, at, first, step, count, target, start, size):
    """Copy `work[at:]` to the cells `first, first + step, ...` of a row of `size` cells that starts at `start`."""
    low = max(0, min(count, -(first // step)))
    high = max(low, min(count, (size - first + step - 1) // step))
    if step == 1:
        copy_values(target, start + first + low, work, at + low, high - low)
    else:
        for index in range(low, high):
            target[start + first + index * step] = work[at + index]
