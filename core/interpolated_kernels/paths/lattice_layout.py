"""How the lattice path lays out its blocks: their sizes, the workspace, and the tables that its loops run over."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.geometry import Problem, padded_index
from interpolated_kernels.paths.common import padding_of_three, three
from interpolated_kernels.paths.lattice_axes import Axis, Growth, Lines, absent_axis, axis_of, growth_of

_CACHE_BYTES = 384 * 2**10
"""What the maps of a block may take without cost: a good part of a core's own cache."""

_SPILL = 0.25
"""How much slower each doubling beyond it makes the loops."""

_MOST_BYTES = 4 * 2**20

_SLACK = 256
"""Values behind a workspace that whole vectors may read beyond a line's end."""

_FILTERS_OF_CHUNK = 4


@dataclass(frozen=True, eq=False)
class Forward:
    """The tables of forward and of the weights' gradient, and how many blocks all samples have."""

    job: Any
    block_size: int
    n_items: int


@dataclass(frozen=True, eq=False)
class Transposed:
    """The tables of the gradient by x, and the nodes in the order of their maps."""

    job: Any
    block_size: int
    n_tasks: int
    order: IntArray
    bounds: tuple[int, ...]
    filters: int


def axes_of(problem: Problem) -> tuple[Axis, Axis, Axis]:
    """Return the axes of planes, rows and columns."""
    factors = problem.kernel.factors().axes[: problem.kernel.n_dims]
    last = len(factors) - 1
    axes = [
        axis_of(factor, out, stride, dilation, splits=index < last)
        for index, (factor, out, stride, dilation) in enumerate(
            zip(factors, problem.out_spatial, problem.stride, problem.dilation, strict=True)
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
    from interpolated_kernels import loops

    ends = np.flatnonzero(np.diff(offsets) != step) + 1
    runs: list[tuple[int, int, int]] = []
    for first, last in itertools.pairwise([0, *ends.tolist(), len(offsets)]):
        if last - first >= loops.ROWS:
            runs.append((offsets[first], first, last - first))
        else:
            runs += [(offsets[tap], tap, 1) for tap in range(first, last)]
    return np.array(runs, np.int64).reshape(-1, 3)


@dataclass(frozen=True)
class Sizes:
    """A block: its counts, the multiply-adds of its maps, the values that it keeps, and its input lines."""

    counts: tuple[int, int, int]
    smoothing: float
    values: int
    lines: int


def _extents(problem: Problem, axes: Sequence[Axis], transposed: bool) -> list[int]:
    """Return how many outputs (or inputs of a phase) the longest problem of every axis has."""
    if not transposed:
        return [max(axis.outputs_of(0), 1) for axis in axes]
    cells = three(problem.spatial if problem.padding_mode == "zeros" else problem.padded, 1)
    return [-(-size // (axis.unit * axis.stride)) + 1 for size, axis in zip(cells, axes, strict=True)]


def _split(extent: int, n: int) -> int:
    """Return the even share of an extent that is at most `n`."""
    return -(-extent // -(-extent // n))


def choose_sizes(problem: Problem, axes: Sequence[Axis], transposed: bool) -> Sizes:
    """Return the block whose work costs least for each of its cells; maps that outgrow a core's cache count more."""
    candidates = ((1, 2, 4, 6, 8, 12, 16, 24), (4, 8, 12, 16, 24, 32, 48, 64), (96, 192, 384, 1536))
    counts = np.meshgrid(
        *(
            sorted({_split(extent, n) for n in own})
            for extent, own in zip(_extents(problem, axes, transposed), candidates, strict=True)
        ),
        indexing="ij",
    )
    growth = [growth_of(axis.maps, axis.stride, transposed) for axis in axes]
    smoothing, work, values = _estimate(problem, growth, counts, transposed)
    nbytes = values * np.dtype(problem.dtype).itemsize
    cells = np.prod(np.stack(counts), axis=0)
    score = work / cells * (1 + _SPILL * np.maximum(0.0, np.log2(nbytes / _CACHE_BYTES)))
    best = int(np.argmin(np.where(nbytes <= max(_MOST_BYTES, nbytes.min()), score, np.inf)))
    planes, rows, columns = (int(own.flat[best]) for own in counts)
    lines = [slope * n + rest for (slope, rest), n in zip((own.inputs for own in growth), (planes, rows), strict=False)]
    return Sizes((planes, rows, columns), float(smoothing.flat[best]), int(values.flat[best]), lines[0] * lines[1])


def _estimate(
    problem: Problem, growth: Sequence[Growth], counts: Sequence[IntArray], transposed: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the multiply-adds of the maps, those that depend on the block, and its values, for arrays of counts."""
    inputs, maps, taps, outputs = (
        [slope * n + rest for (slope, rest), n in zip(pairs, counts, strict=True)]
        for pairs in zip(*((own.inputs, own.maps, own.taps, own.outputs) for own in growth), strict=True)
    )
    line = maps[2] + growth[2].maps[0] * 16 // np.dtype(problem.dtype).itemsize  # maps end in part of a vector
    smoothing = 1.3 * inputs[0] * inputs[1] * line * growth[2].coefficients  # along columns no inputs are shared
    values = inputs[1] * (inputs[2] + line) + maps[0] * maps[1] * line
    if problem.kernel.n_dims > 1:
        smoothing = smoothing + inputs[0] * maps[1] * line * growth[1].coefficients
    if problem.kernel.n_dims > 2:
        smoothing = smoothing + maps[0] * maps[1] * line * growth[0].coefficients
        values = values + inputs[0] * maps[1] * line
    if not transposed:
        return smoothing, smoothing, values
    filters = min(problem.filters_per_group, _FILTERS_OF_CHUNK)
    values = values + (min(problem.channels_per_group, 4) - 1) * maps[0] * maps[1] * line
    values = values + filters * outputs[0] * outputs[1] * outputs[2]
    return smoothing, smoothing + 1.0 * taps[0] * taps[1] * taps[2] * problem.filters_per_group, values


def forward_layout(problem: Problem, axes: tuple[Axis, Axis, Axis], nodes: IntArray) -> Forward:
    """Return the tables of forward and of the weights' gradient for the nodes that reach a cell."""
    from interpolated_kernels import loops

    lanes = loops.lanes_of(problem.dtype)
    counts = choose_sizes(problem, axes, transposed=False).counts
    lines = [axis.forward_lines(n) for axis, n in zip(axes, counts, strict=True)]
    firsts = [lines[0].firsts(), lines[1].firsts(), lines[2].firsts(lanes)]
    cells = len(lines[2].phases) * lines[2].span
    line, n_lines, n_row_lines, n_plane_lines = (
        firsts[2][-1], firsts[1][-1], len(lines[1].phases) * lines[1].span, len(lines[0].phases) * lines[0].span
    )  # fmt: skip
    steps = (n_lines * line, line, 1)
    stages = [
        _stage([
            (rows, columns, first * step, taps * step if index < 2 else taps, coefficients)
            for (taps, coefficients), first, rows, columns in zip(
                axis.smoothing(own), base[:-1],
                own.counts if index < 2 else [lines[1].span] * len(own.counts),
                [step] * len(own.counts) if index < 2 else np.diff(base).tolist(), strict=True,
            )
        ], problem.dtype, step)
        for index, (axis, own, base, step) in enumerate(zip(axes, lines, firsts, steps, strict=True))
    ]  # fmt: skip
    at_lines = n_row_lines * cells + _SLACK
    at_rows = at_lines + n_row_lines * line
    at_maps = at_rows + n_plane_lines * n_lines * line
    size = at_maps + firsts[0][-1] * n_lines * line + _SLACK
    if problem.kernel.n_dims < 3:
        size, at_maps, stages[0] = at_maps + _SLACK, at_rows, _no_stage(problem.dtype)
    if problem.kernel.n_dims < 2:
        size, at_maps, stages[1] = at_rows + _SLACK, at_lines, _no_stage(problem.dtype)
    block = loops.LatticeBlock(
        counts[0], counts[1], lines[0].span, lines[1].span, lines[2].span, axes[2].stride, cells, line, n_lines, 0,
        at_lines, at_rows, at_maps, size,
    )  # fmt: skip
    planes, rows, columns = (
        _table(axis, axis.forward_blocks(n), own, problem, index)
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
    return Forward(job, block.size, problem.batch * _n_blocks(tables))


def _n_blocks(tables: Any) -> int:
    return len(tables.planes.blocks) * len(tables.rows.blocks) * len(tables.columns.blocks)


def arrays_of(problem: Problem, axes: Sequence[Axis], n_nodes: int, x_shape: tuple[int, ...]) -> Any:
    """Return where the arrays lie; `x_shape` is the spatial shape of x, or of the padded x that is written."""
    from interpolated_kernels import loops

    (x_planes, x_rows, x_columns), (y_planes, y_rows, y_columns) = x_shape, three(problem.out_spatial, 1)
    return loops.LatticeArrays(
        problem.batch, problem.groups, problem.channels_per_group, problem.filters_per_group, n_nodes,
        x_planes * x_rows * x_columns, x_rows * x_columns, x_columns, y_planes * y_rows * y_columns,
        y_rows * y_columns, y_columns, y_rows * y_columns * axes[0].residues, y_columns * axes[1].residues,
    )  # fmt: skip


def transposed_layout(problem: Problem, axes: tuple[Axis, Axis, Axis], nodes: IntArray) -> Transposed:
    """Return the tables of the gradient by x."""
    from interpolated_kernels import loops

    lanes = loops.lanes_of(problem.dtype)
    counts = choose_sizes(problem, axes, transposed=True).counts
    lines = [axis.transposed_lines(n) for axis, n in zip(axes, counts, strict=True)]
    # Whole tiles of rows: the sums of several chunks of filters are added without masks.
    rows = max(1, axes[1].spacing * loops.ROWS) if problem.channels_per_group == 1 else 1
    firsts = [lines[0].firsts(), lines[1].firsts(rows), lines[2].firsts(2 * lanes)]
    line, n_lines = firsts[2][-1], firsts[1][-1]
    column_span = -(-counts[2] // lanes) * lanes
    cells = len(lines[2].phases) * column_span
    steps = (n_lines * line, line, 1)
    targets = (counts[0] * steps[0], counts[1] * steps[1], column_span)
    stages = [
        _stage([
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
    filters = min(problem.filters_per_group, _FILTERS_OF_CHUNK)
    filter_size = lines[0].outputs_span * lines[1].outputs_span * lines[2].outputs_span
    at_lines = n_row_lines * cells + _SLACK
    at_rows = at_lines + n_row_lines * line
    at_maps = at_rows + n_plane_lines * n_lines * line * (problem.kernel.n_dims > 2)
    at_outputs = at_maps + min(problem.channels_per_group, 4) * maps_size
    size = at_outputs + filters * filter_size + (rows + 1) * lines[2].outputs_span + _SLACK
    if problem.kernel.n_dims < 3:
        stages[0] = _no_stage(problem.dtype)
    if problem.kernel.n_dims < 2:
        stages[1] = _no_stage(problem.dtype)
    regions = _regions(problem)
    block = loops.LatticeBlock(
        counts[0], counts[1], counts[0], counts[1], column_span, axes[2].stride, cells, line, n_lines, 0, at_lines,
        at_rows, at_maps, size,
    )  # fmt: skip
    by_plane, by_row, by_column = (
        _table(axis, _shifted(axis.transposed_blocks(n, region), region[0]), own, problem, index)
        for index, (axis, n, own, region) in enumerate(zip(axes, counts, lines, regions, strict=True))
    )
    tables = loops.LatticeTables(by_plane, by_row, by_column, stages[2], stages[1], stages[0])
    order, parts = _parts(problem, axes, lines, firsts, steps, nodes)
    bounds = (0, *parts[:, 5].tolist())
    taps, run_ends = _gathering_taps(problem, axes, lines, order, bounds)
    low, span = [own.outputs_low for own in lines], [own.outputs_span for own in lines]
    gathering = loops.Gathering(
        filters, taps.spacing, problem.out_spatial[-1], low[0], span[0], axes[0].residues, low[1], span[1],
        axes[1].residues, low[2], span[2], at_outputs, maps_size, *(high - first for first, high in regions),
    )  # fmt: skip
    arrays = arrays_of(problem, axes, len(nodes), tuple(high - first for first, high in regions))
    job = loops.job_of(arrays, block, tables, taps, gathering, parts, run_ends)
    n_tasks = problem.batch * problem.groups * loops.n_tiles(problem.channels_per_group) * _n_blocks(tables)
    return Transposed(job, block.size, n_tasks, order, bounds, filters)


def _regions(problem: Problem) -> list[tuple[int, int]]:
    """Return the padded cells whose gradient is wanted on every axis: with zeros around x, those of x alone."""
    return [
        (before, before + cells) if problem.padding_mode == "zeros" else (0, before + cells + after)
        for (before, after), cells in zip(padding_of_three(problem), three(problem.spatial, 1), strict=True)
    ]


def _gathering_taps(
    problem: Problem, axes: Sequence[Axis], lines: Sequence[Lines], order: IntArray, bounds: Sequence[int]
) -> tuple[Any, IntArray]:
    """Return where the taps of a whole chunk of filters, then of the last one, read; and where each part's runs end."""
    from interpolated_kernels import loops

    filters = min(problem.filters_per_group, _FILTERS_OF_CHUNK)
    plane, row = lines[1].outputs_span * lines[2].outputs_span, lines[2].outputs_span
    by_axis = [
        [(low - part.lags - own.outputs_low) * read for part, low in zip(axis.maps, own.lows, strict=True)]
        for axis, own, read in zip(axes, lines, (plane, row, 1), strict=True)
    ]
    offsets = node_offsets(axes, by_axis, grid_of(problem))[order]
    size, rest = lines[0].outputs_span * plane, problem.filters_per_group % filters
    whole, smaller = (_by_part(offsets, bounds, np.arange(count) * size) for count in (filters, rest))
    spacing = axes[1].spacing
    runs = [
        find_runs(whole[first * filters : last * filters], spacing * row) if spacing else _none(3)
        for first, last in itertools.pairwise(bounds)
    ]
    run_ends = np.array([0, *itertools.accumulate(map(len, runs))])
    return loops.LatticeTaps(np.concatenate([whole, smaller]), np.concatenate(runs), spacing), run_ends


def _by_part(offsets: IntArray, bounds: Sequence[int], filters: IntArray) -> IntArray:
    """Return the taps' offsets part by part: every filter's nodes, filter after filter."""
    parts = [(filters[:, None] + offsets[first:last]).ravel() for first, last in itertools.pairwise(bounds)]
    return np.concatenate(parts).astype(np.int32)


def grid_of(problem: Problem) -> tuple[int, int, int]:
    """Return the nodes along planes, rows and columns."""
    return three(problem.kernel.factors().grid_shape[: problem.kernel.n_dims], 1)


def _none(columns: int) -> IntArray:
    return np.zeros((0, columns) if columns else 0, np.int64)


def _shifted(blocks: IntArray, shift: int) -> IntArray:
    blocks[:, 1] -= shift
    return blocks


def _stage(parts: list[tuple[int, int, int, IntArray, FloatArray]], dtype: str, step: int) -> Any:
    """Return a stage from `(rows, columns, target, offsets, coefficients)` of every part; lines are `step` apart.

    Along columns, `step` 1, rows share no inputs.
    """
    from interpolated_kernels import loops

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


def _no_stage(dtype: str) -> Any:
    from interpolated_kernels import loops

    return loops.Stage(_none(7), np.zeros(0, np.int32), _none(3), np.zeros(0, dtype))


def _table(axis: Axis, blocks: IntArray, lines: Lines, problem: Problem, index: int) -> Any:
    """Return an axis' blocks, the cell of every input line, and what padded cells show."""
    from interpolated_kernels import loops

    at = np.arange(lines.span) if index < 2 else np.zeros(1, np.int64)
    cells = [axis.unit * (axis.stride * (lines.low + at) + phase) for phase in lines.phases]
    before, after = padding_of_three(problem)[index]
    size = three(problem.spatial, 1)[index]
    shown = padded_index(size, before, after, problem.padding_mode)
    return loops.AxisTable(blocks, np.concatenate(cells), shown, before, before + size)


def _parts(
    problem: Problem,
    axes: Sequence[Axis],
    lines: Sequence[Lines],
    firsts: Sequence[list[int]],
    steps: Sequence[int],
    nodes: IntArray,
) -> tuple[IntArray, IntArray]:
    """Return the nodes sorted by the maps that they gather into, and one row a map: sizes, target, its nodes.

    Within a map the last row comes first: gathering reads against the lags.
    """
    nodes = nodes[::-1]
    counts = [len(axis.maps) for axis in axes]
    scale = (counts[1] * counts[2], counts[2], 1)
    by_axis = [
        [np.full(len(part.nodes), index * step) for index, part in enumerate(axis.maps)]
        for axis, step in zip(axes, scale, strict=True)
    ]
    labels = node_offsets(axes, by_axis, grid_of(problem))[nodes]
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=int(np.prod(counts))))
    parts = []
    for part, chosen in enumerate(itertools.product(*map(range, counts))):
        width, height = (
            base[index + 1] - base[index] for base, index in zip(firsts[:0:-1], chosen[:0:-1], strict=True)
        )
        target = sum(base[index] * step for base, index, step in zip(firsts, chosen, steps, strict=True))
        parts.append((lines[0].counts[chosen[0]], height, width, target, ends[part - 1] if part else 0, ends[part]))
    return nodes[order], np.array(parts, np.int64)
