"""How the lattice path lays out forward and the gradient by the bank: the workspace, and the tables of its loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.axes import Axis, Lines, sum_over_axes
from interpolated_kernels.paths.common import extend_axes
from interpolated_kernels.paths.lattice import sizes
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
from interpolated_kernels.tile_sizes import count_lanes

if TYPE_CHECKING:  # planning reads this module and must not load the loops
    from interpolated_kernels.loops import NodeTaps, OutputBlocks, Packed, Stage, Workspace


@dataclass(frozen=True, eq=False)
class ForwardLayout:
    """The tables of forward and of the gradient by the bank, the workspace's size, and the blocks of all samples."""

    tables: Packed
    work_size: int
    n_blocks: int


def lay_out_forward(problem: Problem, axes: tuple[Axis, Axis, Axis], nodes: IntArray) -> ForwardLayout:
    """Return the tables of forward and of the gradient by the bank for the nodes that reach a cell."""
    counts = sizes.choose_output_block(problem, axes).counts
    lines = [axis.find_forward_lines(n) for axis, n in zip(axes, counts, strict=True)]
    firsts = [lines[0].place_maps(), lines[1].place_maps(), lines[2].place_maps(count_lanes(problem.dtype))]
    workspace, work_size = _lay_out_workspace(problem, axes, lines, firsts)
    steps = (workspace.n_lines * workspace.line, workspace.line, 1)
    by_planes, by_rows, by_columns = _make_stages(problem, axes, lines, firsts, steps)
    plane_blocks, row_blocks, column_blocks = (
        _make_blocks(axis.cut_outputs(n)) for axis, n in zip(axes, counts, strict=True)
    )
    planes, rows, columns = (make_padded_axis(problem, index, axis, lines[index]) for index, axis in enumerate(axes))
    tables = loops.ForwardTables(
        arrays=make_arrays(problem, axes, len(nodes), extend_axes(problem.spatial, 1)),
        workspace=workspace,
        plane_blocks=plane_blocks, row_blocks=row_blocks, column_blocks=column_blocks,
        planes=planes, rows=rows, columns=columns,
        by_columns=by_columns, by_rows=by_rows, by_planes=by_planes,
        taps=_make_node_taps(problem, axes, lines, firsts, steps, nodes),
    )  # fmt: skip
    n_blocks = problem.batch * plane_blocks.n * row_blocks.n * column_blocks.n
    return ForwardLayout(loops.pack_tables(tables, problem.dtype), work_size, n_blocks)


def _lay_out_workspace(
    problem: Problem, axes: Sequence[Axis], lines: Sequence[Lines], firsts: Sequence[list[int]]
) -> tuple[Workspace, int]:
    """Return where each stage's lines lie, as drawn in `paths/lattice`, and the size of all; absent axes take none."""
    cells, line, n_lines = len(lines[2].phases) * lines[2].n_of_phase, firsts[2][-1], firsts[1][-1]
    at_lines = lines[1].n_inputs * cells + SLACK
    at_rows = at_lines + lines[1].n_inputs * line
    at_maps = at_rows + lines[0].n_inputs * n_lines * line
    size = at_maps + firsts[0][-1] * n_lines * line + SLACK
    if problem.kernel.n_dims < 3:
        size, at_maps = at_maps + SLACK, at_rows
    if problem.kernel.n_dims < 2:
        size, at_maps = at_rows + SLACK, at_lines
    workspace = loops.Workspace(
        planes=lines[0].n_outputs, rows=lines[1].n_outputs, plane_lines=lines[0].n_of_phase,
        row_lines=lines[1].n_of_phase, column_cells=lines[2].n_of_phase, column_stride=axes[2].stride, cells=cells,
        line=line, n_lines=n_lines, at_cells=0, at_lines=at_lines, at_rows=at_rows, at_maps=at_maps,
    )  # fmt: skip
    return workspace, size


def _make_stages(
    problem: Problem,
    axes: Sequence[Axis],
    lines: Sequence[Lines],
    firsts: Sequence[list[int]],
    steps: Sequence[int],
) -> list[Stage]:
    """Return the smoothing along planes, rows and columns: one sum a map. Axes that are absent have none.

    Along planes and rows a map's lines, `step` values long, follow one another, so that they are one row of a sum;
    along columns every row of input gives a row of the map.
    """
    stages = []
    for index, axis in enumerate(axes):
        step, taps = steps[index], axis.find_smoothing(lines[index])
        sums = [
            TapSum(count, step, first * step, offsets * step, coefficients)
            if index < 2
            else TapSum(lines[1].n_of_phase, after - first, first, offsets, coefficients)
            for (offsets, coefficients), count, first, after in zip(
                taps, lines[index].counts, firsts[index][:-1], firsts[index][1:], strict=True
            )
        ]
        stages.append(make_stage(sums if index >= 3 - problem.kernel.n_dims else [], step))
    return stages


def _make_node_taps(
    problem: Problem,
    axes: Sequence[Axis],
    lines: Sequence[Lines],
    firsts: Sequence[list[int]],
    steps: Sequence[int],
    nodes: IntArray,
) -> NodeTaps:
    """Return where every node reads the maps: its lag on its map of every axis, as offsets in the workspace."""
    by_axis = [
        [(first + each.lags - low) * step for each, first, low in zip(axis.maps, start[:-1], of_axis.lows, strict=True)]
        for axis, of_axis, start, step in zip(axes, lines, firsts, steps, strict=True)
    ]
    offsets = sum_over_axes(axes, by_axis, count_grid(problem))[nodes]
    spacing = axes[1].spacing
    runs = list(find_runs(offsets, spacing * steps[1])) if spacing else []
    return loops.NodeTaps(offsets=offsets, n_runs=len(runs), runs=make_run_table(runs), spacing=spacing)


def _make_blocks(blocks: IntArray) -> OutputBlocks:
    outputs, cells, counts = blocks
    return loops.OutputBlocks(n=len(counts), outputs=outputs, cells=cells, counts=counts)
