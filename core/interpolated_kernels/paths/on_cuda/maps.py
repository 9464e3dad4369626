"""The maps of a problem on a GPU, and the three computations over them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.machine import Machine
from interpolated_kernels.memory.matrices import HostRows, is_identity, make_rows, upload_rows
from interpolated_kernels.paths.axes import Axis, sum_over_axes
from interpolated_kernels.paths.common import Cost, extend_axes, index_axes, limit_room
from interpolated_kernels.paths.on_cuda.lines import find_lines
from interpolated_kernels.paths.on_cuda.passes import Channels, Pass, Region, make_pass
from interpolated_kernels.problem import Problem

DeviceArray = Any
"""An array on the GPU, C-contiguous."""

_MOST_BYTES = 2**30
"""Maps of so many samples are held at once."""

_PRODUCTS_OF_SUM = 64
"""Products that a thread sums before float64."""


@dataclass(frozen=True, eq=False)
class Maps:
    """The axes of a problem, and where the values of its kernels stand: `(filters, channels_per_group, nodes)`.

    Nodes are numbered in C order over the `grid` of planes, rows and columns; `has_tap` has one row where all filters
    or channels have the same taps.
    """

    problem: Problem
    axes: tuple[Axis, Axis, Axis]
    grid: tuple[int, int, int]
    numbers: IntArray
    has_tap: BoolArray
    mass: float = 1.0
    """How many cells of x a map's value may be the sum of."""

    @functools.cached_property
    def shape(self) -> tuple[int, int, int]:
        """The lines of all maps along planes, rows and columns."""
        planes, rows, columns = (axis.find_forward_lines(axis.out).place_maps()[-1] for axis in self.axes)
        return planes, rows, columns

    def count_bytes(self) -> int:
        """Return the bytes of one sample's maps, of a stage before them, and of y's gradient with zeros around."""
        itemsize = np.dtype(self.problem.dtype).itemsize
        maps = self.problem.channels * float(np.prod(self.shape, dtype=np.float64))
        padded = self.problem.filters * float(np.prod([axis.out + 2 * _reach(axis) for axis in self.axes]))
        return int(itemsize * (2 * maps + padded))

    def predict(self, machine: Machine) -> Cost:
        """Predict the taps at the rate of a tile of so many filters, and what passes through memory."""
        problem, itemsize = self.problem, np.dtype(self.problem.dtype).itemsize
        outputs = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64))
        taps = outputs * problem.channels_per_group * float(self.has_tap.mean()) * self.has_tap.shape[2]
        maps = problem.channels * float(np.prod(self.shape, dtype=np.float64))
        rate = machine.multiply_adds_per_second * 4 / itemsize * min(1.0, 0.3 + 0.1 * problem.filters_per_group)
        moved = itemsize * (4 * maps + outputs)
        seconds = 6 * machine.call_seconds + taps / rate + moved / machine.bytes_per_second
        return Cost(seconds, self.count_bytes(), f"componentwise, {problem.dtype}")

    def split_batch(self) -> Iterator[slice]:
        """Yield the samples whose maps are held at once."""
        room = limit_room(self.problem, _MOST_BYTES, 0)
        samples = max(1, room // max(1, self.count_bytes()))
        for first in range(0, self.problem.batch, samples):
            yield slice(first, min(first + samples, self.problem.batch))

    def convolve(self, x: DeviceArray, kernels: DeviceArray, out: DeviceArray) -> None:
        """Write y for kernels in one row of values."""
        taps = self._forward_taps
        weights = _pack(kernels, taps)
        for chunk in self.split_batch():
            with cuda_loops.frame():
                maps, images = self._make(x[chunk]), out[chunk]
                cuda_loops.sum_taps(maps, weights, taps.tables, len(images), taps.always, images)

    def sum_products(self, grad_y: DeviceArray, x: DeviceArray) -> DeviceArray:
        """Return the gradient by the kernels, in one row of values in float64, chunks of the batch added in order."""
        taps, total = self._product_taps, None
        n_products = int(max(1, min(_PRODUCTS_OF_SUM, 4096 / self.mass)))
        for chunk in self.split_batch():
            with cuda_loops.frame():
                maps, images = self._make(x[chunk]), grad_y[chunk]
                found = cuda_loops.sum_products(images, maps, taps.tables, len(images), n_products)
                total = found if total is None else cuda_loops.add(total, found)
        grad = cuda_loops.empty((self.numbers.size,), np.float64)
        if total is None:
            cuda_loops.fill(grad, 0)
        else:
            cuda_loops.take(total, self._products_at, grad)
        return grad

    def gather(self, grad_y: DeviceArray, kernels: DeviceArray, out: DeviceArray, others: Any = None) -> None:
        """Write the gradient by x for kernels in one row of values.

        `others` is a pair: kernels that hold 1 for each value that is not finite, and an array that holds 0 where there
        is none. Cells that such a value meets become NaN.
        """
        taps = self._gather_taps
        weights = _pack(kernels, taps)
        spoiling = None if others is None else _pack(others[0], taps)
        for chunk in self.split_batch():
            with cuda_loops.frame():
                padded, n = self._surround(grad_y[chunk]), chunk.stop - chunk.start
                maps = self._room(n, self.problem.channels, *self.shape)
                cuda_loops.sum_taps(padded, weights, taps.tables, n, taps.always, maps)
                if others is not None:
                    cuda_loops.fill_inside(padded, self._box, others[1])
                    reached = self._room(self.problem.channels, *self.shape)
                    cuda_loops.sum_taps(padded, spoiling, taps.tables, 1, others[1], reached)
                    cuda_loops.spoil_where(others[1], reached, maps)
                self._spread(maps, out[chunk])

    def _make(self, x: DeviceArray) -> DeviceArray:
        """Return the maps of some samples, `(samples, channels, *shape)`: along columns, rows, then planes."""
        planes, rows, columns = extend_axes(self.problem.spatial, 1)
        images = len(x) * self.problem.channels
        maps = self._along(2, self._rows[2], x, (images * planes * rows, columns, 1))
        maps = self._along(1, self._rows[1], maps, (images * planes, rows, self.shape[2]))
        return self._along(0, self._rows[0], maps, (images, planes, self.shape[1] * self.shape[2]))

    def _spread(self, maps: DeviceArray, out: DeviceArray) -> None:
        """Write the transpose of `_make`."""
        planes, rows, columns = extend_axes(self.problem.spatial, 1)
        images = len(maps) * self.problem.channels
        grad = self._along(0, self._transposed[0], maps, (images, self.shape[0], self.shape[1] * self.shape[2]))
        grad = self._along(1, self._transposed[1], grad, (images * planes, self.shape[1], self.shape[2]))
        cuda_loops.multiply_along(
            self._transposed[2] or self._one_to_one,
            grad.reshape(images * planes * rows, self.shape[2], 1),
            out.reshape(images * planes * rows, columns, 1),
        )

    def _along(self, axis: int, matrix: Any, source: DeviceArray, shape: tuple[int, int, int]) -> DeviceArray:
        """Return a matrix times the middle axis of an array in a shape; the array itself where there is no matrix."""
        if matrix is None:
            return source
        out = self._room(shape[0], len(matrix.starts) - 1, shape[2])
        cuda_loops.multiply_along(matrix, source.reshape(*shape), out)
        return out

    def _surround(self, grad_y: DeviceArray) -> DeviceArray:
        """Return y's gradient with the zeros around that maps' lines reach."""
        images = len(grad_y) * self.problem.filters
        padded = self._room(images, *self._padded)
        cuda_loops.embed(grad_y.reshape(images, *extend_axes(self.problem.out_spatial, 1)), self._box, padded)
        return padded

    def _room(self, *shape: int) -> DeviceArray:
        """Return an array that is given back with the open frame."""
        return cuda_loops.scratch(shape, self.problem.dtype)

    @property
    def _padded(self) -> tuple[int, int, int]:
        planes, rows, columns = (axis.out + 2 * _reach(axis) for axis in self.axes)
        return planes, rows, columns

    @property
    def _box(self) -> Any:
        """Where y's gradient stands among the zeros around it."""
        return cuda_loops.Box(*(axis.out for axis in self.axes), *map(_reach, self.axes))

    @functools.cached_property
    def _rows(self) -> list[Any]:
        return [self._upload_matrix(axis, transposed=False) for axis in range(3)]

    @functools.cached_property
    def _transposed(self) -> list[Any]:
        return [self._upload_matrix(axis, transposed=True) for axis in range(3)]

    @functools.cached_property
    def _one_to_one(self) -> Any:
        """The matrix that leaves columns as they are."""
        n = extend_axes(self.problem.spatial, 1)[2]
        return upload_rows(HostRows(np.arange(n + 1), np.arange(n, dtype=np.int32), np.ones(n)), self.problem.dtype)

    def _upload_matrix(self, index: int, transposed: bool) -> Any:
        shown, size = index_axes(self.problem)[index], extend_axes(self.problem.spatial, 1)[index]
        lines, cells, values = find_lines(self.axes[index], shown)
        entries = (cells, lines, values, size) if transposed else (lines, cells, values, self.shape[index])
        matrix = make_rows(*entries)
        n_columns = self.shape[index] if transposed else size
        if is_identity(matrix, n_columns):
            return None
        return upload_rows(matrix, self.problem.dtype)

    @functools.cached_property
    def _forward_taps(self) -> UploadedPass:
        return self._make_forward(cuda_loops.FILTERS_OF_TILE)

    @functools.cached_property
    def _product_taps(self) -> UploadedPass:
        return self._make_forward(cuda_loops.FILTERS_OF_PRODUCTS[self.problem.dtype])

    @functools.cached_property
    def _products_at(self) -> DeviceArray:
        """Where the gradient by each value of the kernels stands among the packed ones, -1 for none."""
        sources, index = self._product_taps.sources, np.full(self.numbers.size, -1)
        packed = np.flatnonzero(sources >= 0)
        index[sources[packed]] = packed
        return cuda_loops.upload(index)

    def _make_forward(self, tiles: Sequence[int]) -> UploadedPass:
        """Return the pass of y: all nodes are taps of all outputs."""
        problem, size, outputs = self.problem, int(np.prod(self.shape)), tuple(axis.out for axis in self.axes)
        by_axis = []
        for axis, step in zip(self.axes, _steps(self.shape), strict=True):
            lines = axis.find_forward_lines(axis.out)
            by_axis.append([
                (first + each.lags - low) * step
                for each, first, low in zip(axis.maps, lines.place_maps(), lines.lows, strict=False)
            ])  # fmt: skip
        offsets = sum_over_axes(self.axes, by_axis, self.grid)
        nodes = np.flatnonzero(offsets >= 0)
        channels = Channels(
            problem.groups, problem.filters_per_group, problem.channels_per_group, size, int(np.prod(outputs))
        )
        region = Region(0, (outputs[0], outputs[1], outputs[2]), nodes, offsets[nodes])
        made = make_pass(channels, [region], self.numbers, self.has_tap, tiles)
        return _upload_pass(made, problem.channels * size, self.shape, problem.filters * channels.y_step, outputs)

    @functools.cached_property
    def _gather_taps(self) -> UploadedPass:
        """The pass of the maps' gradient: a region for each combination of the axes' maps, whose nodes are its taps."""
        problem, padded = self.problem, self._padded
        steps, map_steps = _steps(padded), _steps(self.shape)
        regions = []
        for chosen in itertools.product(*(range(len(axis.maps)) for axis in self.axes)):
            start, shape, nodes, offsets = 0, [], np.zeros(1, np.int64), np.zeros(1, np.int64)
            for axis, index, grid, step, map_step in zip(self.axes, chosen, self.grid, steps, map_steps, strict=True):
                lines, each = axis.find_forward_lines(axis.out), axis.maps[index]
                start += lines.place_maps()[index] * map_step
                shape.append(lines.counts[index])
                nodes = (nodes[:, None] * grid + each.nodes).ravel()
                back = lines.lows[index] - each.lags + _reach(axis)
                offsets = (offsets[:, None] + back * step).ravel()
            regions.append(Region(start, (shape[0], shape[1], shape[2]), nodes, offsets))
        size = int(np.prod(self.shape))
        channels = Channels(
            problem.groups, problem.channels_per_group, problem.filters_per_group, int(np.prod(padded)), size
        )
        made = make_pass(
            channels, regions, _swap(self.numbers, problem), _swap_taps(self.has_tap, problem),
            cuda_loops.FILTERS_OF_TILE,
        )  # fmt: skip
        return _upload_pass(made, problem.filters * channels.x_step, padded, problem.channels * size, self.shape)


@dataclass(frozen=True, eq=False)
class UploadedPass:
    """A pass on the GPU: its tables, and where packed weights come from, on both sides."""

    tables: Any
    sources: IntArray
    sources_on_gpu: DeviceArray
    always: DeviceArray
    """What switches a loop on that may be switched off."""


def _upload_pass(
    made: Pass, x_image: int, x_shape: Sequence[int], y_image: int, y_shape: Sequence[int]
) -> UploadedPass:
    """Return a pass with its tables on the GPU, for images of x and y whose channels have a shape each."""
    parts = cuda_loops.Parts(*(np.ascontiguousarray(column) for column in made.parts.T))
    x_plane, x_row, _ = _steps(x_shape)
    y_plane, y_row, _ = _steps(y_shape)
    steps = cuda_loops.Steps(
        x_image=x_image, x_plane=x_plane, x_row=x_row,
        y_image=y_image, y_channel=int(np.prod(y_shape)), y_plane=y_plane, y_row=y_row,
    )  # fmt: skip
    tables = cuda_loops.Taps(
        parts=cuda_loops.Parts(*map(cuda_loops.upload, parts)),
        offsets=cuda_loops.upload(made.offsets),
        steps=steps,
        filters=made.filters,
        most_outputs=int((parts.planes * parts.rows * parts.columns).max(initial=0)),
        most_taps=int(parts.n_taps.max(initial=0)),
        n_weights=len(made.sources),
    )
    always = cuda_loops.upload(np.ones(1, np.int32))
    return UploadedPass(tables, made.sources, cuda_loops.upload(made.sources), always)


def _pack(kernels: DeviceArray, taps: UploadedPass) -> DeviceArray:
    """Return the weights as a pass takes them."""
    weights = cuda_loops.empty((len(taps.sources),), kernels.dtype)
    cuda_loops.take(kernels, taps.sources_on_gpu, weights)
    return weights


def _reach(axis: Axis) -> int:
    """Return how far the nodes of a map stand apart, at most: so many zeros stand around y's gradient."""
    return max(int(each.lags.max() - each.lags.min()) for each in axis.maps)


def _steps(shape: Sequence[int]) -> tuple[int, int, int]:
    return shape[1] * shape[2], shape[2], 1


def _swap(values: Any, problem: Problem) -> Any:
    """Return `(filters, channels_per_group, n)` as `(channels, filters_per_group, n)`."""
    by_group = values.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group, -1)
    return np.swapaxes(by_group, 1, 2).reshape(problem.channels, problem.filters_per_group, -1)


def _swap_taps(has_tap: BoolArray, problem: Problem) -> BoolArray:
    if has_tap.shape[:2] == (1, 1):
        return has_tap
    full = np.broadcast_to(has_tap, (problem.filters, problem.channels_per_group, has_tap.shape[2]))
    return np.asarray(_swap(full, problem))
