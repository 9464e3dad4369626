"""How the lattice path lays out the gradient by x: maps that rows of y's gradient are gathered into, and the spreading.

A row of y's gradient reaches one row of maps for every node along planes and rows. Some of these rows make a register
tile; the taps along columns are the same for all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.common import padding_of_three, three
from interpolated_kernels.paths.lattice import sizes as block_sizes
from interpolated_kernels.paths.lattice.axes import Axis, Lines
from interpolated_kernels.paths.lattice.layout import SLACK, arrays_of, grid_of, n_blocks, no_stage, stage, table
from interpolated_kernels.paths.lattice.sizes import FILTERS_OF_CHUNK, VECTORS_OF_LINE, channels_of_task, tiles_of
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of maps that a row of y's gradient reaches, tile by tile, and the column nodes of every map."""

    tiles: IntArray
    """`(tiles, 4)` int: first row, rows, planes of the map, and by how much y's plane exceeds the map's."""
    rows: IntArray
    """`(rows, 3)` int: rows of the map, by how much y's row exceeds the map's, and where the map starts."""
    members: IntArray
    """`(rows, 2)` int: the channel within the task, and the node along planes and rows."""
    columns: tuple[IntArray, ...]
    """One a map along columns: its nodes."""


@dataclass(frozen=True, eq=False)
class Transposed:
    """The tables of the gradient by x."""

    job: Any
    block_size: int
    n_tasks: int
    """Of one sample."""
    rows: Rows
    channels: int

    def pack(self, values: IntArray) -> IntArray:
        """Return `(groups, channels, filters, nodes along planes and rows, columns)` in the loops' order, flat.

        That is channels by task, filters by chunk, tile, map along columns, filter, column, row of the tile; a task
        that lacks channels repeats its last.
        """
        groups, n_channels, n_filters = values.shape[:3]
        tasks = np.arange(-(-n_channels // self.channels))[:, None] * self.channels
        by_task = values[:, np.minimum(tasks + np.arange(self.channels), n_channels - 1)]
        channel, node = self.rows.members.T
        rows = by_task.transpose(0, 1, 2, 4, 3, 5)[:, :, channel, node]
        packed = [
            rows[:, :, first : first + width, filters : filters + FILTERS_OF_CHUNK][..., columns]
            .transpose(0, 1, 3, 4, 2)
            .reshape(groups, len(tasks), -1)
            for filters in range(0, n_filters, FILTERS_OF_CHUNK)
            for first, width in self.rows.tiles[:, :2].tolist()
            for columns in self.rows.columns
        ]
        return np.concatenate(packed, axis=2).ravel()


def transposed_layout(
    problem: Problem, axes: tuple[Axis, Axis, Axis], n_nodes: int, regions: list[tuple[int, int]]
) -> Transposed:
    """Return the tables of the gradient by some padded cells, for kernels of which so many nodes reach a cell."""
    lanes, channels = loops.lanes_of(problem.dtype), channels_of_task(problem, axes)
    counts = block_sizes.transposed_sizes(problem, axes).counts
    lines = [axis.transposed_lines(n) for axis, n in zip(axes, counts, strict=True)]
    is_alone = channels == axes[1].n_nodes == 1
    firsts = [
        lines[0].firsts(), lines[1].firsts(), lines[2].firsts(VECTORS_OF_LINE * lanes * (1 + is_alone))
    ]  # fmt: skip
    line, n_lines = firsts[2][-1], firsts[1][-1]
    column_span = -(-counts[2] // lanes) * lanes
    cells = len(lines[2].phases) * column_span
    steps = (n_lines * line, line, 1)
    targets = (counts[0] * steps[0], counts[1] * steps[1], column_span)
    stages = [
        stage([
            (rows, columns, phase * target, taps * step, coefficients)
            for phase, (taps, coefficients) in enumerate(axis.spreading(own, base[:-1]))
        ], problem.dtype, step)
        for axis, own, base, step, target, rows, columns in zip(
            axes, lines, firsts, steps, targets, (counts[0], counts[1], counts[1]), (*steps[:2], column_span),
            strict=True,
        )
    ]  # fmt: skip
    n_row_lines, n_plane_lines = len(lines[1].phases) * counts[1], len(lines[0].phases) * counts[0]
    maps_size = firsts[0][-1] * n_lines * line
    filters = min(problem.filters_per_group, FILTERS_OF_CHUNK)
    at_lines = n_row_lines * cells + SLACK
    at_rows = at_lines + n_row_lines * line
    at_maps = at_rows + n_plane_lines * n_lines * line * (problem.kernel.n_dims > 2)
    nowhere = at_maps + channels * maps_size
    at_outputs = nowhere + line
    size = at_outputs + filters * lines[2].outputs_span + line + SLACK
    if problem.kernel.n_dims < 3:
        stages[0] = no_stage(problem.dtype)
    if problem.kernel.n_dims < 2:
        stages[1] = no_stage(problem.dtype)
    block = loops.LatticeBlock(
        counts[0], counts[1], counts[0], counts[1], column_span, axes[2].stride, cells, line, n_lines, 0, at_lines,
        at_rows, at_maps, size,
    )  # fmt: skip
    by_plane, by_row, by_column = (
        table(axis, _shifted(axis.transposed_blocks(n, region), region[0]), own, problem, index)
        for index, (axis, n, own, region) in enumerate(zip(axes, counts, lines, regions, strict=True))
    )
    tables = loops.LatticeTables(by_plane, by_row, by_column, stages[2], stages[1], stages[0])
    rows = _rows(axes, lines, firsts, steps, grid_of(problem)[1], [at_maps + n * maps_size for n in range(channels)])
    offsets, classes = _taps(axes[2], lines[2], firsts[2], filters)
    low, span = [own.outputs_low for own in lines], [own.outputs_span for own in lines]
    gathering = loops.Gathering(
        filters, channels, problem.out_spatial[-1], low[0], span[0], axes[0].residues, low[1], span[1],
        axes[1].residues, low[2], span[2], at_outputs, nowhere, maps_size, *(high - first for first, high in regions),
    )  # fmt: skip
    arrays = arrays_of(problem, axes, n_nodes, tuple(high - first for first, high in regions))
    taps = loops.LatticeTaps(offsets, np.zeros((0, 3), np.int64), 0)
    job = loops.job_of(arrays, block, tables, taps, gathering, rows.tiles, rows.rows, classes)
    n_tasks = problem.groups * -(-problem.channels_per_group // channels) * n_blocks(tables)
    return Transposed(job, block.size, n_tasks, rows, channels)


def _rows(
    axes: Sequence[Axis],
    lines: Sequence[Lines],
    firsts: Sequence[list[int]],
    steps: Sequence[int],
    n_row_nodes: int,
    maps: Sequence[int],
) -> Rows:
    """Return the rows of the maps that start at `maps`, one start a channel, in tiles of one plane node each."""
    tiles: list[tuple[int, ...]] = []
    rows: list[tuple[int, ...]] = []
    members: list[tuple[int, int]] = []
    along_rows = axes[1].reached(lines[1]).tolist()
    for plane_node, plane_map, plane_shift in axes[0].reached(lines[0]).tolist():
        first = len(rows)
        for (node, index, shift), (channel, at) in itertools.product(along_rows, enumerate(maps)):
            rows.append((
                lines[1].counts[index], shift, at + firsts[0][plane_map] * steps[0] + firsts[1][index] * steps[1]
            ))  # fmt: skip
            members.append((channel, plane_node * n_row_nodes + node))
        for width in tiles_of(len(rows) - first):
            tiles.append((first, width, lines[0].counts[plane_map], plane_shift))
            first += width
    columns = tuple(part.nodes[::-1] for part in axes[2].maps)
    return Rows(np.array(tiles, np.int64), np.array(rows, np.int64), np.array(members, np.int64), columns)


def _taps(axis: Axis, lines: Lines, firsts: Sequence[int], filters: int) -> tuple[IntArray, IntArray]:
    """Return where the taps along columns read the rows of some filters, and one row a map, as `Targets.classes`.

    Nodes come in the order of `Rows.columns`: against the lags, so that reading goes forward.
    """
    offsets, classes, n_taps, n_nodes = [], [], 0, 0
    for part, low, count, first in zip(axis.maps, lines.lows, lines.counts, firsts[:-1], strict=True):
        reads = low - part.lags[::-1] - lines.outputs_low
        offsets.append((np.arange(filters)[:, None] * lines.outputs_span + reads).ravel())
        classes.append((n_taps, len(reads), n_nodes, first, count))
        n_taps, n_nodes = n_taps + len(offsets[-1]), n_nodes + len(reads)
    return np.concatenate(offsets).astype(np.int32), np.array(classes, np.int64)


def regions_of(problem: Problem) -> list[tuple[int, int]]:
    """Return the padded cells whose gradient is wanted on every axis: with zeros around x, those of x alone."""
    return [
        (before, before + cells) if problem.padding_mode == "zeros" else (0, before + cells + after)
        for (before, after), cells in zip(padding_of_three(problem), three(problem.spatial, 1), strict=True)
    ]


def _shifted(blocks: IntArray, shift: int) -> IntArray:
    blocks[:, 1] -= shift
    return blocks
