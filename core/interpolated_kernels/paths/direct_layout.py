"""How the direct path lays out its work: packed buffers, axes with their phases, and the passes of its gather loop."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.geometry import Problem, padded_index
from interpolated_kernels.paths.common import padding_of_three, three
from interpolated_kernels.paths.tap_blocks import AxisTaps, Operands, TapBlocks, find_blocks

_PACKED_BYTES = 32 * 2**20
_LINE_BYTES = 64


def samples_of_chunk(sample_bytes: int) -> int:
    """Return how many samples are packed at once."""
    return max(1, _PACKED_BYTES // max(sample_bytes, 1))


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
        from interpolated_kernels import loops

        images = source.reshape(-1, *three(source.shape[2:], 1))
        shape = (len(images), len(self.planes), len(self.rows), len(self.columns))
        packed = _aligned(int(np.prod(shape, dtype=np.int64)), source.dtype).reshape(shape)
        loops.pack(images, self.planes, self.rows, self.columns, packed)
        return packed.reshape(-1)


def _aligned(count: int, dtype: np.dtype[Any]) -> FloatArray:
    """Return an uninitialised flat array that starts on a cache line, so that whole vectors of it do too."""
    spare = _LINE_BYTES // dtype.itemsize
    raw = np.empty(count + spare, dtype)
    first = -raw.__array_interface__["data"][0] % _LINE_BYTES // dtype.itemsize
    return raw[first : first + count]


@dataclass(frozen=True, eq=False)
class Pass:
    """One run of the gather loop: the taps, and where its outputs lie."""

    taps: TapBlocks
    counts: tuple[int, int, int]
    """Outputs along planes, rows and columns."""
    input_steps: tuple[int, int]
    """The distance between the inputs of neighbouring planes and rows of outputs."""
    at: tuple[slice, ...]
    """The outputs in the whole result."""


@dataclass(frozen=True, eq=False)
class State:
    """What a plan keeps: buffers and passes of the three computations."""

    problem: Problem
    x_buffer: Buffer
    y_buffer: Buffer
    y_rows_buffer: Buffer
    forward: Pass
    grad_x: tuple[Pass, ...]
    grad_x_region: tuple[tuple[int, int], ...]
    chunk: int


@dataclass(frozen=True)
class _Axis:
    """One axis of the problem: sizes, steps, and what stands in the padding."""

    size: int
    out: int
    window: int
    stride: int
    dilation: int
    before: int
    after: int
    mode: str

    @property
    def reach(self) -> int:
        """How many inputs of one phase a window spans, less one."""
        return (self.window - 1) * self.dilation // self.stride

    @property
    def used(self) -> int:
        """The padded cells that some output reads up to."""
        return (self.out - 1) * self.stride + (self.window - 1) * self.dilation + 1

    def index(self) -> IntArray:
        """Return, for every used padded cell, the cell of x that it shows or -1."""
        return padded_index(self.size, self.before, self.after, self.mode)[: self.used]

    def region(self) -> tuple[int, int]:
        """Return the padded cells whose gradient is wanted: with zeros around x, those of x alone."""
        if self.mode != "zeros":
            return 0, self.used
        return min(self.before, self.used), min(self.before + self.size, self.used)

    def phase(self, phase: int) -> tuple[int, int]:
        """Return the first `q` and the number of cells `q * stride + phase` in the region."""
        low, high = self.region()
        first = max(0, -((phase - low) // self.stride))
        return first, max(0, -((phase - high) // self.stride) - first)


def axes_of(problem: Problem) -> tuple[_Axis, ...]:
    """Return planes, rows and columns, the first ones of a single cell where the problem has fewer axes."""
    return tuple(
        _Axis(size, out, window, stride, dilation, before, after, problem.padding_mode)
        for size, out, window, stride, dilation, (before, after) in zip(
            three(problem.spatial, 1), three(problem.out_spatial, 1), three(problem.window, 1),
            three(problem.stride, 1), three(problem.dilation, 1),
            padding_of_three(problem), strict=True,
        )
    )  # fmt: skip


def layout_of(problem: Problem) -> State:
    """Lay out the buffers and the taps of the three computations."""
    from interpolated_kernels import loops

    axes = axes_of(problem)
    lanes = loops.lanes_of(problem.dtype)
    x_buffer, forward_pass = _prepare_forward(problem, axes, lanes)
    y_buffer, passes = _prepare_grad_x(problem, axes, lanes)
    border = loops.ROWS_OF_TILE - 1
    _, rows, columns = axes
    y_rows_buffer = Buffer(
        np.arange(axes[0].out),
        _centred(border, rows.out, rows.out + 2 * border),
        _centred(0, columns.out, _whole_vectors(columns.out, lanes)),
    )
    sample_bytes = np.dtype(problem.dtype).itemsize * max(
        problem.channels * x_buffer.steps[0], problem.filters * y_buffer.steps[0]
    )
    regions = tuple(axis.region() for axis in axes)
    return State(
        problem, x_buffer, y_buffer, y_rows_buffer, forward_pass, passes, regions, samples_of_chunk(sample_bytes)
    )


def _whole_vectors(count: int, lanes: int) -> int:
    return -(-count // lanes) * lanes


def _centred(before: int, count: int, length: int) -> IntArray:
    """Return the index of an axis with `before` zeros, then the cells, then zeros up to `length`."""
    index = np.arange(length) - before
    return np.where((index >= 0) & (index < count), index, -1)


def _prepare_forward(problem: Problem, axes: tuple[_Axis, ...], lanes: int) -> tuple[Buffer, Pass]:
    from interpolated_kernels import loops

    planes, rows, columns = axes
    per_phase = _whole_vectors(columns.out, lanes) + columns.reach
    cells = np.arange(per_phase)[None, :] * columns.stride + np.arange(columns.stride)[:, None]
    shown = columns.index()
    column_index = np.where(cells < len(shown), shown[np.minimum(cells, len(shown) - 1)], -1).ravel()
    row_index = np.concatenate([rows.index(), np.full(loops.ROWS_OF_TILE * rows.stride, -1)])
    buffer = Buffer(planes.index(), row_index, column_index)
    channel_step, plane_step, row_step = buffer.steps
    reads = [np.arange(axis.window) * axis.dilation for axis in axes]
    offsets = (
        reads[0] * plane_step,
        reads[1] * row_step,
        reads[2] % columns.stride * per_phase + reads[2] // columns.stride,
    )
    taps = [AxisTaps(np.arange(axis.window), offset) for axis, offset in zip(axes, offsets, strict=True)]
    n_cells = int(np.prod(problem.window))
    outs, ins = problem.filters_per_group, problem.channels_per_group
    operands = Operands(problem.groups, outs, ins, channel_step, outs * ins * n_cells, ins * n_cells, n_cells)
    support = problem.support.reshape(*problem.support.shape[:2], *(axis.window for axis in axes))
    blocks = find_blocks(support, taps, operands, rows.stride * row_step)
    whole = (slice(None),) * 3
    return buffer, Pass(
        blocks, (planes.out, rows.out, columns.out), (planes.stride * plane_step, rows.stride * row_step), whole
    )


def _prepare_grad_x(problem: Problem, axes: tuple[_Axis, ...], lanes: int) -> tuple[Buffer, tuple[Pass, ...]]:
    from interpolated_kernels import loops

    phases = [[(phase, *axis.phase(phase)) for phase in range(axis.stride)] for axis in axes]
    lengths = [
        axis.reach + max(first + count for _, first, count in some) for axis, some in zip(axes, phases, strict=True)
    ]
    lengths[1] += loops.ROWS_OF_TILE
    lengths[2] += lanes
    buffer = Buffer(*(_centred(axis.reach, axis.out, length) for axis, length in zip(axes, lengths, strict=True)))
    channel_step, plane_step, row_step = buffer.steps
    n_cells = int(np.prod(problem.window))
    outs, ins = problem.channels_per_group, problem.filters_per_group
    operands = Operands(problem.groups, outs, ins, channel_step, outs * ins * n_cells, n_cells, outs * n_cells)
    support = _by_channel(problem)
    support = support.reshape(*support.shape[:2], *(axis.window for axis in axes))
    passes = []
    for chosen in itertools.product(*phases):
        counts = (chosen[0][2], chosen[1][2], chosen[2][2])
        if 0 in counts:
            continue
        taps = [
            _phase_taps(axis, phase, first, step)
            for axis, (phase, first, _), step in zip(axes, chosen, (plane_step, row_step, 1), strict=True)
        ]
        at = tuple(
            slice(first * axis.stride + phase - axis.region()[0], None, axis.stride)
            for axis, (phase, first, _) in zip(axes, chosen, strict=True)
        )
        blocks = find_blocks(support, taps, operands, row_step)
        passes.append(Pass(blocks, counts, (plane_step, row_step), at))
    return buffer, tuple(passes)


def _by_channel(problem: Problem) -> BoolArray:
    """Return the support with channels first: `(1 or channels, 1 or filters of a group, *window)`."""
    filters, channels = problem.support.shape[:2]
    if filters == 1:
        by_channel = problem.support.reshape(channels, 1, *problem.window)
        return by_channel if channels == 1 else np.concatenate([by_channel] * problem.groups)
    shape = (problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)
    by_group = np.broadcast_to(problem.support, (filters, problem.channels_per_group, *problem.window)).reshape(shape)
    return np.swapaxes(by_group, 1, 2).reshape(problem.channels, problem.filters_per_group, *problem.window)


def _phase_taps(axis: _Axis, phase: int, first: int, step: int) -> AxisTaps:
    """Return the taps that reach the cells of one phase, in the order of what they read."""
    cells = np.arange(axis.window)[::-1]
    cells = cells[cells * axis.dilation % axis.stride == phase % axis.stride]
    back = (cells * axis.dilation - phase) // axis.stride
    return AxisTaps(cells, (first + axis.reach - back) * step)
