"""Every cell of the support is a tap: the window's cost, at close to the machine's rate.

x is packed once: padded, each row split by the phase of the column's stride, so that the outputs of a row read
neighbours whatever the stride. The gradient by x is the same loop over y's gradient, once for every phase of the
strides, with the taps that reach that phase.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.machine import Machine
from interpolated_kernels.padding import add_folded, fold_axis, padded_index
from interpolated_kernels.paths.common import Cost, n_taps, no_parts, padding_of_three, tap_rate, three, traffic
from interpolated_kernels.paths.direct.bands import Buffer, bands_of, firsts_of
from interpolated_kernels.paths.direct.layout import Pass, State, layout_of
from interpolated_kernels.paths.direct.tap_blocks import TapBlocks
from interpolated_kernels.paths.path import Part, Prepared, PreparedEngine
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes

__all__ = ["ACCURACY", "SUMS_IN", "TAKES", "cost", "parts", "prepare", "supports"]

ACCURACY = "componentwise"
TAKES = "dense"
SUMS_IN: str | None = None
parts = no_parts


def supports(problem: Problem) -> str | None:
    """Serve every problem on the CPU."""
    return None if problem.device == "cpu" else f"its loops run on the CPU, and the arrays are on {problem.device}"


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the taps at the rate of register tiles, the tiles' own work, and the packing of x."""
    itemsize = np.dtype(problem.dtype).itemsize
    sample_bytes = itemsize * problem.channels * int(np.prod(problem.padded))
    lanes, columns = count_lanes(problem.dtype), max(problem.out_spatial[-1], 1)
    whole = -(-columns // lanes) * lanes / columns
    vectors = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64)) * whole / lanes
    shares = len(problem.window) > 1 and problem.window[-2] >= 8 and bool(problem.support.all())
    seconds = 4 * machine.call_seconds + 8 * sample_bytes / itemsize / machine.bytes_per_second
    seconds += 1.25 * n_taps(problem) * whole / tap_rate(problem, machine, shares)
    seconds += machine.task_seconds * (problem.groups + 0.04 * vectors / min(4, problem.filters_per_group))
    return Cost(seconds + traffic(problem, machine), bands_of(problem).nbytes, f"componentwise, {problem.dtype}")


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Lay out the buffers and the taps of the three computations."""
    return PreparedDirect(layout_of(problem))


@dataclass(frozen=True, eq=False)
class PreparedDirect(PreparedEngine):
    """The buffers and taps of a problem."""

    state: State

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        weights, axis, counts = (
            _pack_weights(self.state.forward.taps, kernels.reshape(-1)),
            self.state.bands.axis,
            self.state.forward.counts,
        )
        for chunk, (band, first, count) in itertools.product(
            _chunks(self.state), firsts_of(counts[axis], self.state.bands.outputs)
        ):
            buffer, origin = self.state.x_source.buffer(band), [0, 0, 0]
            origin[axis] = first
            part = self.state.forward.band(axis, first, count)
            target = _Target(out[chunk].reshape(-1), out.shape[1], counts, origin)
            _gather(part, buffer.pack(x[chunk]), buffer, self.state.problem.channels, weights, target)

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        finite = np.isfinite(kernels)
        if finite.all():
            _grad_x_finite(self.state, grad_y, kernels, out)
            return
        _grad_x_finite(self.state, grad_y, np.where(finite, kernels, 0), out)
        reached = np.empty_like(out)
        _grad_x_finite(self.state, np.ones_like(grad_y), (~finite).astype(kernels.dtype), reached)
        out[reached > 0] = np.nan  # no product, no NaN

    def grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, in float64."""
        problem, taps, axis, lanes = (
            self.state.problem,
            self.state.forward.taps,
            self.state.bands.axis,
            count_lanes(x.dtype),
        )
        grad = np.zeros((problem.filters, problem.channels_per_group, *problem.window))
        bands = list(firsts_of(self.state.forward.counts[axis], self.state.bands.outputs))
        for chunk, (band, first, count) in itertools.product(_chunks(self.state), bands):
            x_buffer, y_buffer = self.state.x_source.buffer(band), self.state.y_rows(first, count, lanes)
            y_channel, y_plane, y_row = y_buffer.steps
            part = self.state.forward.band(axis, first, count)
            target = _Target(y_buffer.pack(grad_y[chunk]), problem.filters, (1, 1, 1), [0, 0, 0])
            layout = _layout(part, x_buffer, problem.channels, target, len(grad_y[chunk]), x.dtype)
            layout = layout._replace(
                y_start=(ROWS_OF_TILE - 1) * y_row, y_sample=y_channel * problem.filters, y_channel=y_channel,
                y_plane=y_plane, y_row=y_row,
            )  # fmt: skip
            packed = x_buffer.pack(x[chunk])
            loops.direct_grad_dense(
                target.values,
                packed,
                taps.offsets,
                taps.sources,
                taps.blocks,
                layout,
                taps.dense_step,
                grad.reshape(-1),
            )
            del packed, target  # before the next band's are made
        return grad


def _grad_x_finite(state: State, grad_y: FloatArray, dense: FloatArray, out: FloatArray) -> None:
    """Write the gradient by x band by band: into `out` itself, or a copy of the band that is folded into it."""
    problem, axes, axis = state.problem, state.axes, state.bands.axis
    regions = [own.region() for own in axes]
    folds = problem.padding_mode != "zeros"
    out[...] = 0
    cells_of_out = out.reshape(*out.shape[:2], *(own.size for own in axes))
    weights = [_pack_weights(part.taps, dense.reshape(-1)) for part in state.grad_x]
    shape = [high - low for low, high in regions]
    bands = list(firsts_of(shape[axis], state.bands.cells))
    for chunk, (band, first, count) in itertools.product(_chunks(state), bands):
        buffer = state.y_source.buffer(band)
        packed = buffer.pack(grad_y[chunk])
        parts = [part.band(axis, band * state.y_source.step, state.y_source.step) for part in state.grad_x]
        shape[axis] = count
        if folds:
            cells = np.zeros((*out[chunk].shape[:2], *shape), out.dtype)
            origin = [0, 0, 0]
        else:
            cells = cells_of_out[chunk]
            origin = [low - own.before for (low, _), own in zip(regions, axes, strict=True)]
            origin[axis] += first
        for part, part_weights in zip(parts, weights, strict=True):
            _write_phase(part, packed, buffer, problem, part_weights, cells, origin)
        del packed  # before the next band's is made
        if folds:
            _fold_band(cells, problem, cells_of_out[chunk], axis, first)


def _write_phase(
    part: Pass,
    packed: FloatArray,
    buffer: Buffer,
    problem: Problem,
    weights: FloatArray,
    cells: FloatArray,
    origin: list[int],
) -> None:
    """Write the cells of one phase of the strides: directly where they are neighbours."""
    if 0 in part.counts:
        return
    at = [start + first for start, first in zip(origin, part.at, strict=True)]
    channels, shape = cells.shape[1], (cells.shape[2], cells.shape[3], cells.shape[4])
    if part.steps == (1, 1, 1):
        _gather(part, packed, buffer, problem.filters, weights, _Target(cells.reshape(-1), channels, shape, at))
        return
    own = np.empty((*cells.shape[:2], *part.counts), cells.dtype)
    _gather(part, packed, buffer, problem.filters, weights, _Target(own.reshape(-1), channels, part.counts, [0, 0, 0]))
    where = (
        slice(start, start + (n - 1) * step + 1, step)
        for start, n, step in zip(at, part.counts, part.steps, strict=True)
    )
    cells[(slice(None), slice(None), *where)] = own


def _fold_band(cells: FloatArray, problem: Problem, out: FloatArray, axis: int, first: int) -> None:
    """Add a band of padded cells to the cells that they show; used cells may end before the padding does."""
    pairs, sizes = padding_of_three(problem), three(problem.spatial, 1)
    for other in range(axis + 1, 3):
        cells = fold_axis(cells, other + 2, sizes[other], *pairs[other], problem.padding_mode)
    index = padded_index(sizes[axis], *pairs[axis], problem.padding_mode)[first : first + cells.shape[axis + 2]]
    add_folded(out, cells, axis + 2, index)


@dataclass(frozen=True, eq=False)
class _Target:
    """A flat array `(samples, channels, *shape)`, and the place in it where a pass writes its first output."""

    values: FloatArray
    channels: int
    shape: tuple[int, int, int]
    origin: Sequence[int]


def _chunks(state: State) -> list[slice]:
    step = state.bands.samples
    return [slice(first, min(first + step, state.problem.batch)) for first in range(0, state.problem.batch, step)]


def _pack_weights(taps: TapBlocks, dense: FloatArray) -> FloatArray:
    packed = np.empty(taps.n_weights, dense.dtype)
    loops.pack_weights(np.ascontiguousarray(dense), taps.sources, taps.blocks, taps.dense_step, packed)
    return packed


def _layout(part: Pass, buffer: Buffer, channels: int, target: _Target, samples: int, dtype: Any) -> Any:
    planes, rows, columns = part.counts
    y_planes, y_rows, y_columns = target.shape
    y_channel, y_plane = y_planes * y_rows * y_columns, y_rows * y_columns
    y_start = target.origin[0] * y_plane + target.origin[1] * y_columns + target.origin[2]
    return loops.Layout(
        samples, planes, rows, columns, -(-columns // count_lanes(dtype)), channels * buffer.steps[0],
        *part.input_steps, y_start, y_channel * target.channels, y_channel, y_plane, y_columns,
    )  # fmt: skip


def _gather(
    part: Pass, packed: FloatArray, buffer: Buffer, channels: int, weights: FloatArray, target: _Target
) -> None:
    samples = len(packed) // (channels * buffer.steps[0])
    layout = _layout(part, buffer, channels, target, samples, packed.dtype)
    loops.direct_forward(packed, weights, part.taps.offsets, part.taps.blocks, layout, target.values)
