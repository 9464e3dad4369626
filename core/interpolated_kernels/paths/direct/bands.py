"""How the direct path cuts its work: bands along the first spatial axis, whose packed inputs fit into memory.

A band is some outputs in a row (planes of a volume, rows of an image, a piece of a line), and the inputs that they see.
All bands of an array are packed into buffers of one shape, so that taps lie at the same places in each.
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.filling import find_filling
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.common import count_kernels, extend_axes, limit_room
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes

_PACKED_BYTES = 32 * 2**20
_LINE_BYTES = 64


@dataclass(frozen=True)
class WindowAxis:
    """How a window moves along one axis: sizes of x, padded x, y and window, steps, and which padded cells show x."""

    size: int
    padded: int
    out: int
    window: int
    stride: int
    dilation: int
    shown: tuple[int, int]
    """The axis' part of `Problem.regions`."""

    @property
    def reach(self) -> int:
        """How many inputs of one phase a window spans, less one."""
        return (self.window - 1) * self.dilation // self.stride

    def count_read(self, n_outputs: int) -> int:
        """Return how many padded cells so many outputs read."""
        return (n_outputs - 1) * self.stride + (self.window - 1) * self.dilation + 1

    @property
    def region(self) -> tuple[int, int]:
        """The first and the end of the padded cells whose gradient is wanted: they show x, and outputs read them."""
        n_read, (low, high) = self.count_read(self.out), self.shown
        return min(low, n_read), min(high, n_read)

    def find_phase(self, phase: int) -> tuple[int, int]:
        """Return the first `q` and the number of cells `q * stride + phase` in the region."""
        low, high = self.region
        first = max(0, -((phase - low) // self.stride))
        return first, max(0, -((phase - high) // self.stride) - first)


WindowAxes = tuple[WindowAxis, WindowAxis, WindowAxis]
"""Planes, rows and columns."""


def describe_axes(problem: Problem) -> WindowAxes:
    """Return planes, rows and columns, the first ones of a single cell where the problem has fewer axes."""
    planes, rows, columns = (
        WindowAxis(
            size=size, padded=padded, out=out, window=window, stride=stride, dilation=dilation, shown=shown
        )
        for size, padded, out, window, stride, dilation, shown in zip(
            extend_axes(problem.spatial, 1), extend_axes(problem.padded, 1), extend_axes(problem.out_spatial, 1),
            extend_axes(problem.window, 1), extend_axes(problem.stride, 1), extend_axes(problem.dilation, 1),
            extend_axes(problem.regions, (0, 1)), strict=True,
        )
    )  # fmt: skip
    return planes, rows, columns


def fill_vectors(count: int, lanes: int) -> int:
    """Return a count filled up to whole vectors."""
    return -(-count // lanes) * lanes


@dataclass(frozen=True, eq=False)
class Buffer:
    """A packed copy of `(samples, channels, *spatial)`: the index of every plane, row and column, -1 for zero."""

    planes: IntArray
    rows: IntArray
    columns: IntArray

    @property
    def steps(self) -> tuple[int, int, int]:
        """The distance between channels, planes and rows, in values."""
        row = len(self.columns)
        return row * len(self.rows) * len(self.planes), row * len(self.rows), row

    def pack(self, source: FloatArray) -> FloatArray:
        """Return the packed copy, flat."""
        packed = _allocate_aligned(source.shape[0] * source.shape[1] * self.steps[0], source.dtype)
        copies = loops.Copies(*extend_axes(source.shape[2:], 1), self.planes, self.rows, self._runs, len(self.columns))
        loops.pack(np.ascontiguousarray(source).reshape(-1), copies, packed)
        return packed

    @functools.cached_property
    def _runs(self) -> IntArray:
        return _find_runs(self.columns)


def _find_runs(columns: IntArray) -> IntArray:
    """Return where a run of evenly spaced columns, or of zeros, begins, its first column (or -1), step and length."""
    steps, is_zero = np.diff(columns), columns < 0
    starts = np.flatnonzero((steps[1:] != steps[:-1]) | (is_zero[2:] != is_zero[1:-1])) + 2
    if len(columns) > 1 and is_zero[0] != is_zero[1]:
        starts = np.append(1, starts)
    starts = np.append(0, starts) if len(columns) else starts
    counts = np.diff(np.append(starts, len(columns)))
    steps = np.append(steps, 1)[starts]
    return np.stack([starts, columns[starts], np.where(counts > 1, steps, 1), counts], axis=1)


def _allocate_aligned(count: int, dtype: np.dtype[np.generic]) -> FloatArray:
    """Return an uninitialised flat array that starts on a cache line, so that whole vectors of it do too."""
    spare = _LINE_BYTES // dtype.itemsize
    raw = np.empty(count + spare, dtype)
    first = -raw.__array_interface__["data"][0] % _LINE_BYTES // dtype.itemsize
    return raw[first : first + count]


@dataclass(frozen=True, eq=False)
class Source:
    """The buffers of an array, band by band: what a whole packed copy would show, and the piece that a band does.

    A table is `(phases, places)`: places of one phase are neighbours in the buffer.
    """

    tables: tuple[IntArray, IntArray, IntArray]
    axis: int
    step: int
    """Places from one band's first to the next one's."""
    length: int
    """Places of a band."""

    def cut(self, band: int) -> Buffer:
        """Return the buffer of a band; beyond the tables it shows zeros."""
        return self._cut(band) if band > 0 else self._first

    @functools.cached_property
    def _first(self) -> Buffer:
        return self._cut(0)

    def _cut(self, band: int) -> Buffer:
        table = self.tables[self.axis][:, band * self.step : band * self.step + self.length]
        short = self.length - table.shape[1]
        pieces = list(self.tables)
        # all bands have the shape of the first one, so that one table of offsets serves them
        pieces[self.axis] = np.pad(table, ((0, 0), (0, short)), constant_values=-1) if short else table
        return Buffer(*(piece.ravel() for piece in pieces))


@dataclass(frozen=True)
class Bands:
    """How a problem is cut: some samples at a time, or one of them in bands of outputs or of x's cells.

    `axis` is that of the bands; `outputs` those of a band; `cells` the padded cells of a band of the gradient by x, a
    multiple of the stride; `nbytes` what packed copies and a band of the gradient take at most.
    """

    samples: int
    axis: int
    outputs: int
    cells: int
    nbytes: int


def find_bands(problem: Problem) -> Bands:
    """Return the largest bands that fit: whole samples where one of them does."""
    axes, itemsize, banded = describe_axes(problem), np.dtype(problem.dtype).itemsize, 3 - len(problem.spatial)
    beside = find_filling(problem.kernel).peak_bytes(count_kernels(problem))
    room, n_outputs = limit_room(problem, _PACKED_BYTES, beside), axes[banded].out
    (low, high), stride = axes[banded].region, axes[banded].stride

    def count_bytes(outputs: int) -> int:
        sizes = [axis.out if index != banded else min(outputs, axis.out) for index, axis in enumerate(axes)]
        forward = _count_forward_values(problem, axes, sizes)
        return itemsize * max(forward, _count_backward_values(problem, axes, banded, outputs))

    # in strides of x's cells: a region that begins amid a stride touches one more than it fills
    whole = max(n_outputs, -(-(high - low) // stride) + 1)
    if count_bytes(whole) <= room:
        samples = max(1, min(problem.batch, room // max(count_bytes(whole), 1)))
        return Bands(samples, banded, n_outputs, whole * stride, samples * count_bytes(whole))
    outputs = max(1, bisect.bisect_right(range(1, whole + 1), room, key=count_bytes))
    return Bands(1, banded, min(outputs, n_outputs), outputs * stride, count_bytes(outputs))


def _count_forward_values(problem: Problem, axes: WindowAxes, counts: list[int]) -> int:
    """Return the values of x packed for so many outputs, and of y's gradient packed beside it."""
    lanes = count_lanes(problem.dtype)
    planes, rows = axes[0].count_read(counts[0]), axes[1].count_read(counts[1]) + ROWS_OF_TILE * axes[1].stride
    columns = axes[2].stride * (fill_vectors(counts[2], lanes) + axes[2].reach)
    # the weights' gradient reads y's gradient beside x, with rows of zeros above and below
    y_values = counts[0] * (counts[1] + 2 * ROWS_OF_TILE) * fill_vectors(counts[2], lanes)
    return problem.channels * planes * rows * columns + problem.filters * y_values


def _count_backward_values(problem: Problem, axes: WindowAxes, banded: int, outputs: int) -> int:
    """Return the values of y's gradient packed for `outputs` strides of x's cells, and of copies of these cells."""
    borders = (0, ROWS_OF_TILE, count_lanes(problem.dtype))
    packed, cells = problem.filters, problem.channels
    for index, (axis, border) in enumerate(zip(axes, borders, strict=True)):
        most = outputs if index == banded else axis.padded
        places = [(first, min(count, most)) for first, count in map(axis.find_phase, range(axis.stride))]
        packed *= axis.reach + border + max(first + count for first, count in places)
        cells *= max(count for _, count in places) * axis.stride
    # neighbours are written into the result itself; phases, and what is folded, wait in copies
    in_place = not any(problem.folds) and max(problem.stride) == 1
    return packed + (0 if in_place else 3 * cells)


def split_bands(count: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, first and count of every band of `step` among `count`."""
    for number, first in enumerate(range(0, count, step)):
        yield number, first, min(step, count - first)
