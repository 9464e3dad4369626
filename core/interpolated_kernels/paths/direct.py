"""Every cell of the support is a tap: the window's cost, at close to the machine's rate.

x is packed once: padded, each row split by the phase of the column's stride, so that the outputs of a row read
neighbours whatever the stride. The gradient by x is the same loop over y's gradient, once for every phase of the
strides, with the taps that reach that phase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.geometry import Problem
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost, n_taps, no_parts, pad_transpose, tap_rate, traffic
from interpolated_kernels.paths.direct_layout import Buffer, Pass, State, axes_of, layout_of, samples_of_chunk
from interpolated_kernels.paths.tap_blocks import TapBlocks

__all__ = ["ACCURACY", "SUMS_IN", "TAKES", "cost", "forward", "grad_dense", "grad_x", "parts", "prepare", "supports"]

ACCURACY = "componentwise"
TAKES = "dense"
SUMS_IN = None
parts = no_parts


def supports(problem: Problem) -> str | None:
    """Serve every problem on the CPU."""
    return None if problem.device == "cpu" else f"its loops run on the CPU, and the arrays are on {problem.device}"


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the taps at the rate of register tiles, the tiles' own work, and the packing of x."""
    itemsize = np.dtype(problem.dtype).itemsize
    sample_bytes = itemsize * problem.channels * int(np.prod(problem.padded))
    lanes, columns = 32 // itemsize, max(problem.out_spatial[-1], 1)
    whole = -(-columns // lanes) * lanes / columns
    vectors = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64)) * whole / lanes
    shares = len(problem.window) > 1 and problem.window[-2] >= 8 and bool(problem.support.all())
    seconds = 4 * machine.call_seconds + 8 * sample_bytes / itemsize / machine.bytes_per_second
    seconds += 1.25 * n_taps(problem) * whole / tap_rate(problem, machine, shares)
    seconds += machine.task_seconds * (problem.groups + 0.04 * vectors / min(4, problem.filters_per_group))
    seconds += traffic(problem, machine)
    return Cost(
        seconds, sample_bytes * min(problem.batch, samples_of_chunk(sample_bytes)), f"componentwise, {problem.dtype}"
    )


def prepare(problem: Problem, parts: tuple[Any, ...] = ()) -> State:
    """Lay out the buffers and the taps of the three computations."""
    return layout_of(problem)


def forward(state: State, x: FloatArray, dense: FloatArray, out: FloatArray) -> None:
    """Write y."""
    problem = state.problem
    weights = _pack_weights(state.forward.taps, dense.reshape(-1))
    for chunk in _chunks(state):
        _gather(state.forward, state.x_buffer.pack(x[chunk]), state.x_buffer, problem.channels, weights, out[chunk])


def grad_x(state: State, grad_y: FloatArray, dense: FloatArray, out: FloatArray) -> None:
    """Write the gradient by x."""
    finite = np.isfinite(dense)
    if finite.all():
        out[...] = _grad_x_dense(state, grad_y, dense)
        return
    out[...] = _grad_x_dense(state, grad_y, np.where(finite, dense, 0))
    out[_grad_x_dense(state, np.ones_like(grad_y), (~finite).astype(dense.dtype)) > 0] = np.nan  # no product, no NaN


def _grad_x_dense(state: State, grad_y: FloatArray, dense: FloatArray) -> FloatArray:
    problem = state.problem
    low, high = zip(*state.grad_x_region, strict=True)
    region = np.zeros((problem.batch, problem.channels, *np.subtract(high, low)), dense.dtype)
    weights = [_pack_weights(part.taps, dense.reshape(-1)) for part in state.grad_x]
    for chunk in _chunks(state):
        packed = state.y_buffer.pack(grad_y[chunk])
        for part, part_weights in zip(state.grad_x, weights, strict=True):
            if len(state.grad_x) == 1 and part.counts == region.shape[2:]:
                _gather(part, packed, state.y_buffer, problem.filters, part_weights, region[chunk])
                continue
            cells = np.empty((*region[chunk].shape[:2], *part.counts), region.dtype)
            _gather(part, packed, state.y_buffer, problem.filters, part_weights, cells)
            region[chunk][(slice(None), slice(None), *part.at)] = cells
    return _place(region, state)


def _place(region: FloatArray, state: State) -> FloatArray:
    """Return the gradient by x from the gradient of the region of padded cells that was computed."""
    problem = state.problem
    axes = axes_of(problem)
    if problem.padding_mode == "zeros":
        target, starts = tuple(axis.size for axis in axes), [axis.region()[0] - axis.before for axis in axes]
    else:
        target, starts = tuple(axis.size + axis.before + axis.after for axis in axes), [0, 0, 0]
    if region.shape[2:] != target:
        placed = np.zeros((*region.shape[:2], *target), region.dtype)
        cells = tuple(slice(start, start + count) for start, count in zip(starts, region.shape[2:], strict=True))
        placed[(slice(None), slice(None), *cells)] = region
        region = placed
    if problem.padding_mode == "zeros":
        return region.reshape(problem.x_shape)
    return pad_transpose(region.reshape(problem.batch, problem.channels, *problem.padded), problem)


def grad_dense(state: State, grad_y: FloatArray, x: FloatArray) -> FloatArray:
    """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, in float64."""
    from interpolated_kernels import loops

    problem, taps = state.problem, state.forward.taps
    grad = np.zeros((problem.filters, problem.channels_per_group, *problem.window))
    y_channel, y_plane, y_row = state.y_rows_buffer.steps
    for chunk in _chunks(state):
        samples = len(grad_y[chunk])
        layout = _layout(state.forward, state.x_buffer, problem.channels, samples, y_channel, problem.filters, x.dtype)
        layout = layout._replace(y_start=(loops.ROWS_OF_TILE - 1) * y_row, y_plane=y_plane, y_row=y_row)
        packed_y, packed_x = state.y_rows_buffer.pack(grad_y[chunk]), state.x_buffer.pack(x[chunk])
        loops.multiply_gradients(
            packed_y, packed_x, taps.offsets, taps.sources, taps.blocks, layout, taps.dense_step, grad.reshape(-1)
        )
    return grad


def _chunks(state: State) -> Iterator[slice]:
    for first in range(0, state.problem.batch, state.chunk):
        yield slice(first, min(first + state.chunk, state.problem.batch))


def _pack_weights(taps: TapBlocks, dense: FloatArray) -> FloatArray:
    from interpolated_kernels import loops

    packed = np.empty(taps.n_weights, dense.dtype)
    loops.pack_weights(np.ascontiguousarray(dense), taps.sources, taps.blocks, taps.dense_step, packed)
    return packed


def _layout(
    part: Pass, buffer: Buffer, channels: int, samples: int, y_channel: int, y_channels: int, dtype: Any
) -> Any:
    from interpolated_kernels import loops

    planes, rows, columns = part.counts
    row_vectors = -(-columns // loops.lanes_of(dtype))
    return loops.Layout(
        samples, planes, rows, columns, row_vectors, channels * buffer.steps[0], *part.input_steps, 0,
        y_channel * y_channels, y_channel, rows * columns, columns,
    )  # fmt: skip


def _gather(part: Pass, packed: FloatArray, buffer: Buffer, channels: int, weights: FloatArray, y: FloatArray) -> None:
    from interpolated_kernels import loops

    layout = _layout(part, buffer, channels, len(y), int(np.prod(part.counts)), y.shape[1], y.dtype)
    loops.gather(packed, weights, part.taps.offsets, part.taps.blocks, layout, y.reshape(-1))
