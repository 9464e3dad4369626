"""The passes of the direct path's loops: which taps each runs over, and where it reads and writes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.common import index_axes
from interpolated_kernels.paths.direct.bands import Bands, Source, WindowAxes, WindowAxis, fill_vectors
from interpolated_kernels.paths.direct.tap_blocks import AxisTaps, Operands, find_blocks
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes


@dataclass(frozen=True, eq=False)
class Pass:
    """One run of the forward loop over a band: the taps, and where its outputs lie."""

    taps: loops.DirectTaps
    counts: tuple[int, int, int]
    """Outputs along planes, rows and columns, of all bands together."""
    input_steps: tuple[int, int]
    """The distance between the inputs of neighbouring planes and rows of outputs."""
    first: tuple[int, int, int]
    """The first output in the whole result."""
    steps: tuple[int, int, int]
    """The distance between neighbouring outputs in the whole result."""

    def cut(self, axis: int, first: int, count: int) -> Pass:
        """Return the part of a band that starts at output `first`: at most `count` of them along the axis."""
        counts = list(self.counts)
        counts[axis] = max(0, min(count, counts[axis] - first))
        if counts[axis] == self.counts[axis]:
            return self  # a small call has one band, and notices what a copy takes
        return replace(self, counts=(counts[0], counts[1], counts[2]))


def prepare_forward(problem: Problem, axes: WindowAxes, bands: Bands) -> tuple[Source, Pass]:
    """Return x as it is packed, and the pass of y."""
    planes, rows, columns = axes
    source = _pack_x(problem, axes, bands)
    channel_step, plane_step, row_step = source.cut(0).steps
    phase_step = len(source.cut(0).columns) // columns.stride
    reads = [np.arange(axis.window) * axis.dilation for axis in axes]
    offsets = (
        reads[0] * plane_step,
        reads[1] * row_step,
        reads[2] % columns.stride * phase_step + reads[2] // columns.stride,
    )
    taps = [AxisTaps(np.arange(axis.window), offset) for axis, offset in zip(axes, offsets, strict=True)]
    n_cells = int(np.prod(problem.window))
    outs, ins = problem.filters_per_group, problem.channels_per_group
    operands = Operands(
        groups=problem.groups,
        outs=outs,
        ins=ins,
        x_step=channel_step,
        dense_group_step=outs * ins * n_cells,
        dense_out_step=ins * n_cells,
        dense_in_step=n_cells,
    )
    has_tap = problem.support.reshape(*problem.support.shape[:2], *(axis.window for axis in axes))
    blocks = find_blocks(has_tap, taps, operands, rows.stride * row_step)
    steps = (planes.stride * plane_step, rows.stride * row_step)
    return source, Pass(
        taps=blocks, counts=(planes.out, rows.out, columns.out), input_steps=steps, first=(0, 0, 0), steps=(1, 1, 1)
    )


def _pack_x(problem: Problem, axes: WindowAxes, bands: Bands) -> Source:
    """Return x padded, its columns by their phase, with a border of rows and columns that tiles read in vain."""
    _, rows, columns = axes
    n_columns = bands.outputs if bands.axis == 2 else columns.out
    per_phase = fill_vectors(n_columns, count_lanes(problem.dtype)) + columns.reach
    n_places = per_phase + columns.out - n_columns
    cells = np.arange(n_places)[None, :] * columns.stride + np.arange(columns.stride)[:, None]
    by_plane, by_row, shown = (
        index[: axis.count_read(axis.out)] for index, axis in zip(index_axes(problem), axes, strict=True)
    )
    column_table = np.where(cells < len(shown), shown[np.minimum(cells, len(shown) - 1)], -1)
    # the last tile of rows reads a whole tile's inputs, and masks what it writes
    border = np.full(ROWS_OF_TILE * rows.stride, -1)
    tables = (by_plane[None], np.concatenate([by_row, border])[None], column_table)
    banded = axes[bands.axis]
    lengths = (banded.count_read(bands.outputs), banded.count_read(bands.outputs) + len(border), per_phase)
    step = bands.outputs * (1 if bands.axis == 2 else banded.stride)
    return Source(tables, bands.axis, step, lengths[bands.axis])


def prepare_grad_x(problem: Problem, axes: WindowAxes, bands: Bands) -> tuple[Source, tuple[Pass, ...]]:
    """Return y's gradient as it is packed, and a pass for each phase of x's cells, bands being whole strides."""
    phases = [[(phase, *axis.find_phase(phase)) for phase in range(axis.stride)] for axis in axes]
    source = _pack_grad_y(problem, axes, bands)
    channel_step, plane_step, row_step = source.cut(0).steps
    n_cells = int(np.prod(problem.window))
    outs, ins = problem.channels_per_group, problem.filters_per_group
    operands = Operands(
        groups=problem.groups,
        outs=outs,
        ins=ins,
        x_step=channel_step,
        dense_group_step=outs * ins * n_cells,
        dense_out_step=n_cells,
        dense_in_step=outs * n_cells,
    )
    has_tap = _swap_channels(problem)
    has_tap = has_tap.reshape(*has_tap.shape[:2], *(axis.window for axis in axes))
    strides = (axes[0].stride, axes[1].stride, axes[2].stride)
    passes = []
    # a cell meets the taps whose distance has its phase: one set of taps, and one pass, for each combination
    for chosen in itertools.product(*phases):
        counts = (chosen[0][2], chosen[1][2], chosen[2][2])
        if 0 in counts:
            continue
        taps = [
            _find_phase_taps(axis, phase, first, step)
            for axis, (phase, first, _), step in zip(axes, chosen, (plane_step, row_step, 1), strict=True)
        ]
        plane, row, column = (
            first * axis.stride + phase - axis.region[0] for axis, (phase, first, _) in zip(axes, chosen, strict=True)
        )
        blocks = find_blocks(has_tap, taps, operands, row_step)
        steps = (plane_step, row_step)
        passes.append(Pass(taps=blocks, counts=counts, input_steps=steps, first=(plane, row, column), steps=strides))
    return source, tuple(passes)


def _pack_grad_y(problem: Problem, axes: WindowAxes, bands: Bands) -> Source:
    """Return y's gradient with zeros around, as far as windows and whole tiles reach."""
    borders = (0, ROWS_OF_TILE, count_lanes(problem.dtype))
    tables = []
    for axis, border in zip(axes, borders, strict=True):
        end = max(first + count for first, count in map(axis.find_phase, range(axis.stride)))
        tables.append(_centre(axis.reach, axis.out, axis.reach + end + border)[None])
    banded, border = axes[bands.axis], borders[bands.axis]
    step = bands.cells // banded.stride
    end = max(first + min(count, step) for first, count in map(banded.find_phase, range(banded.stride)))
    return Source((tables[0], tables[1], tables[2]), bands.axis, step, banded.reach + end + border)


def _centre(before: int, count: int, length: int) -> IntArray:
    """Return the index of an axis with `before` zeros, then the cells, then zeros up to `length`."""
    index = np.arange(length) - before
    return np.where((index >= 0) & (index < count), index, -1)


def _swap_channels(problem: Problem) -> BoolArray:
    """Return which cells are taps, channels first: `(1 or channels, 1 or filters of a group, *window)`."""
    filters, channels = problem.support.shape[:2]
    if filters == 1:
        by_channel = problem.support.reshape(channels, 1, *problem.window)
        return by_channel if channels == 1 else np.concatenate([by_channel] * problem.groups)
    shape = (problem.groups, problem.filters_per_group, problem.channels_per_group, *problem.window)
    by_group = np.broadcast_to(problem.support, (filters, problem.channels_per_group, *problem.window)).reshape(shape)
    return np.swapaxes(by_group, 1, 2).reshape(problem.channels, problem.filters_per_group, *problem.window)


def _find_phase_taps(axis: WindowAxis, phase: int, first: int, step: int) -> AxisTaps:
    """Return the taps that reach the cells of one phase, in the order of what they read."""
    # backwards, so that what is read comes forwards as in the pass of y, and rows of tiles can share it
    cells = np.arange(axis.window)[::-1]
    cells = cells[cells * axis.dilation % axis.stride == phase % axis.stride]
    back = (cells * axis.dilation - phase) // axis.stride
    return AxisTaps(cells, (first + axis.reach - back) * step)
