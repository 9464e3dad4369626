"""The direct path prepared for a problem: its three computations, band by band."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.padding import add_folded, fold_axis
from interpolated_kernels.paths.common import index_axes
from interpolated_kernels.paths.direct.bands import (
    Bands,
    Buffer,
    Source,
    WindowAxes,
    describe_axes,
    fill_vectors,
    find_bands,
    split_bands,
)
from interpolated_kernels.paths.direct.passes import Pass, prepare_forward, prepare_grad_x
from interpolated_kernels.paths.path import PreparedEngine
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import ROWS_OF_TILE, count_lanes


@dataclass(frozen=True, eq=False)
class PreparedDirect(PreparedEngine):
    """How a problem is cut, how its arrays are packed, and the passes over them."""

    problem: Problem
    axes: WindowAxes
    bands: Bands
    x_source: Source
    y_source: Source
    forward_pass: Pass
    grad_x_passes: tuple[Pass, ...]

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        axis, counts = self.bands.axis, self.forward_pass.counts
        weights = _pack_weights(self.forward_pass.taps, kernels)
        bands = list(split_bands(counts[axis], self.bands.outputs))
        for chunk, (band, first, count) in itertools.product(self._split_batch(), bands):
            buffer, origin = self.x_source.cut(band), [0, 0, 0]
            origin[axis] = first
            part = self.forward_pass.cut(axis, first, count)
            target = _find_target(out[chunk], counts, origin)
            _run_forward(part, buffer.pack(x[chunk]), buffer.steps[0] * self.problem.channels, weights, target)

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        finite = np.isfinite(kernels)
        if finite.all():
            self._write_grad_x(grad_y, kernels, out)
            return
        self._write_grad_x(grad_y, np.where(finite, kernels, 0), out)
        reached = np.empty_like(out)
        self._write_grad_x(np.ones_like(grad_y), (~finite).astype(kernels.dtype), reached)
        out[reached > 0] = np.nan  # no product, no NaN

    def grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, in float64."""
        problem, axis = self.problem, self.bands.axis
        grad = np.zeros((problem.filters, problem.channels_per_group, *problem.window))
        bands = list(split_bands(self.forward_pass.counts[axis], self.bands.outputs))
        for chunk, (band, first, count) in itertools.product(self._split_batch(), bands):
            x_buffer = self.x_source.cut(band)
            y_buffer = self._lay_out_band_of_y(first, count) if band > 0 else self._first_band_of_y
            part = self.forward_pass.cut(axis, first, count)
            channel, plane, row = y_buffer.steps
            target = _Target(
                values=y_buffer.pack(grad_y[chunk]),
                start=(ROWS_OF_TILE - 1) * row,  # above are the rows of zeros
                steps=(channel * problem.filters, channel, plane, row),
            )
            x_sample = x_buffer.steps[0] * problem.channels
            layout = _lay_out(part, len(grad_y[chunk]), x_sample, target)
            packed = x_buffer.pack(x[chunk])
            loops.direct_grad_dense(target.values, packed, part.taps, layout, grad.reshape(-1))
            del packed, target  # before the next band's are made
        return grad

    def _split_batch(self) -> Iterator[slice]:
        """Yield the samples that are computed together."""
        for _, first, count in split_bands(self.problem.batch, self.bands.samples):
            yield slice(first, first + count)

    @functools.cached_property
    def _first_band_of_y(self) -> Buffer:
        return self._lay_out_band_of_y(0, min(self.bands.outputs, self.forward_pass.counts[self.bands.axis]))

    def _lay_out_band_of_y(self, first: int, count: int) -> Buffer:
        """Return the buffer of y's gradient beside packed x: a band's rows with zeros around, in whole vectors."""
        firsts, counts = [0, 0, 0], [axis.out for axis in self.axes]
        firsts[self.bands.axis], counts[self.bands.axis] = first, count
        planes, rows, columns = (start + np.arange(n) for start, n in zip(firsts, counts, strict=True))
        tail = fill_vectors(len(columns), count_lanes(self.problem.dtype)) - len(columns)
        rows = np.pad(rows, ROWS_OF_TILE - 1, constant_values=-1)
        return Buffer(planes, rows, np.pad(columns, (0, tail), constant_values=-1))

    def _write_grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x band by band: into `out` itself, or a copy of the band that is folded into it."""
        problem, axes, axis, step = self.problem, self.axes, self.bands.axis, self.y_source.step
        regions = [each.region for each in axes]
        folds, shown = any(problem.folds), []
        if folds:
            shown = [index[low:high] for index, (low, high) in zip(index_axes(problem), regions, strict=True)]
        out[...] = 0
        cells_of_out = out.reshape(*out.shape[:2], *(each.size for each in axes))
        weights = [_pack_weights(each.taps, kernels) for each in self.grad_x_passes]
        shape = [high - low for low, high in regions]
        bands = list(split_bands(shape[axis], self.bands.cells))
        for chunk, (band, first, count) in itertools.product(self._split_batch(), bands):
            buffer = self.y_source.cut(band)
            packed = buffer.pack(grad_y[chunk])
            shape[axis] = count
            if folds:
                cells, origin = np.zeros((*out[chunk].shape[:2], *shape), out.dtype), [0, 0, 0]
            else:
                cells = cells_of_out[chunk]
                origin = [low - each.shown[0] for (low, _), each in zip(regions, axes, strict=True)]
                origin[axis] += first
            for each, pass_weights in zip(self.grad_x_passes, weights, strict=True):
                part = each.cut(axis, band * step, step)
                _write_phase(part, packed, buffer.steps[0] * problem.filters, pass_weights, cells, origin)
            del packed  # before the next band's is made
            if folds:
                _fold_band(cells, shown, cells_of_out[chunk], axis, first)


def prepare_direct(problem: Problem) -> PreparedDirect:
    """Cut a problem into bands, and lay out the buffers and the taps of its three computations."""
    axes, bands = describe_axes(problem), find_bands(problem)
    x_source, forward_pass = prepare_forward(problem, axes, bands)
    y_source, grad_x_passes = prepare_grad_x(problem, axes, bands)
    return PreparedDirect(
        problem=problem,
        axes=axes,
        bands=bands,
        x_source=x_source,
        y_source=y_source,
        forward_pass=forward_pass,
        grad_x_passes=grad_x_passes,
    )


@dataclass(frozen=True, eq=False)
class _Target:
    """A flat array of outputs: where the first one of a pass stands, and the steps in values."""

    values: FloatArray
    start: int
    steps: tuple[int, int, int, int]
    """The distance between samples, channels, planes and rows."""


def _find_target(cells: FloatArray, shape: Sequence[int], origin: Sequence[int]) -> _Target:
    """Return an array `(samples, channels, *shape)` as a target whose first output is the cell `origin`."""
    planes, rows, columns = shape
    channel, plane = planes * rows * columns, rows * columns
    start = origin[0] * plane + origin[1] * columns + origin[2]
    return _Target(cells.reshape(-1), start, (channel * cells.shape[1], channel, plane, columns))


def _pack_weights(taps: loops.DirectTaps, kernels: FloatArray) -> FloatArray:
    packed = np.empty(taps.n_weights, kernels.dtype)
    loops.pack_weights(np.ascontiguousarray(kernels).reshape(-1), taps, packed)
    return packed


def _lay_out(part: Pass, samples: int, x_sample: int, target: _Target) -> loops.DirectLayout:
    """Return where a pass reads and its target lies, as the loops take it."""
    planes, rows, columns = part.counts
    x_plane, x_row = part.input_steps
    y_sample, y_channel, y_plane, y_row = target.steps
    lanes = count_lanes(target.values.dtype)
    return loops.DirectLayout(
        samples=samples, planes=planes, rows=rows, columns=columns, row_vectors=-(-columns // lanes),
        x_sample=x_sample, x_plane=x_plane, x_row=x_row,
        y_start=target.start, y_sample=y_sample, y_channel=y_channel, y_plane=y_plane, y_row=y_row,
    )  # fmt: skip


def _run_forward(part: Pass, packed: FloatArray, x_sample: int, weights: FloatArray, target: _Target) -> None:
    """Write the outputs of a pass over packed inputs, whose samples lie `x_sample` values apart."""
    layout = _lay_out(part, len(packed) // x_sample, x_sample, target)
    loops.direct_forward(packed, weights, part.taps, layout, target.values)


def _write_phase(
    part: Pass, packed: FloatArray, x_sample: int, weights: FloatArray, cells: FloatArray, origin: Sequence[int]
) -> None:
    """Write the cells of one phase of the strides: directly where they are neighbours."""
    if 0 in part.counts:
        return
    firsts = [start + first for start, first in zip(origin, part.first, strict=True)]
    if part.steps == (1, 1, 1):
        _run_forward(part, packed, x_sample, weights, _find_target(cells, cells.shape[2:], firsts))
        return
    written = np.empty((*cells.shape[:2], *part.counts), cells.dtype)
    _run_forward(part, packed, x_sample, weights, _find_target(written, part.counts, (0, 0, 0)))
    where = (
        slice(first, first + (n - 1) * step + 1, step)
        for first, n, step in zip(firsts, part.counts, part.steps, strict=True)
    )
    cells[(slice(None), slice(None), *where)] = written


def _fold_band(cells: FloatArray, shown: Sequence[IntArray], out: FloatArray, axis: int, first: int) -> None:
    """Add a band of padded cells, which begins at `first`, to the cells that they show."""
    for other in range(axis + 1, 3):
        cells = fold_axis(cells, other + 2, shown[other], out.shape[other + 2])
    add_folded(out, cells, axis + 2, shown[axis][first : first + cells.shape[axis + 2]])
