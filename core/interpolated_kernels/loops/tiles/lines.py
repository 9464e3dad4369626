"""Lines of vectors: the loops that sum taps over them, which the lattice path is made of."""

from __future__ import annotations

from typing import NamedTuple

from interpolated_kernels import tile_sizes
from interpolated_kernels.loops.compile.apart import apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Floats, Numbers, Offsets
from interpolated_kernels.loops.tiles.copies import clear_values
from interpolated_kernels.loops.tiles.register import lanes_in, zeros
from interpolated_kernels.loops.tiles.runs import (
    add_line,
    add_run,
    load_some_run,
    store_run,
    store_some_run,
)
from interpolated_kernels.tile_sizes import (
    COLUMNS_OF_FOUR,
    COLUMNS_OF_LINE,
    COLUMNS_OF_TWO,
    ROWS_OF_TILE,
)

ROWS = ROWS_OF_TILE
_VECTORS_OF_ROWS = 2 * ROWS


class Places(NamedTuple):
    """Where rows lie in a flat array: the first value, and the steps from plane to plane and from row to row."""

    first: int
    plane: int
    row: int


class Lines(NamedTuple):
    """Planes of rows of columns: how many, where they are read and where they are written."""

    planes: int
    rows: int
    columns: int
    read: Places
    write: Places


class Taps(NamedTuple):
    """The taps `first <= tap < last`: each reads `offsets[tap]` beyond an output's place; weights begin at `at`."""

    weights: Floats
    at: int
    offsets: Offsets
    first: int
    last: int


class RunTable(NamedTuple):
    """Runs of taps that are evenly spaced along rows: the first one's offset and number, and how many they are."""

    starts: Numbers
    taps: Numbers
    counts: Numbers


class Runs(NamedTuple):
    """The runs `first <= run < last` of a table, of taps `spacing` rows apart; weights begin at `at`."""

    weights: Floats
    at: int
    table: RunTable
    first: int
    last: int
    spacing: int


class Stage(NamedTuple):
    """The smoothing of the workspace along one axis: `n` sums of taps, each into lines of its own.

    Sum `i` writes `columns[i]` values of `rows[i]` rows from `targets[i]` on. Its taps are those from `tap_ends[i]` to
    `tap_ends[i + 1]`; the same taps as runs, where it has any, those from `run_ends[i]` on. Its first row meets lines
    from `nearest[i]` to `farthest[i]`.
    """

    n: int
    rows: Numbers
    columns: Numbers
    targets: Numbers
    tap_ends: Numbers
    run_ends: Numbers
    nearest: Numbers
    farthest: Numbers
    offsets: Offsets
    coefficients: Floats
    runs: RunTable


def _tap_loop(width, columns):
    """Return the sum over taps into lines, `width` output channels by `columns` vectors at a time.

    A row's last tile is pushed back into the row. With `adds` the sums start from what the target holds, and are
    written once.
    """
    count = width * columns

    @apart(f"taps_{width}x{columns}")
    def run(source: Floats, taps: Taps, lines: Lines, adds: bool, target: Floats, channel_step: int):
        weights, offsets, n_columns = taps.weights, taps.offsets, lines.columns
        tile = columns * lanes_in(target)
        final = max(0, n_columns - tile)
        for plane in range(lines.planes):
            for row in range(lines.rows):
                read = lines.read.first + plane * lines.read.plane + row * lines.read.row
                write = lines.write.first + plane * lines.write.plane + row * lines.write.row
                for column in range(0, n_columns, tile):
                    start = min(column, final)
                    skipped, reached = column - start, n_columns - start
                    sums = zeros(target, count)
                    if adds:
                        sums = load_some_run(sums, width, target, write + start, channel_step, 0, skipped, reached)
                    for tap in range(taps.first, taps.last):
                        weight = taps.at + (tap - taps.first) * width
                        sums = add_run(sums, width, weights, weight, source, read + start, offsets, tap)
                    if reached < tile or (adds and skipped > 0):
                        store_some_run(sums, width, target, write + start, channel_step, 0, skipped, reached)
                    else:
                        store_run(sums, width, target, write + start, channel_step)

    return run


tile_width, _classify_line = jit(inner=True)(tile_sizes.tile_width), jit(inner=True)(tile_sizes.classify_line)


def _sum_of_channels(width, columns):
    """Return the sum over taps of `width` output channels, by tiles that suit the length of the lines."""
    short_lines, middle_lines, long_lines = (_tap_loop(width, each) for each in columns)

    @jit(inner=True)
    def run(source, taps, lines, adds, target, channel_step):
        length = _classify_line(width, -(-lines.columns // lanes_in(target)))
        if length == 0:
            short_lines(source, taps, lines, adds, target, channel_step)
        elif length == 1:
            middle_lines(source, taps, lines, adds, target, channel_step)
        else:
            long_lines(source, taps, lines, adds, target, channel_step)

    return run


_sum_one, _sum_two, _sum_four = (
    _sum_of_channels(width, columns)
    for width, columns in ((1, COLUMNS_OF_LINE), (2, COLUMNS_OF_TWO), (4, COLUMNS_OF_FOUR))
)


@jit(inner=True)
def sum_taps(width, source, taps, lines, adds, target, channel_step):
    """Write (or add) the taps' sums of `width` output channels, 1, 2 or 4, which lie `channel_step` apart."""
    if width == 4:
        _sum_four(source, taps, lines, adds, target, channel_step)
    elif width == 2:
        _sum_two(source, taps, lines, adds, target, channel_step)
    else:
        _sum_one(source, taps, lines, adds, target, channel_step)


@jit(inner=True, inlined=True)
def _add_runs(sums, source, runs, read, step):
    """Return a tile of rows with runs of taps added, which read from `read` on lines that are `step` apart."""
    weights, table = runs.weights, runs.table
    for run in range(runs.first, runs.last):
        start, at, n = read + table.starts[run], runs.at + table.taps[run], table.counts[run]
        if n > 2:  # the first lines meet the first rows alone, and the last lines the last
            sums = add_line(sums, ROWS, 0, 1, weights, at, source, start)
            sums = add_line(sums, ROWS, 0, 2, weights, at + 1, source, start + step)
            sums = add_line(sums, ROWS, 0, 3, weights, at + 2, source, start + 2 * step)
            for line in range(3, n):
                sums = add_line(sums, ROWS, 0, 4, weights, at + line, source, start + line * step)
            start, at = start + n * step, at + n
            sums = add_line(sums, ROWS, 1, 4, weights, at, source, start)
            sums = add_line(sums, ROWS, 2, 4, weights, at + 1, source, start + step)
            sums = add_line(sums, ROWS, 3, 4, weights, at + 2, source, start + 2 * step)
        elif n == 2:
            sums = add_line(sums, ROWS, 0, 1, weights, at, source, start)
            sums = add_line(sums, ROWS, 0, 2, weights, at + 1, source, start + step)
            sums = add_line(sums, ROWS, 1, 3, weights, at + 2, source, start + 2 * step)
            sums = add_line(sums, ROWS, 2, 4, weights, at + 3, source, start + 3 * step)
            sums = add_line(sums, ROWS, 3, 4, weights, at + 4, source, start + 4 * step)
        else:
            sums = add_line(sums, ROWS, 0, 1, weights, at, source, start)
            sums = add_line(sums, ROWS, 1, 2, weights, at + 1, source, start + step)
            sums = add_line(sums, ROWS, 2, 3, weights, at + 2, source, start + 2 * step)
            sums = add_line(sums, ROWS, 3, 4, weights, at + 3, source, start + 3 * step)
    return sums


@apart("rows")
def sum_rows(source: Floats, runs: Runs, lines: Lines, adds: bool, target: Floats):
    """Write (or add) the sums of runs of taps for one output channel, `ROWS` rows at a time.

    The taps of a run read lines that are `spacing` rows apart: so rows of the tile share what they read. A row's last
    tile is pushed back into the row, and a column's into the column.
    """
    spacing = runs.spacing
    tile = _VECTORS_OF_ROWS // ROWS * lanes_in(target)
    step, jump = spacing * lines.read.row, spacing * lines.write.row
    final = max(0, lines.columns - tile)
    for plane in range(lines.planes):
        for rest in range(spacing):
            n_rows = (lines.rows - rest + spacing - 1) // spacing
            for next_row in range(0, n_rows, ROWS):
                row = min(next_row, n_rows - ROWS)
                read = lines.read.first + plane * lines.read.plane + rest * lines.read.row + row * step
                write = lines.write.first + plane * lines.write.plane + rest * lines.write.row + row * jump
                for next_column in range(0, lines.columns, tile):
                    column = min(next_column, final)
                    skipped, reached, above = next_column - column, lines.columns - column, next_row - row
                    sums = zeros(target, _VECTORS_OF_ROWS)
                    if adds:
                        sums = load_some_run(sums, ROWS, target, write + column, jump, above, skipped, reached)
                    sums = _add_runs(sums, source, runs, read + column, step)
                    if reached < tile or (adds and (skipped > 0 or above > 0)):
                        store_some_run(sums, ROWS, target, write + column, jump, above, skipped, reached)
                    else:
                        store_run(sums, ROWS, target, write + column, jump)


@jit(inner=True)
def can_share_rows(lines, spacing):
    """Return whether lines are many enough for a tile of rows."""
    return lines.rows >= ROWS * spacing


@jit(inner=True)
def smooth(work, stage, planes, short, read, write):
    """Apply a stage within the workspace; a block that is `short` lines of a whole one has so much fewer rows."""
    for index in range(stage.n):
        target = Places(write.first + stage.targets[index], write.plane, write.row)
        _sum_lines(work, stage, index, Lines(planes, stage.rows[index] - short, stage.columns[index], read, target))


@jit(inner=True)
def smooth_some(work, stage, short, low, high, read, write):
    """Do as `smooth` for a plane whose lines are zero but `low <= line < high`; rows that meet none are cleared."""
    line, phases = write.row, read.row // write.row
    for index in range(stage.n):
        rows, target = stage.rows[index] - short, write.first + stage.targets[index]
        begin = min(rows, max(0, -((stage.farthest[index] - low) // phases)))
        end = max(begin, min(rows, -((stage.nearest[index] - high) // phases)))
        clear_values(work, target, begin * line)
        clear_values(work, target + end * line, (rows - end) * line)
        read_some = Places(read.first + begin * read.row, 0, read.row)
        write_some = Places(target + begin * line, 0, line)
        _sum_lines(work, stage, index, Lines(1, end - begin, stage.columns[index], read_some, write_some))


@jit(inner=True)
def _sum_lines(work, stage, index, lines):
    first, last = stage.run_ends[index], stage.run_ends[index + 1]
    if last > first and can_share_rows(lines, 1):
        sum_rows(work, Runs(stage.coefficients, 0, stage.runs, first, last, 1), lines, False, work)
    else:
        first, last = stage.tap_ends[index], stage.tap_ends[index + 1]
        sum_taps(1, work, Taps(stage.coefficients, first, stage.offsets, first, last), lines, False, work, 0)
