"""How the lattice path lays out its blocks: the workspace, and the tables that its loops run over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.padding import padded_index
from interpolated_kernels.paths.common import padding_of_three, three
from interpolated_kernels.paths.lattice import sizes as block_sizes
from interpolated_kernels.paths.lattice.axes import Axis, Lines, absent_axis, axis_of
from interpolated_kernels.paths.lattice.nodes import node_shape, nodes_of
from interpolated_kernels.problem import Problem

SLACK = 256
"""Values behind a workspace that whole vectors may read beyond a line's end."""


@dataclass(frozen=True, eq=False)
class Forward:
    """The tables of forward and of the weights' gradient, and how many blocks all samples have."""

    job: Any
    block_size: int
    n_items: int


def axes_of(problem: Problem) -> tuple[Axis, Axis, Axis]:
    """Return the axes of planes, rows and columns."""
    nodes = nodes_of(problem)
    last = len(nodes) - 1
    axes = [
        axis_of(columns, out, stride, dilation, splits=index < last)
        for index, (columns, out, stride, dilation) in enumerate(
            zip(nodes, problem.out_spatial, problem.stride, problem.dilation, strict=True)
        )
    ]
    planes, rows, columns = [absent_axis()] * (3 - len(axes)) + axes
    return planes, rows, columns


def node_offsets(axes: Sequence[Axis], by_axis: list[list[IntArray]], grid: Sequence[int]) -> IntArray:
    """Return the sum over axes of one value a node, nodes in C order; -1 for nodes that reach no cell."""
    values = [axis.nodes(own, count) for axis, own, count in zip(axes, by_axis, grid, strict=True)]
    planes, rows, columns = np.meshgrid(*values, indexing="ij")
    missing = (planes < 0) | (rows < 0) | (columns < 0)
    return np.where(missing, -1, planes + rows + columns).ravel()


def active_nodes(axes: Sequence[Axis], grid: Sequence[int]) -> IntArray:
    """Return the nodes that reach a cell, rows fastest: a tile of rows runs along them."""
    nothing = [[np.zeros(len(part.nodes), np.int64) for part in axis.maps] for axis in axes]
    nodes = np.arange(int(np.prod(grid))).reshape(grid).transpose(0, 2, 1).ravel()
    return nodes[node_offsets(axes, nothing, grid)[nodes] >= 0]


def find_runs(offsets: IntArray, step: int) -> IntArray:
    """Return `(runs, 3)`: the offset, the number and the count of taps that are `step` apart, single taps for few."""
    ends = np.flatnonzero(np.diff(offsets) != step) + 1
    runs: list[tuple[int, int, int]] = []
    for first, last in itertools.pairwise([0, *ends.tolist(), len(offsets)]):
        if last - first >= loops.ROWS:
            runs.append((offsets[first], first, last - first))
        else:
            runs += [(offsets[tap], tap, 1) for tap in range(first, last)]
    return np.array(runs, np.int64).reshape(-1, 3)


def forward_layout(problem: Problem, axes: tuple[Axis, Axis, Axis], nodes: IntArray) -> Forward:
    """Return the tables of forward and of the weights' gradient for the nodes that reach a cell."""
    lanes = loops.lanes_of(problem.dtype)
    counts = block_sizes.forward_sizes(problem, axes).counts
    lines = [axis.forward_lines(n) for axis, n in zip(axes, counts, strict=True)]
    firsts = [lines[0].firsts(), lines[1].firsts(), lines[2].firsts(lanes)]
    cells = len(lines[2].phases) * lines[2].span
    line, n_lines, n_row_lines, n_plane_lines = (
        firsts[2][-1], firsts[1][-1], len(lines[1].phases) * lines[1].span, len(lines[0].phases) * lines[0].span
    )  # fmt: skip
    steps = (n_lines * line, line, 1)
    stages = [
        stage([
            (rows, columns, first * step, taps * step if index < 2 else taps, coefficients)
            for (taps, coefficients), first, rows, columns in zip(
                axis.smoothing(own), base[:-1],
                own.counts if index < 2 else [lines[1].span] * len(own.counts),
                [step] * len(own.counts) if index < 2 else np.diff(base).tolist(), strict=True,
            )
        ], problem.dtype, step)
        for index, (axis, own, base, step) in enumerate(zip(axes, lines, firsts, steps, strict=True))
    ]  # fmt: skip
    at_lines = n_row_lines * cells + SLACK
    at_rows = at_lines + n_row_lines * line
    at_maps = at_rows + n_plane_lines * n_lines * line
    size = at_maps + firsts[0][-1] * n_lines * line + SLACK
    if problem.kernel.n_dims < 3:
        size, at_maps, stages[0] = at_maps + SLACK, at_rows, no_stage(problem.dtype)
    if problem.kernel.n_dims < 2:
        size, at_maps, stages[1] = at_rows + SLACK, at_lines, no_stage(problem.dtype)
    block = loops.LatticeBlock(
        counts[0], counts[1], lines[0].span, lines[1].span, lines[2].span, axes[2].stride, cells, line, n_lines, 0,
        at_lines, at_rows, at_maps, size,
    )  # fmt: skip
    planes, rows, columns = (
        table(axis, axis.forward_blocks(n), own, problem, index)
        for index, (axis, n, own) in enumerate(zip(axes, counts, lines, strict=True))
    )
    tables = loops.LatticeTables(planes, rows, columns, stages[2], stages[1], stages[0])
    by_axis = [
        [(first + part.lags - low) * step for part, first, low in zip(axis.maps, base[:-1], own.lows, strict=True)]
        for axis, own, base, step in zip(axes, lines, firsts, steps, strict=True)
    ]
    offsets = node_offsets(axes, by_axis, grid_of(problem))[nodes]
    spacing = axes[1].spacing
    runs = find_runs(offsets, spacing * line) if spacing else _none(3)
    taps = loops.LatticeTaps(offsets.astype(np.int32), runs, spacing)
    arrays = arrays_of(problem, axes, len(nodes), three(problem.spatial, 1))
    job = loops.job_of(arrays, block, tables, taps)
    return Forward(job, block.size, problem.batch * n_blocks(tables))


def n_blocks(tables: Any) -> int:
    """Return how many blocks a sample has."""
    return len(tables.planes.blocks) * len(tables.rows.blocks) * len(tables.columns.blocks)


def arrays_of(problem: Problem, axes: Sequence[Axis], n_nodes: int, x_shape: tuple[int, ...]) -> Any:
    """Return where the arrays lie; `x_shape` is the spatial shape of x, or of the padded x that is written."""
    (x_planes, x_rows, x_columns), (y_planes, y_rows, y_columns) = x_shape, three(problem.out_spatial, 1)
    return loops.LatticeArrays(
        problem.batch, problem.groups, problem.channels_per_group, problem.filters_per_group, n_nodes,
        x_planes * x_rows * x_columns, x_rows * x_columns, x_columns, y_planes * y_rows * y_columns,
        y_rows * y_columns, y_columns, y_rows * y_columns * axes[0].residues, y_columns * axes[1].residues,
    )  # fmt: skip


def grid_of(problem: Problem) -> tuple[int, int, int]:
    """Return the nodes along planes, rows and columns."""
    return three(node_shape(problem), 1)


def _none(columns: int) -> IntArray:
    return np.zeros((0, columns) if columns else 0, np.int64)


def stage(parts: list[tuple[int, int, int, IntArray, FloatArray]], dtype: str, step: int) -> Any:
    """Return a stage from `(rows, columns, target, offsets, coefficients)` of every part; lines are `step` apart.

    Along columns, `step` 1, rows share no inputs.
    """
    rows, all_runs, n_taps, n_runs = [], [], 0, 0
    for part in parts:
        runs = find_runs(part[3], step) if step > 1 else _none(3)
        runs[:, 1] += n_taps
        rows.append((*part[:3], n_taps, n_taps + len(part[3]), n_runs, n_runs + len(runs)))
        all_runs.append(runs)
        n_taps, n_runs = n_taps + len(part[3]), n_runs + len(runs)
    offsets = np.concatenate([part[3] for part in parts]).astype(np.int32)
    coefficients = np.concatenate([part[4] for part in parts]).astype(dtype)
    return loops.Stage(np.array(rows, np.int64), offsets, np.concatenate(all_runs), coefficients)


def no_stage(dtype: str) -> Any:
    """Return the stage of an axis that a problem lacks."""
    return loops.Stage(_none(7), np.zeros(0, np.int32), _none(3), np.zeros(0, dtype))


def table(axis: Axis, blocks: IntArray, lines: Lines, problem: Problem, index: int) -> Any:
    """Return an axis' blocks, the cell of every input line, and what padded cells show."""
    at = np.arange(lines.span) if index < 2 else np.zeros(1, np.int64)
    cells = [axis.unit * (axis.stride * (lines.low + at) + phase) for phase in lines.phases]
    before, after = padding_of_three(problem)[index]
    size = three(problem.spatial, 1)[index]
    shown = padded_index(size, before, after, problem.padding_mode)
    return loops.AxisTable(blocks, np.concatenate(cells), shown, before, before + size)
