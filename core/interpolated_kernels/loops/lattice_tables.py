"""The tables of the lattice path's loops, by name; `paths/lattice` explains the words and draws the workspace."""

from __future__ import annotations

from typing import NamedTuple

from interpolated_kernels.loops.compile.tables import Floats, Numbers, Offsets
from interpolated_kernels.loops.tiles.lines import RunTable, Stage
from interpolated_kernels.loops.tiles.packing import AxisLines, PaddedAxis


class Arrays(NamedTuple):
    """Where x `(samples, groups * ins, *spatial)` and y `(samples, groups * outs, *out)` lie; steps in values.

    `plane_step` and `row_step` lead from one output of a block to the next, which may skip outputs: see `Axis`.
    """

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


class Workspace(NamedTuple):
    """What a whole block holds, drawn in `paths/lattice`: counts of lines, their lengths, and where they lie.

    `planes` and `rows` are counted in outputs (of x's cells backward), of which each has `plane_phases` and
    `row_phases` lines of x. `cells` is a packed row, phase after phase, `column_cells` of each; `line` holds the maps
    along columns side by side, and `n_lines` such lines the maps along rows.
    """

    planes: int
    rows: int
    plane_phases: int
    row_phases: int
    column_cells: int
    column_stride: int
    cells: int
    line: int
    n_lines: int
    at_cells: int
    at_lines: int
    at_rows: int
    at_maps: int


class OutputBlocks(NamedTuple):
    """The blocks along an axis: the first output and the first padded cell of each, and how many outputs it has."""

    n: int
    outputs: Numbers
    cells: Numbers
    counts: Numbers


class NodeTaps(NamedTuple):
    """Where every node reads the maps, and the same as runs along rows that are `spacing` apart."""

    offsets: Offsets
    runs: RunTable
    spacing: int


class NodeShares(NamedTuple):
    """Shares of the nodes that are summed apart: the taps of share `i` end at `tap_ends[i + 1]`, its runs alike.

    With columns smoothed last there is a share for each profile along columns; else all nodes are one.
    """

    n: int
    tap_ends: Numbers
    run_ends: Numbers


class LateColumns(NamedTuple):
    """The smoothing along columns where it comes last, on the sums of the nodes' shares: `n_taps` taps, or none.

    A whole block has `columns` outputs in a row. A filter's sums are `size` values from `at` on, in rows of `line`:
    `counts[i]` of share `i` from `starts[i]` on, with room for whole vectors. Backward they are sums of y's gradient:
    the taps of share `i` end at `ends[i + 1]` and read rows of `wide` values from `at_outputs` on, `beside` zeros on
    both sides, `offsets_back` beyond a sum's number.
    """

    n_taps: int
    offsets: Offsets
    coefficients: Floats
    at: int
    size: int
    line: int
    columns: int
    starts: Numbers
    counts: Numbers
    ends: Numbers
    offsets_back: Offsets
    at_outputs: int
    wide: int
    beside: int


class ForwardTables(NamedTuple):
    """All that forward and the gradient by the bank must know; a stage without sums is left out."""

    arrays: Arrays
    workspace: Workspace
    plane_blocks: OutputBlocks
    row_blocks: OutputBlocks
    column_blocks: OutputBlocks
    planes: PaddedAxis
    rows: PaddedAxis
    columns: PaddedAxis
    by_columns: Stage
    by_rows: Stage
    by_planes: Stage
    taps: NodeTaps
    shares: NodeShares
    late: LateColumns


class Gathering(NamedTuple):
    """How y's gradient is read: the outputs that a block needs, counted from its first, and where maps lie.

    `rows` of `filters` are copied at a time, and gathered for `channels` at a time. Along every axis outputs
    `low <= i < low + span` of one of `interleaved` problems are read. `nowhere` takes rows that no map has; maps of a
    channel are `maps_size` values.
    """

    rows: int
    filters: int
    channels: int
    out_columns: int
    plane_low: int
    plane_span: int
    planes_interleaved: int
    row_low: int
    row_span: int
    rows_interleaved: int
    column_low: int
    column_span: int
    at: int
    nowhere: int
    maps_size: int
    x_planes: int
    x_rows: int
    x_columns: int


class CellBlocks(NamedTuple):
    """The blocks of x's cells along an axis, each of one interleaved problem with so many `outputs`.

    `firsts` are where a block begins among that problem's cells, `cells` its first cell, `counts` how many it has.
    """

    n: int
    firsts: Numbers
    cells: Numbers
    counts: Numbers
    problems: Numbers
    outputs: Numbers


class Tiles(NamedTuple):
    """Rows of maps that share what they read of y's gradient: `first` and `width` of each, and their planes.

    `planes` is how many the map has, and `shifts` by how much y's plane exceeds the map's.
    """

    n: int
    firsts: Numbers
    widths: Numbers
    planes: Numbers
    shifts: Numbers


class MapRows(NamedTuple):
    """The rows of maps that tiles are made of: how many rows the map has, y's row less the map's, where it starts."""

    n: int
    rows: Numbers
    shifts: Numbers
    starts: Numbers


class ColumnMaps(NamedTuple):
    """The maps along columns: where the taps of a filter begin, the nodes, the nodes of the maps before, and columns.

    `starts` is where a map's columns start, of which it has `columns`.
    """

    n: int
    n_nodes: int
    taps: Numbers
    nodes: Numbers
    nodes_before: Numbers
    starts: Numbers
    columns: Numbers


class OutputSums(NamedTuple):
    """The smoothing of a row of y's gradient along columns, where it comes first: `n` sums a filter, or none.

    They are `line` values a filter from `at` on; those of sum `i` begin at `starts[i]`, its taps end at `ends[i + 1]`.
    """

    n: int
    offsets: Offsets
    coefficients: Floats
    ends: Numbers
    starts: Numbers
    at: int
    line: int


class GradXTables(NamedTuple):
    """All that the gradient by x must know; a stage without sums is left out."""

    arrays: Arrays
    workspace: Workspace
    plane_blocks: CellBlocks
    row_blocks: CellBlocks
    column_blocks: CellBlocks
    planes: AxisLines
    rows: AxisLines
    columns: AxisLines
    by_columns: Stage
    by_rows: Stage
    by_planes: Stage
    offsets: Offsets
    gathering: Gathering
    tiles: Tiles
    map_rows: MapRows
    column_maps: ColumnMaps
    sums: OutputSums
