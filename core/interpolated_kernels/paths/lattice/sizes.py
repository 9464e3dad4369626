"""How large the lattice path's blocks are: the size whose work costs least for each of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.paths.axes import Axis, Growth, find_growth
from interpolated_kernels.paths.common import extend_axes
from interpolated_kernels.paths.lattice.late import smooths_columns_late
from interpolated_kernels.paths.lattice.nodes import count_nodes
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import COLUMNS_OF_TILE, count_lanes, size_line

_Count = TypeVar("_Count", int, IntArray)

BYTES_OF_PARTIAL_SUMS, PARTS = 16 * 2**20, 32
"""The gradient by the bank has so many sums that are added in order, unless they would be larger."""

FILTERS_OF_CHUNK = 32
"""Filters whose rows of y's gradient stay in the nearest cache while all anchors pass."""

ROWS_OF_SUMS = 8
"""Rows of y's gradient that are smoothed along columns at a time: what was just written is slow to read elsewhere."""

MOST_ROWS = 4
"""Rows of maps that a register tile of the gradient by x holds."""

_PRODUCTS_OF_VISIT = 4000.0
"""What beginning a row of each of many filters costs, as multiply-adds: memory likes long rows."""

_PRODUCTS_OF_COPY = 2.0
"""What packing a value costs, as multiply-adds."""

_SPILL = 0.25
"""How much slower each doubling of the maps beyond a cache makes the loops."""


@dataclass(frozen=True)
class _Room:
    """What the maps of a block may take without cost, and at most."""

    free: int
    most: int


_FORWARD_ROOM = _Room(512 * 2**10, 4 * 2**20)
"""A good part of a core's own cache: every output reads all maps."""

_TRANSPOSED_ROOM = _Room(2 * 2**20, 12 * 2**20)
"""Rows of y's gradient reach a few rows of the maps at a time, which stay in a core's cache while they do."""

_FORWARD = ((1, 2, 4, 6, 8, 12, 16, 24), (4, 8, 12, 16, 24, 32, 48, 64), (96, 192, 384, 768, 1536))
_TRANSPOSED = ((1, 2, 4, 8, 12, 16, 24, 32), (8, 16, 32, 64, 96, 128, 192, 256), (88, 184, 376, 1528))


@dataclass(frozen=True)
class BlockSize:
    """A block: its counts, the multiply-adds of its maps, the values that it keeps, and its input lines."""

    counts: tuple[int, int, int]
    smoothing: float
    values: int
    lines: int


def choose_output_block(problem: Problem, axes: Sequence[Axis]) -> BlockSize:
    """Return the block of outputs that costs least; maps that outgrow a core's cache count more."""
    growth = [find_growth(axis.maps, axis.stride, False) for axis in axes]
    filters, lanes = problem.filters_per_group, count_lanes(problem.dtype)
    whole = lanes * (COLUMNS_OF_TILE[min(filters, 4) - 1] if filters > 1 else 2)
    counts = _list_counts([max(axis.count_outputs(0), 1) for axis in axes], _FORWARD, whole)
    if smooths_columns_late(problem, axes):
        line, rows = _fill_up(counts[2] + growth[2].inputs[1], lanes), filters * counts[0] * counts[1]
        smoothing, values = _count_smoothing(problem, growth[:2], counts, line)
        smoothing = smoothing + 1.3 * rows * counts[2] * axes[2].n_coefficients / problem.channels_per_group
        values = values + (rows + counts[1]) * find_growth(axes[2].maps, 1, True).lines(counts[2], lanes, 2)
    else:
        last = counts[2] + growth[2].maps[-1]
        line = fill_line(growth[2].lines(counts[2]) - last, last, lanes)
        smoothing, values = _count_smoothing(problem, growth, counts, line)
    work = smoothing + _PRODUCTS_OF_VISIT * counts[0] * counts[1] * (filters if filters > 1 else 0)
    return _choose(problem, growth, counts, smoothing, work, values, _FORWARD_ROOM)


def choose_cell_block(problem: Problem, axes: Sequence[Axis]) -> BlockSize:
    """Return the block of x's cells whose gradient costs least, the gathering of the maps' edges included."""
    growth = [find_growth(axis.maps, axis.stride, True) for axis in axes]
    cells = [high - low for low, high in extend_axes(problem.regions, (0, 1))]
    counts = _list_counts(
        [-(-size // (axis.cell_step * axis.stride)) + 1 for size, axis in zip(cells, axes, strict=True)], _TRANSPOSED
    )
    channels, filters = count_channels_of_task(problem, axes), problem.filters_per_group
    multiple, least = size_line(problem.dtype, channels == axes[1].n_nodes == 1)
    taps = growth[0].taps(counts[0]) * _count_tiled_taps(axes[1], counts[1])
    if smooths_columns_late(problem, axes, channels):
        line = _fill_up(counts[2], multiple, least)
        smoothing, values = _count_smoothing(problem, growth[:2], counts, line)
        outputs = filters * np.prod([n + each.outputs for n, each in zip(counts, growth, strict=True)], axis=0)
        smoothing = smoothing + 1.3 * outputs * axes[2].n_coefficients / channels
        sums = find_growth(axes[2].maps, 1, False).lines(counts[2], count_lanes(problem.dtype), 2)
        values = values + filters * ROWS_OF_SUMS * (counts[2] + growth[2].outputs + sums)
        taps = taps * line * axes[2].n_nodes
    else:
        line = growth[2].lines(counts[2], multiple, least)
        smoothing, values = _count_smoothing(problem, growth, counts, line)
        taps = taps * growth[2].taps(counts[2], multiple, least)
    work = smoothing + 1.0 * taps * filters
    values = values + (channels - 1) * growth[0].lines(counts[0]) * growth[1].lines(counts[1]) * line
    values = values + min(filters, FILTERS_OF_CHUNK) * (counts[2] + growth[2].outputs)
    return _choose(problem, growth, counts, smoothing, work, values, _TRANSPOSED_ROOM)


def count_workspace_bytes(problem: Problem, axes: Sequence[Axis], forward: BlockSize) -> int:
    """Return the bytes of the workspaces of two threads, of the nodes' values, and of the bank's partial sums."""
    values = max(forward.values, choose_cell_block(problem, axes).values)
    nodes = problem.filters * problem.channels_per_group * int(np.prod(count_nodes(problem)))
    partial_sums = min(BYTES_OF_PARTIAL_SUMS, 8 * PARTS * nodes)
    return np.dtype(problem.dtype).itemsize * (2 * values + 2 * nodes) + partial_sums


def count_channels_of_task(problem: Problem, axes: Sequence[Axis]) -> int:
    """Return how many channels are gathered at once: several, evenly, where rows of one alone fill no tile."""
    channels = problem.channels_per_group
    most = MOST_ROWS if axes[1].n_nodes < MOST_ROWS - 1 else 1
    return -(-channels // -(-channels // most))


def fill_line(first: _Count, count: _Count, lanes: int) -> _Count:
    """Return the values of a line of maps along columns, side by side: the last begins at `first`, in whole vectors."""
    whole = -(-count // lanes) * lanes
    return -(-(first + whole) // lanes) * lanes


def split_rows(count: int) -> list[int]:
    """Return how many rows each tile takes: fours and threes, two or one where there are no more (or five)."""
    whole, rest = divmod(count, MOST_ROWS)
    if rest == 0 or whole == 0:
        return [MOST_ROWS] * whole + [rest] * (rest > 0)
    tails = {1: [3, 2] if whole == 1 else [3, 3, 3], 2: [3, 3], 3: [MOST_ROWS, 3]}
    return [MOST_ROWS] * (whole - (2 if rest == 1 and whole > 1 else 1)) + tails[rest]


def _count_tiled_taps(axis: Axis, n: IntArray) -> IntArray:
    """Return the sum over nodes of the lines of y's gradient that reach their tile."""
    lines = axis.find_grad_lines(1)
    excess, total, first = axis.find_excess(lines), np.zeros_like(n), 0
    for width in split_rows(len(excess)):
        tile = excess[first : first + width]
        ends = tile[:, 2] + np.array(lines.counts)[tile[:, 1]] - 1
        total = total + width * (n + int(ends.max() - tile[:, 2].min()))
        first += width
    return total


def _list_counts(extents: Sequence[int], sizes: Sequence[Sequence[int]], whole: int = 1) -> list[IntArray]:
    """Return all counts of planes, rows and columns: even shares of the extents, columns by multiples of `whole`."""
    shares = [
        sorted({_split(extent, n, multiple) for n in most})
        for extent, most, multiple in zip(extents, sizes, (1, 1, whole), strict=True)
    ]
    return list(np.meshgrid(*shares, indexing="ij"))


def _split(extent: int, n: int, multiple: int) -> int:
    """Return the even share of an extent that is at most `n`, filled up to a multiple."""
    share = -(-extent // -(-extent // n))
    return min(extent, -(-share // multiple) * multiple)


def _fill_up(n: IntArray, multiple: int, least: int = 1) -> IntArray:
    """Return `least` multiples, or as many as hold n."""
    return np.maximum(least, -(-n // multiple)) * multiple


def _count_smoothing(
    problem: Problem, growth: Sequence[Growth], counts: Sequence[IntArray], line: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return the multiply-adds of the maps, which fill lines, with the packing, and their values, for arrays of counts.

    Along columns no inputs are shared. Without the growth along columns it is that along rows and planes, where cells
    are lines themselves.
    """
    inputs = [axis.inputs[0] * n + axis.inputs[1] for axis, n in zip(growth, counts, strict=False)]
    planes, rows = growth[0].lines(counts[0]), growth[1].lines(counts[1])
    smoothing, values = _PRODUCTS_OF_COPY * inputs[0] * inputs[1] * line, inputs[1] * line + planes * rows * line
    if len(growth) > 2:
        smoothing = inputs[0] * inputs[1] * (_PRODUCTS_OF_COPY * inputs[2] + 1.3 * line * growth[2].coefficients)
        values = values + inputs[1] * inputs[2]
    if problem.kernel.n_dims > 1:
        smoothing = smoothing + inputs[0] * rows * line * growth[1].coefficients
    if problem.kernel.n_dims > 2:
        smoothing = smoothing + planes * rows * line * growth[0].coefficients
        values = values + inputs[0] * rows * line
    return smoothing, values


def _choose(
    problem: Problem,
    growth: Sequence[Growth],
    counts: Sequence[IntArray],
    smoothing: FloatArray,
    work: FloatArray,
    values: FloatArray,
    room: _Room,
) -> BlockSize:
    nbytes = values * np.dtype(problem.dtype).itemsize
    cells = np.prod(np.stack(counts), axis=0)
    score = work / cells * (1 + _SPILL * np.maximum(0.0, np.log2(nbytes / room.free)))
    best = int(np.argmin(np.where(nbytes <= max(room.most, nbytes.min()), score, np.inf)))
    planes, rows, columns = (int(count.flat[best]) for count in counts)
    lines = [axis.inputs[0] * n + axis.inputs[1] for axis, n in zip(growth, (planes, rows), strict=False)]
    return BlockSize((planes, rows, columns), float(smoothing.flat[best]), int(values.flat[best]), lines[0] * lines[1])
