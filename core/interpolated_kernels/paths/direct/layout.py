"""How the direct path lays out its work: packed buffers, band by band, and the passes of its gather loop."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
from interpolated_kernels.paths.direct.bands import (
    Axis,
    Bands,
    Buffer,
    Source,
    axes_of,
    bands_of,
    whole_vectors,
)
from interpolated_kernels.paths.direct.tap_blocks import AxisTaps, Operands, TapBlocks, find_blocks
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes


@dataclass(frozen=True, eq=False)
class Pass:
    """One run of the gather loop over a band: the taps, and where its outputs lie."""

    taps: TapBlocks
    counts: tuple[int, int, int]
    """Outputs along planes, rows and columns, of all bands together."""
    input_steps: tuple[int, int]
    """The distance between the inputs of neighbouring planes and rows of outputs."""
    at: tuple[int, int, int]
    """The first output in the whole result."""
    steps: tuple[int, int, int]
    """The distance between neighbouring outputs in the whole result."""

    def band(self, axis: int, first: int, count: int) -> Pass:
        """Return the part of a band that starts at output `first`: at most `count` of them along the axis."""
        counts = list(self.counts)
        counts[axis] = max(0, min(count, counts[axis] - first))
        return replace(self, counts=(counts[0], counts[1], counts[2]))


@dataclass(frozen=True, eq=False)
class State:
    """What a plan keeps: how it is cut, and sources and passes of the three computations."""

    problem: Problem
    bands: Bands
    axes: tuple[Axis, Axis, Axis]
    x_source: Source
    y_source: Source
    forward: Pass
    grad_x: tuple[Pass, ...]

    def y_rows(self, first: int, count: int, lanes: int) -> Buffer:
        """Return the buffer of y's gradient beside packed x: a band's rows with zeros around, in whole vectors."""
        firsts, counts = [0, 0, 0], [axis.out for axis in self.axes]
        firsts[self.bands.axis], counts[self.bands.axis] = first, count
        indices = [at + np.arange(n) for at, n in zip(firsts, counts, strict=True)]
        border, tail = ROWS_OF_TILE - 1, whole_vectors(counts[2], lanes) - counts[2]
        rows = np.pad(indices[1], border, constant_values=-1)
        return Buffer(indices[0], rows, np.pad(indices[2], (0, tail), constant_values=-1))


def layout_of(problem: Problem) -> State:
    """Lay out the buffers and the taps of the three computations."""
    axes, bands, lanes = axes_of(problem), bands_of(problem), count_lanes(problem.dtype)
    x_source, forward_pass = _prepare_forward(problem, axes, bands, lanes)
    y_source, passes = _prepare_grad_x(problem, axes, bands, lanes)
    return State(problem, bands, axes, x_source, y_source, forward_pass, passes)


def _prepare_forward(problem: Problem, axes: tuple[Axis, Axis, Axis], bands: Bands, lanes: int) -> tuple[Source, Pass]:
    planes, rows, columns = axes
    n_columns = bands.outputs if bands.axis == 2 else columns.out
    per_phase = whole_vectors(n_columns, lanes) + columns.reach
    n_places = per_phase + columns.out - n_columns
    cells = np.arange(n_places)[None, :] * columns.stride + np.arange(columns.stride)[:, None]
    shown = columns.index()
    column_table = np.where(cells < len(shown), shown[np.minimum(cells, len(shown) - 1)], -1)
    border = np.full(ROWS_OF_TILE * rows.stride, -1)
    tables = (planes.index()[None], np.concatenate([rows.index(), border])[None], column_table)
    own = axes[bands.axis]
    lengths = (own.used(bands.outputs), own.used(bands.outputs) + len(border), per_phase)
    step = bands.outputs * (1 if bands.axis == 2 else own.stride)
    source = Source(tables, bands.axis, step, lengths[bands.axis])
    channel_step, plane_step, row_step = source.buffer(0).steps
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
    steps = (planes.stride * plane_step, rows.stride * row_step)
    return source, Pass(blocks, (planes.out, rows.out, columns.out), steps, (0, 0, 0), (1, 1, 1))


def _prepare_grad_x(
    problem: Problem, axes: tuple[Axis, Axis, Axis], bands: Bands, lanes: int
) -> tuple[Source, tuple[Pass, ...]]:
    """Return y's gradient as it is packed, and a pass for each phase of x's cells, bands being whole strides."""
    phases = [[(phase, *axis.phase(phase)) for phase in range(axis.stride)] for axis in axes]
    more = (0, ROWS_OF_TILE, lanes)
    lengths = [
        axis.reach + max(first + count for _, first, count in some) + beyond
        for axis, some, beyond in zip(axes, phases, more, strict=True)
    ]
    tables = [_centred(axis.reach, axis.out, length)[None] for axis, length in zip(axes, lengths, strict=True)]
    own, step = axes[bands.axis], bands.cells // axes[bands.axis].stride
    length = own.reach + max(first + min(count, step) for _, first, count in phases[bands.axis]) + more[bands.axis]
    source = Source((tables[0], tables[1], tables[2]), bands.axis, step, length)
    channel_step, plane_step, row_step = source.buffer(0).steps
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
            first * axis.stride + phase - axis.region()[0] for axis, (phase, first, _) in zip(axes, chosen, strict=True)
        )
        blocks = find_blocks(support, taps, operands, row_step)
        strides = (axes[0].stride, axes[1].stride, axes[2].stride)
        passes.append(Pass(blocks, counts, (plane_step, row_step), (at[0], at[1], at[2]), strides))
    return source, tuple(passes)


def _centred(before: int, count: int, length: int) -> IntArray:
    """Return the index of an axis with `before` zeros, then the cells, then zeros up to `length`."""
    index = np.arange(length) - before
    return np.where((index >= 0) & (index < count), index, -1)


def _by_channel(problem: Problem) -> BoolArray:
    """Return the support with channels first: `(1 or channels, 1 or filters of a group, *window)`."""
    filters, channels = problem.support.shape[:2]
    if filters == 1:
        by_channel = problem.support.reshape(channels, 1, *problem.window)
        return by_channel if channels == 1 else np.concatenate([by_channel] * problem.groups)
    shape = (problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)
    by_group = np.broadcast_to(problem.support, (filters, problem.channels_per_group, *problem.window)).reshape(shape)
    return np.swapaxes(by_group, 1, 2).reshape(problem.channels, problem.filters_per_group, *problem.window)


def _phase_taps(axis: Axis, phase: int, first: int, step: int) -> AxisTaps:
    """Return the taps that reach the cells of one phase, in the order of what they read."""
    cells = np.arange(axis.window)[::-1]
    cells = cells[cells * axis.dilation % axis.stride == phase % axis.stride]
    back = (cells * axis.dilation - phase) // axis.stride
    return AxisTaps(cells, (first + axis.reach - back) * step)
