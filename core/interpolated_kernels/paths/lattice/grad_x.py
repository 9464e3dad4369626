"""How the lattice path lays out the gradient by x: maps that rows of y's gradient are gathered into, and the spreading.

A row of y's gradient reaches one row of maps for every node along planes and rows. Some of these rows make a register
tile; the taps along columns are the same for all of them. Then the smoothing transposed spreads maps over x's cells.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.axes import Axis, Lines
from interpolated_kernels.paths.lattice import sizes
from interpolated_kernels.paths.lattice.late import find_output_sums, smooths_columns_late
from interpolated_kernels.paths.lattice.sizes import (
    FILTERS_OF_CHUNK,
    ROWS_OF_SUMS,
    count_channels_of_task,
    split_rows,
)
from interpolated_kernels.paths.lattice.stages import (
    SLACK,
    TapSum,
    count_grid,
    make_arrays,
    make_axis_lines,
    make_stage,
)
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import count_lanes, size_line

if TYPE_CHECKING:  # planning reads this module and must not load the loops
    from interpolated_kernels.loops import (
        CellBlocks,
        ColumnMaps,
        Gathering,
        MapRows,
        OutputSums,
        Packed,
        Stage,
        Tiles,
        Workspace,
    )


@dataclass(frozen=True, eq=False)
class GatherRows:
    """The rows of maps that a row of y's gradient reaches, tile by tile, and the column nodes of every map."""

    tiles: Tiles
    rows: MapRows
    members: IntArray
    """`(rows, 2)` int: the channel within the task, and the node along planes and rows."""
    columns: tuple[IntArray, ...]
    """One a map along columns: its nodes."""

    def pack(self, values: IntArray, channels: int) -> IntArray:
        """Return `(groups, channels, filters, nodes along planes and rows, columns)` in the loops' order, flat.

        That is channels by task, filters by chunk, tile, map along columns, filter, column, row of the tile; a task
        that lacks channels repeats its last.
        """
        groups, n_channels, n_filters = values.shape[:3]
        tasks = np.arange(-(-n_channels // channels))[:, None] * channels
        by_task = values[:, np.minimum(tasks + np.arange(channels), n_channels - 1)]
        channel, node = self.members.T
        rows = by_task.transpose(0, 1, 2, 4, 3, 5)[:, :, channel, node]
        packed = [
            rows[:, :, first : first + width, filters : filters + FILTERS_OF_CHUNK][..., columns]
            .transpose(0, 1, 3, 4, 2)
            .reshape(groups, len(tasks), -1)
            for filters in range(0, n_filters, FILTERS_OF_CHUNK)
            for first, width in zip(self.tiles.firsts.tolist(), self.tiles.widths.tolist(), strict=True)
            for columns in self.columns
        ]
        return np.concatenate(packed, axis=2).ravel()


@dataclass(frozen=True, eq=False)
class GradXLayout:
    """The tables of the gradient by x, the workspace's size, the tasks of one sample, and the channels of a task."""

    tables: Packed
    work_size: int
    n_tasks: int
    rows: GatherRows
    channels: int

    def pack_weights(self, values: IntArray) -> IntArray:
        """Return the nodes' values in the order that the loops read them: see `GatherRows.pack`."""
        return self.rows.pack(values, self.channels)


class _Lines(NamedTuple):
    """The lines of a block along all axes, where the maps of each start, and the steps between these, in values."""

    axes: tuple[Axis, Axis, Axis]
    counts: tuple[int, int, int]
    lines: list[Lines]
    firsts: list[list[int]]
    steps: tuple[int, int, int]
    column_cells: int
    """x's cells of one phase of a row, filled up to whole vectors."""
    is_late: bool
    """Whether y's gradient is smoothed along columns before it is gathered; a row of maps is then one of x's cells."""

    @property
    def maps_size(self) -> int:
        """The values of a channel's maps."""
        return self.firsts[0][-1] * self.steps[0]

    @property
    def row_lines(self) -> int:
        """X's rows of a block, phase after phase."""
        return self.lines[1].n_inputs


def lay_out_grad_x(
    problem: Problem, axes: tuple[Axis, Axis, Axis], n_nodes: int, regions: Sequence[tuple[int, int]]
) -> GradXLayout:
    """Return the tables of the gradient by some padded cells, for kernels of which so many nodes reach a cell."""
    channels = count_channels_of_task(problem, axes)
    block = _find_lines(problem, axes, channels)
    workspace, gathering, work_size = _lay_out_workspace(problem, block, channels, regions)
    by_planes, by_rows, by_columns = _make_stages(problem, block)
    plane_blocks, row_blocks, column_blocks = (
        _make_blocks(axis.cut_cells(n, region), region[0])
        for axis, n, region in zip(axes, block.counts, regions, strict=True)
    )
    planes, rows, columns = (make_axis_lines(index, axis, block.lines[index]) for index, axis in enumerate(axes))
    starts = [workspace.at_maps + channel * block.maps_size for channel in range(channels)]
    gathered = _make_rows(block, count_grid(problem)[1], starts)
    sums, work_size = _make_output_sums(problem, block, gathering, work_size)
    offsets, column_maps = _make_column_maps(block, gathering.filters, sums)
    tables = loops.GradXTables(
        arrays=make_arrays(problem, axes, n_nodes, (gathering.x_planes, gathering.x_rows, gathering.x_columns)),
        workspace=workspace,
        plane_blocks=plane_blocks, row_blocks=row_blocks, column_blocks=column_blocks,
        planes=planes, rows=rows, columns=columns,
        by_columns=by_columns, by_rows=by_rows, by_planes=by_planes,
        offsets=offsets, gathering=gathering, tiles=gathered.tiles, map_rows=gathered.rows, column_maps=column_maps,
        sums=sums,
    )  # fmt: skip
    n_blocks = plane_blocks.n * row_blocks.n * column_blocks.n
    n_tasks = problem.groups * -(-problem.channels_per_group // channels) * n_blocks
    return GradXLayout(loops.pack_tables(tables, problem.dtype), work_size + SLACK, n_tasks, gathered, channels)


def _find_lines(problem: Problem, axes: tuple[Axis, Axis, Axis], channels: int) -> _Lines:
    lanes = count_lanes(problem.dtype)
    counts = sizes.choose_cell_block(problem, axes).counts
    lines = [axis.find_grad_lines(n) for axis, n in zip(axes, counts, strict=True)]
    multiple, least = size_line(problem.dtype, channels == axes[1].n_nodes == 1)
    firsts = [lines[0].place_maps(), lines[1].place_maps(), lines[2].place_maps(multiple, least)]
    column_cells, is_late = -(-counts[2] // lanes) * lanes, smooths_columns_late(problem, axes, channels)
    if is_late:
        column_cells = max(least, -(-counts[2] // multiple)) * multiple
        firsts[2] = [0, column_cells]
    line, n_lines = firsts[2][-1], firsts[1][-1]
    return _Lines(axes, counts, lines, firsts, (n_lines * line, line, 1), column_cells, is_late)


def _lay_out_workspace(
    problem: Problem, block: _Lines, channels: int, regions: Sequence[tuple[int, int]]
) -> tuple[Workspace, Gathering, int]:
    """Return where each stage's lines lie (`paths/lattice` draws it), how y's gradient is read, and the size of all."""
    planes, rows, columns = block.lines
    line, cells = block.steps[1], len(columns.phases) * block.column_cells
    at_lines = 0 if block.is_late else rows.n_inputs * cells + SLACK
    at_rows = at_lines + rows.n_inputs * line
    at_maps = at_rows + planes.n_inputs * block.steps[0] * (problem.kernel.n_dims > 2)
    nowhere = at_maps + channels * block.maps_size
    filters = min(problem.filters_per_group, FILTERS_OF_CHUNK)
    rows_at_once = ROWS_OF_SUMS if block.is_late else 1
    workspace = loops.Workspace(
        planes=block.counts[0], rows=block.counts[1], plane_phases=len(planes.phases), row_phases=len(rows.phases),
        column_cells=block.column_cells, column_stride=block.axes[2].stride, cells=cells, line=line,
        n_lines=block.firsts[1][-1], at_cells=0, at_lines=at_lines, at_rows=at_rows, at_maps=at_maps,
    )  # fmt: skip
    x_planes, x_rows, x_columns = (high - low for low, high in regions)
    gathering = loops.Gathering(
        rows=rows_at_once, filters=filters, channels=channels, out_columns=problem.out_spatial[-1],
        plane_low=planes.output_low, plane_span=planes.n_outputs, planes_interleaved=block.axes[0].n_problems,
        row_low=rows.output_low, row_span=rows.n_outputs, rows_interleaved=block.axes[1].n_problems,
        column_low=columns.output_low, column_span=columns.n_outputs,
        at=nowhere + line, nowhere=nowhere, maps_size=block.maps_size,
        x_planes=x_planes, x_rows=x_rows, x_columns=x_columns,
    )  # fmt: skip
    return workspace, gathering, gathering.at + rows_at_once * filters * columns.n_outputs + line + SLACK


def _make_output_sums(problem: Problem, block: _Lines, gathering: Gathering, at: int) -> tuple[OutputSums, int]:
    """Return the sums of y's gradient along columns, which lie from `at` on, and where they end."""
    offsets, coefficients, counts, starts = [np.zeros(0, np.int64)], [np.zeros(0)], [0], [0]
    if block.is_late:
        sums, reads = find_output_sums(block.axes[2], block.lines[2], count_lanes(problem.dtype))
        offsets, starts = reads, sums.starts
        coefficients = [each.coefficients for each in block.axes[2].maps]
        counts += [len(each) for each in reads]
    found = loops.OutputSums(
        n=len(starts) - 1, offsets=np.concatenate(offsets), coefficients=np.concatenate(coefficients),
        ends=np.cumsum(counts), starts=np.array(starts), at=at, line=starts[-1],
    )  # fmt: skip
    return found, at + gathering.rows * gathering.filters * starts[-1]


def _make_stages(problem: Problem, block: _Lines) -> list[Stage]:
    """Return the spreading along planes, rows and columns: one sum a phase of x's cells. Absent axes have none.

    Along planes and rows the lines of a phase follow one another; along columns every row of maps gives one of cells.
    """
    shapes = [
        (block.counts[0], block.steps[0], block.counts[0] * block.steps[0]),
        (block.counts[1], block.steps[1], block.counts[1] * block.steps[1]),
        (block.counts[1], block.column_cells, block.column_cells),
    ]
    stages = []
    for index, (axis, (rows, columns, size)) in enumerate(zip(block.axes, shapes, strict=True)):
        step, sums = block.steps[index], []
        if index >= 3 - problem.kernel.n_dims and not (index == 2 and block.is_late):
            taps = axis.find_spreading(block.lines[index], block.firsts[index][:-1])
            sums = [
                TapSum(rows, columns, phase * size, offsets * step, coefficients)
                for phase, (offsets, coefficients) in enumerate(taps)
            ]
        stages.append(make_stage(sums, step))
    return stages


def _make_rows(block: _Lines, n_row_nodes: int, maps: Sequence[int]) -> GatherRows:
    """Return the rows of the maps that start at `maps`, one start a channel, in tiles of one plane node each."""
    tiles: list[tuple[int, int, int, int]] = []
    rows: list[tuple[int, int, int]] = []
    members: list[tuple[int, int]] = []
    planes, along_rows, _ = block.lines
    by_row = block.axes[1].find_excess(along_rows).tolist()
    for plane_node, plane_map, plane_shift in block.axes[0].find_excess(planes).tolist():
        first = len(rows)
        plane_at = block.firsts[0][plane_map] * block.steps[0]
        for (node, index, shift), (channel, at) in itertools.product(by_row, enumerate(maps)):
            rows.append((along_rows.counts[index], shift, at + plane_at + block.firsts[1][index] * block.steps[1]))
            members.append((channel, plane_node * n_row_nodes + node))
        for width in split_rows(len(rows) - first):
            tiles.append((first, width, planes.counts[plane_map], plane_shift))
            first += width
    tile_firsts, widths, n_planes, plane_shifts = np.array(tiles, np.int64).T
    n_rows, shifts, starts = np.array(rows, np.int64).T
    return GatherRows(
        loops.Tiles(n=len(tiles), firsts=tile_firsts, widths=widths, planes=n_planes, shifts=plane_shifts),
        loops.MapRows(n=len(rows), rows=n_rows, shifts=shifts, starts=starts),
        np.array(members, np.int64),
        _order_columns(block),
    )


def _order_columns(block: _Lines) -> tuple[IntArray, ...]:
    """Return the nodes of every map along columns, against the lags, so that reading goes forward; or of all in one."""
    nodes = tuple(each.nodes[::-1] for each in block.axes[2].maps)
    return (np.concatenate(nodes),) if block.is_late else nodes


def _make_column_maps(block: _Lines, filters: int, sums: OutputSums) -> tuple[IntArray, ColumnMaps]:
    """Return where the taps along columns read the rows of some filters, or their sums, and the maps.

    Filter comes after filter, and nodes in the order of `GatherRows.columns`.
    """
    axis, lines = block.axes[2], block.lines[2]
    step, columns = lines.n_outputs, np.array(lines.counts)
    reads = [low - each.lags[::-1] - lines.output_low for each, low in zip(axis.maps, lines.lows, strict=True)]
    if block.is_late:
        starts = [
            start + each.lags.max() - each.lags[::-1] for each, start in zip(axis.maps, sums.starts, strict=False)
        ]
        step, columns, reads = sums.line, np.array([block.counts[2]]), [np.concatenate(starts)]
    offsets = [(np.arange(filters)[:, None] * step + places).ravel() for places in reads]
    nodes = np.array([len(places) for places in reads])
    taps = np.array([len(of_map) for of_map in offsets])
    maps = loops.ColumnMaps(
        n=len(nodes), n_nodes=int(nodes.sum()), taps=np.cumsum(taps) - taps, nodes=nodes,
        nodes_before=np.cumsum(nodes) - nodes, starts=np.array(block.firsts[2][:-1]), columns=columns,
    )  # fmt: skip
    return np.concatenate(offsets), maps


def _make_blocks(blocks: IntArray, low: int) -> CellBlocks:
    """Return the blocks of a region that begins at padded cell `low`."""
    firsts, cells, counts, problems, outputs = blocks
    return loops.CellBlocks(
        n=len(counts), firsts=firsts, cells=cells - low, counts=counts, problems=problems, outputs=outputs
    )
