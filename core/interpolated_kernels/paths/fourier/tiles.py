"""How the Fourier path cuts a convolution: tiles of cells along every axis, and blocks of filters.

A tile is a run of outputs on every axis and the cells of padded x that they see. Tiles of x overlap by the window less
one cell; tiles of outputs do not.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import load
from interpolated_kernels.padding import index_axis
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import VECTOR_BYTES, count_lanes

_BYTES_OF_KERNELS = 8 * 2**20
_BYTES_OF_CACHE = 2**19
_MOST_CELLS = 2**20
_MOST_CELLS_OF_PLANE = 2**17
"""Cells of a tile whose images are transformed side by side: all of them together are held at once."""
_LEAST_CELLS_OF_THREADS = 2**21
"""Fewer cells in all images, some six milliseconds' work, gain less from threads than these take to start."""
_LEAST_CELLS_OF_TASK = 2**16
"""The same for the images of a task that Python's own lock interrupts."""
_FLOPS_OF_PRODUCT = 8.0
_SLOWER_ON_A_LINE = 1.7  # one transform alone has no neighbours to fill a vector with
_SLOWER_ALONE = {16: 1.2, 32: 1.8, 64: 2.2}[VECTOR_BYTES]
"""How much longer transforms take that have no vector's lane each."""
_FLOPS_OF_CALL = {16: 80_000.0, 32: 120_000.0, 64: 200_000.0}[VECTOR_BYTES]


@dataclass(frozen=True, eq=False)
class AxisTiles:
    """The tiles of one spatial axis."""

    cells: int
    """The transform's length."""
    outputs: int
    """Outputs of a whole tile; the last tile may have fewer."""
    n_outputs: int
    stride: int
    extent: int
    index: IntArray
    """For every padded cell that a tile sees, the cell of x that it shows; -1 where it is 0."""

    @property
    def step(self) -> int:
        """Padded cells from one tile's first to the next one's."""
        return self.outputs * self.stride

    @property
    def count(self) -> int:
        """Tiles on this axis."""
        return -(-self.n_outputs // self.outputs)

    @property
    def reach(self) -> int:
        """Cells that a tile's outputs see."""
        return (self.outputs - 1) * self.stride + self.extent

    @property
    def apart(self) -> int:
        """How many tiles apart two tiles share no cell."""
        return min(self.count, -(-self.reach // self.step))

    def find_outputs(self, tile: int) -> slice:
        """Return the outputs of a tile."""
        return slice(tile * self.outputs, min((tile + 1) * self.outputs, self.n_outputs))

    def find_cells(self, tile: int) -> IntArray:
        """Return the cells of x that a tile shows, -1 where it is 0."""
        return self.index[tile * self.step : tile * self.step + self.cells]


@dataclass(frozen=True)
class FilterBlock:
    """Groups, or some filters of one group, whose kernels' spectra are held together."""

    channels: slice
    filters: slice
    filters_per_group: int

    @property
    def n_filters(self) -> int:
        """The number of filters."""
        return self.filters.stop - self.filters.start

    @property
    def n_channels(self) -> int:
        """The number of channels."""
        return self.channels.stop - self.channels.start


@dataclass(frozen=True, eq=False)
class Tiling:
    """The tiles of a problem, the blocks of its filters, and the work of one sample in floating-point operations."""

    axes: tuple[AxisTiles, ...]
    blocks: tuple[FilterBlock, ...]
    flops: float
    lanes: int
    """How many images are transformed side by side, one a lane of a vector; 1 where SciPy transforms each."""

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The transform's shape."""
        return tuple(axis.cells for axis in self.axes)

    @property
    def n_cells(self) -> int:
        """Cells of a transform."""
        return int(np.prod(self.shape))

    def are_worth_threads(self, n_images: int) -> bool:
        """Return whether threads make so many images' transforms faster."""
        return n_images * self.n_cells >= _LEAST_CELLS_OF_THREADS

    def are_tasks_worth_threads(self, n_tasks: int, n_images: int) -> bool:
        """Return the same for tasks of so many images each, between whose transforms Python's own lock is held."""
        return self.are_worth_threads(n_tasks * n_images) and n_images * self.n_cells >= _LEAST_CELLS_OF_TASK

    @property
    def indices(self) -> Iterator[tuple[int, ...]]:
        """Every tile, by its number on every axis."""
        return itertools.product(*(range(axis.count) for axis in self.axes))

    def split_into_classes(self) -> list[list[tuple[int, ...]]]:
        """Return the tiles in lists, such that no two tiles of a list share a cell."""
        found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for tile in self.indices:
            key = tuple(number % axis.apart for number, axis in zip(tile, self.axes, strict=True))
            found.setdefault(key, []).append(tile)
        return list(found.values())

    def view_outputs(self, y: FloatArray, filters: slice, tile: tuple[int, ...]) -> FloatArray:
        """Return the view of a tile's outputs in `y` `(filters, *out_spatial)`."""
        outputs = (axis.find_outputs(number) for axis, number in zip(self.axes, tile, strict=True))
        return y[(filters, *outputs)]

    def cut(self, x: FloatArray, tile: tuple[int, ...]) -> FloatArray:
        """Return the cells `(channels, *shape)` of a tile of `x` `(channels, *spatial)`: a view where it can be."""
        inside: list[slice] = [slice(None)]
        for position, (axis, number) in enumerate(zip(self.axes, tile, strict=True), start=1):
            shown = axis.find_cells(number)
            x, run = _show(x, shown, position)
            inside.append(run)
        if x.shape[1:] == self.shape:
            return x
        cells = np.zeros((len(x), *self.shape), x.dtype)
        cells[tuple(inside)] = x
        return cells


def _show(x: FloatArray, shown: IntArray, axis: int) -> tuple[FloatArray, slice]:
    """Return what x shows along an axis without what is 0 before and behind, and where that stands."""
    there = np.flatnonzero(shown >= 0)
    if not there.size:
        return x[(slice(None),) * axis + (slice(0, 0),)], slice(0, 0)
    run = slice(int(there[0]), int(there[-1]) + 1)
    cells = shown[run]
    if len(cells) == 1 or (np.diff(cells) == 1).all():
        return x[(slice(None),) * axis + (slice(int(cells[0]), int(cells[-1]) + 1),)], run
    return np.take(x, cells, axis=axis), run


def count_numbers(shape: tuple[int, ...], dtype: Any) -> int:
    """Return the numbers of a spectrum, of images that are transformed side by side."""
    (rows, columns), lanes = shape, count_lanes(dtype)
    return (columns // 2 + 1) * 2 * (-(-rows // lanes) * lanes)


def find_tiles(problem: Problem) -> Tiling:
    """Return the tiles with the least work: a large tile wastes little on its overlap, a small one stays in cache.

    Images of two axes are transformed side by side, unless even the smallest tile were too large for that.
    """
    candidates = [sorted(_find_lengths(problem, axis)) for axis in range(len(problem.spatial))]
    is_flat = len(candidates) == 2 and candidates[0][0] * candidates[1][0] <= _MOST_CELLS_OF_PLANE
    lanes = count_lanes(problem.dtype) if is_flat else 1
    grid = np.meshgrid(*(np.array(lengths, np.float64) for lengths in candidates), indexing="ij")
    flops = _count_flops(problem, grid, lanes)
    best = int(np.argmin(flops))
    lengths = tuple(int(choice.flat[best]) for choice in grid)
    axes = tuple(_tile_axis(problem, axis, cells) for axis, cells in enumerate(lengths))
    return Tiling(axes, tuple(_cut_filters(problem, lengths)), float(flops.flat[best]), lanes)


def _find_lengths(problem: Problem, axis: int) -> set[int]:
    """Return good transform lengths for one axis, from the whole axis down to little more than the window."""
    next_fast_len = load("scipy.fft").next_fast_len
    extent, stride, n_outputs = problem.extent[axis], problem.stride[axis], problem.out_spatial[axis]
    counts = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, *(2**k for k in range(5, 24)))
    if len(problem.spatial) == 3:
        counts = (1, 2, 3, 4, 6, 8, 12, 16, 32)
    if len(problem.spatial) == 2:
        counts = (*range(1, 25), *counts[12:])
    lengths = set()
    for count in counts:
        outputs = -(-n_outputs // count)
        length = int(next_fast_len(max((outputs - 1) * stride + extent, 4), real=True))
        while axis == len(problem.spatial) - 1 and length % 2:
            length = int(next_fast_len(length + 1, real=True))
        lengths.add(length)
        if outputs * stride < extent // 2 or outputs == 1:
            break
    return lengths


def _count_outputs(problem: Problem, axis: int, cells: int) -> int:
    return min((cells - problem.extent[axis]) // problem.stride[axis] + 1, problem.out_spatial[axis])


def _count_flops(problem: Problem, lengths: Sequence[FloatArray], lanes: int) -> FloatArray:
    """Return the work of one sample's forward pass for arrays of transform lengths, one an axis."""
    cells = np.prod(np.stack(lengths), axis=0)
    n_tiles = np.ones_like(cells)
    for axis, length in enumerate(lengths):
        outputs = (length - problem.extent[axis]) // problem.stride[axis] + 1
        n_tiles *= np.ceil(problem.out_spatial[axis] / np.minimum(outputs, problem.out_spatial[axis]))
    itemsize = np.dtype(problem.dtype).itemsize
    beyond_cache = np.log2(np.maximum(1.0, cells * lanes * itemsize / _BYTES_OF_CACHE))
    transform = 2.5 * cells * np.log2(np.maximum(cells, 2)) * (1 + 0.1 * beyond_cache)
    transform = np.where(
        cells <= (_MOST_CELLS if lanes == 1 else min(_MOST_CELLS, _MOST_CELLS_OF_PLANE)), transform, 100 * transform
    )
    transform *= _SLOWER_ON_A_LINE if len(lengths) == 1 else 1.0
    channels, filters = problem.channels_per_group, problem.filters_per_group
    pairs_of_block = np.maximum(1, _BYTES_OF_KERNELS // (cells * itemsize))
    groups_of_block = pairs_of_block // (channels * filters)
    filters_of_block = np.maximum(1, pairs_of_block // channels)
    whole = groups_of_block >= 1
    n_blocks = np.where(
        whole,
        np.ceil(problem.groups / np.maximum(groups_of_block, 1)),
        problem.groups * np.ceil(filters / filters_of_block),
    )
    n_inputs = channels * np.where(whole, problem.groups, n_blocks)
    pairs = problem.filters * channels
    calls = 2 * len(lengths) * n_blocks
    products = pairs * cells / 2 * _FLOPS_OF_PRODUCT
    if lanes == 1:
        each = (problem.filters + n_inputs) * transform + products + calls * _FLOPS_OF_CALL
        return np.asarray(n_tiles * each + pairs * transform * 0.6) * _SLOWER_ALONE
    images = lanes * (np.ceil(n_tiles * problem.filters / lanes) + np.ceil(n_tiles * n_inputs / lanes))
    kernels = lanes * np.ceil(pairs / lanes)
    return np.asarray((images + kernels * 0.6) * transform + n_tiles * (products + calls * _FLOPS_OF_CALL))


def _tile_axis(problem: Problem, axis: int, cells: int) -> AxisTiles:
    shown = index_axis(problem, axis)
    found = AxisTiles(
        cells=cells,
        outputs=_count_outputs(problem, axis, cells),
        n_outputs=problem.out_spatial[axis],
        stride=problem.stride[axis],
        extent=problem.extent[axis],
        index=shown,
    )
    missing = (found.count - 1) * found.step + cells - len(shown)
    return replace(found, index=np.pad(shown, (0, max(missing, 0)), constant_values=-1))


def _cut_filters(problem: Problem, lengths: tuple[int, ...]) -> list[FilterBlock]:
    """Return blocks whose kernels' spectra take a few megabytes together."""
    pairs = max(1, int(_BYTES_OF_KERNELS // (np.prod(lengths) * np.dtype(problem.dtype).itemsize)))
    channels, filters = problem.channels_per_group, problem.filters_per_group
    groups_of_block = pairs // (channels * filters)
    if groups_of_block >= 1:
        firsts = range(0, problem.groups, groups_of_block)
        ranges = [(first, min(first + groups_of_block, problem.groups)) for first in firsts]
        return [
            FilterBlock(slice(low * channels, high * channels), slice(low * filters, high * filters), filters)
            for low, high in ranges
        ]
    filters_of_block = max(1, pairs // channels)
    blocks = []
    for group in range(problem.groups):
        for first in range(group * filters, (group + 1) * filters, filters_of_block):
            last = min(first + filters_of_block, (group + 1) * filters)
            of_group = slice(group * channels, (group + 1) * channels)
            blocks.append(FilterBlock(of_group, slice(first, last), last - first))
    return blocks
