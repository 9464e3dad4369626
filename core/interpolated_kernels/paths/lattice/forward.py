"""How the lattice path lays out forward and the gradient by the bank: the workspace, and the tables of its loops."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.axes import Axis, Lines, sum_over_axes
from interpolated_kernels.paths.common import extend_axes
from interpolated_kernels.paths.lattice import sizes
from interpolated_kernels.paths.lattice.late import (
    LateLines,
    count_of_shares,
    find_late_lines,
    make_late_columns,
    make_no_late_columns,
    smooths_columns_late,
)
from interpolated_kernels.paths.lattice.stages import (
    SLACK,
    TapSum,
    count_grid,
    find_runs,
    make_arrays,
    make_padded_axis,
    make_run_table,
    make_stage,
)
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes

if TYPE_CHECKING:  # planning reads this module and must not load the loops
    from interpolated_kernels.loops import LateColumns, NodeShares, NodeTaps, OutputBlocks, Packed, Stage, Workspace


@dataclass(frozen=True, eq=False)
class ForwardLayout:
    """The tables of forward and of the gradient by the bank, the workspace's size, and the blocks of all samples."""

    tables: Packed
    work_size: int
    n_blocks: int


def lay_out_forward(problem: Problem, axes: tuple[Axis, Axis, Axis], nodes: IntArray) -> ForwardLayout:
    """Return the tables of forward and of the gradient by the bank for the nodes that reach a cell."""
    counts = sizes.choose_output_block(problem, axes).counts
    block = _find_lines(problem, axes, counts)
    workspace, work_size = _lay_out_workspace(problem, block)
    by_planes, by_rows, by_columns = _make_stages(problem, block)
    plane_blocks, row_blocks, column_blocks = (
        _make_blocks(axis.cut_outputs(n)) for axis, n in zip(axes, counts, strict=True)
    )
    planes, rows, columns = (
        make_padded_axis(problem, index, axis, block.lines[index]) for index, axis in enumerate(axes)
    )
    taps, shares = _make_node_taps(problem, block, nodes)
    late, work_size = _lay_out_late(problem, block, work_size)
    tables = loops.ForwardTables(
        arrays=make_arrays(problem, axes, len(nodes), extend_axes(problem.spatial, 1)),
        workspace=workspace,
        plane_blocks=plane_blocks, row_blocks=row_blocks, column_blocks=column_blocks,
        planes=planes, rows=rows, columns=columns,
        by_columns=by_columns, by_rows=by_rows, by_planes=by_planes,
        taps=taps, shares=shares, late=late,
    )  # fmt: skip
    n_blocks = problem.batch * plane_blocks.n * row_blocks.n * column_blocks.n
    return ForwardLayout(loops.pack_tables(tables, problem.dtype), work_size, n_blocks)


class _Lines(NamedTuple):
    """The lines of a block along all axes, where the maps of each start, and the steps between these, in values.

    With columns smoothed last a row of cells is a row of maps, and `late` the sums of the nodes' shares.
    """

    axes: tuple[Axis, Axis, Axis]
    lines: list[Lines]
    firsts: list[list[int]]
    steps: tuple[int, int, int]
    late: LateLines | None


def _find_lines(problem: Problem, axes: tuple[Axis, Axis, Axis], counts: tuple[int, int, int]) -> _Lines:
    lanes = count_lanes(problem.dtype)
    lines = [
        axis.find_forward_lines(n, in_order=index < 2) for index, (axis, n) in enumerate(zip(axes, counts, strict=True))
    ]
    firsts = [axis.place_maps() for axis in lines]
    firsts[2][-1] = sizes.fill_line(firsts[2][-2], lines[2].counts[-1], lanes)
    late = None
    if smooths_columns_late(problem, axes):
        late = find_late_lines(axes[2], counts[2], lanes)
        firsts[2] = [0, -(-lines[2].n_inputs // lanes) * lanes]
    line, n_lines = firsts[2][-1], firsts[1][-1]
    return _Lines(axes, lines, firsts, (n_lines * line, line, 1), late)


def _lay_out_workspace(problem: Problem, block: _Lines) -> tuple[Workspace, int]:
    """Return where each stage's lines lie, as drawn in `paths/lattice`, and the size of all; absent axes take none."""
    planes, rows, columns = block.lines
    line, n_lines = block.firsts[2][-1], block.firsts[1][-1]
    cells = columns.n_inputs if block.late is None else line
    at_lines = rows.n_inputs * cells + SLACK if block.late is None else 0
    at_rows = at_lines + rows.n_inputs * line
    at_maps = at_rows + planes.n_inputs * n_lines * line
    size = at_maps + block.firsts[0][-1] * n_lines * line + SLACK
    if problem.kernel.n_dims < 3:
        size, at_maps = at_maps + SLACK, at_rows
    if problem.kernel.n_dims < 2:
        size, at_maps = at_rows + SLACK, at_lines
    workspace = loops.Workspace(
        planes=planes.n_outputs, rows=rows.n_outputs, plane_phases=planes.line_step, row_phases=rows.line_step,
        column_cells=columns.n_of_phase, column_stride=block.axes[2].stride, cells=cells,
        line=line, n_lines=n_lines, at_cells=0, at_lines=at_lines, at_rows=at_rows, at_maps=at_maps,
    )  # fmt: skip
    return workspace, size


def _lay_out_late(problem: Problem, block: _Lines, size: int) -> tuple[LateColumns, int]:
    """Return how columns are smoothed last, on sums that lie behind a workspace of a size, and the size of all."""
    if block.late is None:
        return make_no_late_columns(), size
    planes, rows, _ = block.lines
    shape = (problem.filters_per_group, planes.n_outputs, rows.n_outputs)
    late = make_late_columns(block.axes[2], block.late, size, shape)
    return late, late.at_outputs + rows.n_outputs * late.wide + SLACK


def _make_stages(problem: Problem, block: _Lines) -> list[Stage]:
    """Return the smoothing along planes, rows and columns: one sum a map. Axes that are absent, or late, have none.

    Along planes and rows a map's lines, `step` values long, follow one another, so that they are one row of a sum;
    along columns every row of input gives a row of the map, in whole vectors: the next map's values come later.
    """
    stages, lanes = [], count_lanes(problem.dtype)
    for index, (axis, lines, step) in enumerate(zip(block.axes, block.lines, block.steps, strict=True)):
        sums: list[TapSum] = []
        if index >= 3 - problem.kernel.n_dims and not (index == 2 and block.late):
            sums = [
                TapSum(count, step, first * step, offsets * step, coefficients)
                if index < 2
                else TapSum(block.lines[1].n_inputs, -(-count // lanes) * lanes, first, offsets, coefficients)
                for (offsets, coefficients), count, first in zip(
                    axis.find_smoothing(lines), lines.counts, block.firsts[index], strict=False
                )
            ]
        stages.append(make_stage(sums, step, lines.line_step))
    return stages


def _make_node_taps(problem: Problem, block: _Lines, nodes: IntArray) -> tuple[NodeTaps, NodeShares]:
    """Return where every node reads the maps: its lag on its map of every axis, as offsets in the workspace.

    And the shares of the nodes: all of them, or one for each profile along columns where these are smoothed last.
    """
    axes, grid = block.axes, count_grid(problem)
    lows = [lines.lows for lines in block.lines]
    starts = [firsts[:-1] for firsts in block.firsts]
    tap_ends = [0, len(nodes)]
    if block.late is not None:  # a row of cells, whose first is `low`, is all maps
        lows[2] = tuple(block.lines[2].low - low for low in block.late.lows)
        starts[2] = [0] * len(lows[2])
        tap_ends = [0, *itertools.accumulate(count_of_shares(axes[2], nodes, grid[2]))]
    by_axis = [
        [(first + each.lags - low) * step for each, first, low in zip(axis.maps, start, lows_of_axis, strict=True)]
        for axis, lows_of_axis, start, step in zip(axes, lows, starts, block.steps, strict=True)
    ]
    offsets = sum_over_axes(axes, by_axis, grid)[nodes]
    taps_of_share = [offsets[first:last] for first, last in itertools.pairwise(tap_ends)]
    spacing = _choose_spacing(taps_of_share, axes[1].spacing, block.steps[1], block.lines[1].n_outputs)
    runs: list[tuple[int, int, int]] = []
    run_ends = [0]
    for first, share in zip(tap_ends[:-1], taps_of_share, strict=True):
        runs += find_runs(share, spacing * block.steps[1], first)
        run_ends.append(len(runs))
    taps = loops.NodeTaps(offsets=offsets, runs=make_run_table(runs), spacing=spacing)
    return taps, loops.NodeShares(n=len(tap_ends) - 1, tap_ends=np.array(tap_ends), run_ends=np.array(run_ends))


def _choose_spacing(shares: Sequence[IntArray], spacing: int, step: int, rows: int) -> int:
    """Return how far the rows of a tile lie apart: by the nodes' own spacing where tiles gain from shared lines, or 1.

    A tile reads the lines of a run once, but the rows of an output block fall into `spacing` sets, each of whole tiles.
    """

    def count_loads(spacing: int) -> int:
        tiles = sum(-(-len(range(rest, rows, spacing)) // ROWS_OF_TILE) for rest in range(spacing))
        runs = [count for share in shares for _, _, count in find_runs(share, spacing * step)]
        shared = sum(count + ROWS_OF_TILE - 1 for count in runs if count > 1)
        alone = sum(ROWS_OF_TILE for count in runs if count == 1)
        return tiles * (2 * (shared + alone) + ROWS_OF_TILE * sum(runs))

    return spacing if spacing > 1 and rows >= ROWS_OF_TILE * spacing and count_loads(spacing) < count_loads(1) else 1


def _make_blocks(blocks: IntArray) -> OutputBlocks:
    outputs, cells, counts = blocks
    return loops.OutputBlocks(n=len(counts), outputs=outputs, cells=cells, counts=counts)
