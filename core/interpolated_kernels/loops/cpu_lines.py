"""Lines of vectors: the one loop that sums taps over them, and the packing of rows. The lattice path is made of these."""

from __future__ import annotations

from typing import Any, NamedTuple

from interpolated_kernels.loops.cpu_tiles import (
    VECTOR_BYTES,
    add_taps,
    copy_values,
    load,
    store,
    store_whole,
    with_item,
    zeros,
)
from interpolated_kernels.loops.jit import jit


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
    """One axis of a smoothing: parts `(rows, columns, target, first tap, last tap)`, their taps and coefficients."""

    parts: Any
    offsets: Any
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


def _tap_loop(width, columns):
    """Return the sum over taps into lines, `width` output channels by `columns` vectors at a time.

    Vectors are counted on through rows and planes, so that short rows fill a tile together. With `adds` the sums start
    from what the target holds.
    """
    count, none = width * columns, (0,) * columns

    @jit
    def run(source, weights, at, offsets, first, last, lines, adds, target, target_channel):
        lanes = VECTOR_BYTES // target.itemsize
        n_vectors = lines.planes * lines.rows * ((lines.columns + lanes - 1) // lanes)
        sources, targets, n_lanes, n_channels = none, none, none, none
        for j in range(columns):
            n_channels = with_item(n_channels, j, width)
        column, row, read, write = 0, 0, lines.source, lines.target
        for vector in range(0, n_vectors, columns):
            is_whole = True
            for j in range(columns):
                lanes_left = min(lanes, lines.columns - column) if vector + j < n_vectors else 0
                sources = with_item(sources, j, read + column)
                targets = with_item(targets, j, write + column)
                n_lanes = with_item(n_lanes, j, lanes_left)
                is_whole = is_whole and lanes_left == lanes
                column += lanes
                if column >= lines.columns:
                    column, row = 0, row + 1
                    read, write = read + lines.source_row, write + lines.target_row
                    if row == lines.rows:
                        row = 0
                        read += lines.source_plane - lines.rows * lines.source_row
                        write += lines.target_plane - lines.rows * lines.target_row
                if vector + j + 1 >= n_vectors:  # nothing beyond the last vector is read
                    column, row, read, write = 0, 0, lines.source, lines.target
            sums = zeros(target, count)
            if adds:
                sums = load(sums, target, target_channel, targets, n_channels, n_lanes)
            for tap in range(first, last):
                weight = at + (tap - first) * width
                sums = add_taps(sums, 0, width, weights, weight, 1, source, sources, offsets, tap)
            if is_whole:
                store_whole(sums, target, target_channel, targets)
            else:
                store(sums, target, target_channel, targets, n_channels, n_lanes)

    return run


_taps_1x8, _taps_2x6, _taps_3x4, _taps_4x3 = (_tap_loop(*shape) for shape in ((1, 8), (2, 6), (3, 4), (4, 3)))


@jit
def sum_taps(width, source, weights, at, offsets, first, last, lines, adds, target, target_channel):
    """Write (or add) the taps' sums of `width` output channels."""
    if width == 4:
        _taps_4x3(source, weights, at, offsets, first, last, lines, adds, target, target_channel)
    elif width == 3:
        _taps_3x4(source, weights, at, offsets, first, last, lines, adds, target, target_channel)
    elif width == 2:
        _taps_2x6(source, weights, at, offsets, first, last, lines, adds, target, target_channel)
    else:
        _taps_1x8(source, weights, at, offsets, first, last, lines, adds, target, target_channel)


@jit
def smooth(work, stage, planes, short, source, source_plane, source_row, target, target_plane, target_row):
    """Apply one axis' stage within the workspace; a block that is `short` lines of a whole one has so much less rows."""
    for index in range(len(stage.parts)):
        part = stage.parts[index]
        lines = Lines(
            planes, part[0] - short, part[1], source, source_plane, source_row, target + part[2], target_plane, target_row
        )
        first, last = part[3], part[4]
        _taps_1x8(work, stage.coefficients, first, stage.offsets, first, last, lines, False, work, 0)


@jit
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


@jit
def _pack_edge(source, start, table, first, step, low, high, work, at):
    for index in range(low, high):
        cell = first + index * step
        shown = table.index[cell] if 0 <= cell < table.index.size else -1
        work[at + index] = source[start + shown] if shown >= 0 else 0


@jit
def cell_shown(table, cell):
    """Return the cell of the array that a padded cell shows, or -1."""
    return table.index[cell] if 0 <= cell < table.index.size else -1


@jit
def unpack_cells(work, at, first, step, count, target, start, size):
    """Copy `work[at:]` to the cells `first, first + step, ...` of a row of `size` cells that starts at `start`."""
    low = max(0, min(count, -(first // step)))
    high = max(low, min(count, (size - first + step - 1) // step))
    if step == 1:
        copy_values(target, start + first + low, work, at + low, high - low)
    else:
        for index in range(low, high):
            target[start + first + index * step] = work[at + index]
