"""The Fourier path's gradients where images are transformed side by side: one spectrum a tile of y's serves both.

A wave of tiles is dealt to sums, and the sums to threads. What a tile adds to the gradient by x waits until its wave is
done, since tiles overlap there: so the order of all additions follows from the problem alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.fourier.exact import Task
from interpolated_kernels.paths.fourier.gradients import DenseGradient, InputGradient
from interpolated_kernels.paths.fourier.memory import count_sums, count_wave
from interpolated_kernels.paths.fourier.planes import Planes, cut
from interpolated_kernels.paths.fourier.spectra import KernelSpectra, is_safe
from interpolated_kernels.paths.fourier.tiles import FilterBlock, count_numbers

_TILES_OF_SUM = 16
_LEAST_SUMS = 4


@dataclass(eq=False)
class _PlaneSum:
    """Correlations of some tiles, in the frequency domain, and of those before them, in float64."""

    spectra: FloatArray
    dense: FloatArray
    n_tiles: int = 0

    @property
    def room(self) -> int:
        """How many tiles may be added before a flush."""
        return _TILES_OF_SUM - self.n_tiles

    def add(self, x: FloatArray, y: FloatArray, tiles: IntArray, filters_per_group: int, planes: Planes) -> None:
        """Add the correlations of some of a batch's tiles, in order."""
        loops.add_plane_correlations(tiles, x, y, filters_per_group, planes.run, self.spectra)
        self.n_tiles += len(tiles)
        if self.room == 0:
            self.flush(planes)

    def flush(self, planes: Planes) -> None:
        """Add the window's cells of what is summed to the float64 sums, and begin anew."""
        if self.n_tiles == 0:
            return
        (rows, columns), (row_step, column_step) = planes.tiled.problem.window, planes.tiled.problem.dilation
        writer = planes.make_writer((1, 1, 1), 1.0, ((rows, row_step), (columns, column_step)))
        cells = np.empty(self.dense.shape, self.spectra.dtype)
        images = np.arange(self.dense.shape[0] * self.dense.shape[1])
        places = np.stack(np.broadcast_arrays(images, 0, images * rows * columns, rows, columns), axis=-1)
        writer.write(places, self.spectra, planes.unit, planes.make_workspace(), cells)
        self.dense += cells
        self.spectra[...] = 0
        self.n_tiles = 0


@dataclass(frozen=True, eq=False)
class PlanesBackward:
    """The gradients of one block of filters: each tile of y's gradient is transformed once."""

    planes: Planes
    block: FilterBlock
    grad_y: FloatArray
    by_x: InputGradient | None
    by_dense: DenseGradient | None

    def run(self) -> None:
        """Add the block's part to the gradients that are wanted."""
        tiles = self.planes.tiled.tiles
        tasks = list(itertools.product(range(len(self.grad_y)), tiles.indices))
        kernels = None if self.by_x is None else self.planes.transform_kernels(self.by_x.dense, self.block)
        sums = self._start_sums(len(tasks))
        for wave in cut(tasks, self._count_wave()):
            shape = (len(wave), self.block.n_channels, *self._reach) if kernels is not None else (0,)
            cells = np.empty(shape, self.grad_y.dtype)
            parts = [(one, range(index, len(wave), len(sums))) for index, one in enumerate(sums)]
            run = functools.partial(self._run_part, wave, kernels, cells)
            is_worth_it = tiles.are_worth_threads(len(wave) * (self.block.n_filters + 2 * self.block.n_channels))
            loops.run_in_threads(run, [part for part in parts if part[1]], splits=False, is_worth_it=is_worth_it)
            if self.by_x is not None:
                for task, planes in zip(wave, cells, strict=True):
                    self.by_x.add_cells(task, self.block, planes)
        if self.by_dense is not None:
            is_worth_it = tiles.are_worth_threads(len(sums) * self.block.n_filters)
            loops.run_in_threads(lambda one, _: one.flush(self.planes), sums, splits=False, is_worth_it=is_worth_it)
            self.by_dense.take(self.block, [one.dense for one in sums])

    @property
    def _reach(self) -> tuple[int, ...]:
        return tuple(axis.reach for axis in self.planes.tiled.tiles.axes)

    def _count_wave(self) -> int:
        """Return how many tiles are held before they are added where they overlap."""
        bytes_of_tile = self.block.n_channels * int(np.prod(self._reach)) * self.grad_y.itemsize
        return count_wave(bytes_of_tile)

    def _start_sums(self, n_tasks: int) -> list[_PlaneSum]:
        """Return sums, all zero: for as many threads as can work, and never by their number."""
        tiled, block = self.planes.tiled, self.block
        lead, dtype = (block.n_filters, tiled.problem.channels_per_group), self.grad_y.dtype
        shape: tuple[int, ...] = (*lead, count_numbers(tiled.tiles.shape, tiled.problem.dtype))
        n_sums = min(n_tasks, max(_LEAST_SUMS, 2 * (n_tasks // tiled.tiles.lanes)))
        n_sums = max(1, min(n_sums, count_sums(int(np.prod(shape)) * dtype.itemsize)))
        if self.by_dense is None:
            shape = (0,)
        return [_PlaneSum(np.zeros(shape, dtype), np.zeros((*lead, *tiled.problem.window))) for _ in range(n_sums)]

    def _run_part(
        self, wave: Sequence[Task], kernels: KernelSpectra | None, cells: FloatArray, part: Any, workers: int
    ) -> None:
        """Add some of a wave's tiles to one of the sums, and write their parts of the gradient by x to `cells`."""
        own, slots = part
        work = self.planes.make_workspace()
        most = self.planes.count_batch(2 * self.block.n_channels)
        while slots:
            now = slots[: min(most, own.room)]
            slots = slots[len(now) :]
            tasks = [wave[slot] for slot in now]
            of_x = None if self.by_dense is None else self.planes.transform_x(self.by_dense.x, tasks, self.block, work)
            mixed, sizes = self._pass_y(tasks, of_x, kernels, own, work)
            if kernels is not None and self.by_x is not None:
                self._write_by_x(now, mixed, work, cells)
                for slot, size in zip(now, sizes, strict=True):
                    if not is_safe(self.planes.tiled, float(self.block.filters_per_group), size, kernels.size):
                        cells[slot] = self.by_x.find_exactly(wave[slot], self.block)

    def _pass_y(
        self, tasks: Sequence[Task], of_x: Any, kernels: KernelSpectra | None, own: _PlaneSum, work: FloatArray
    ) -> tuple[FloatArray, list[float]]:
        """Transform tiles of y's gradient, some at a time, and pass them on.

        They are added to the sum, and mixed to what the gradient by x is the inverse of, which is returned with bounds.
        """
        block, lanes = self.block, self.planes.tiled.tiles.lanes
        n_mixed = len(tasks) * self.block.n_channels if kernels is not None else 0
        mixed = np.empty((n_mixed, count_numbers(self.planes.tiled.tiles.shape, self.grad_y.dtype)), self.grad_y.dtype)
        count = min(lanes // math.gcd(lanes, block.n_filters), self.planes.count_batch(block.n_filters))
        bounds: list[float] = []
        for first in range(0, len(tasks), count):
            some = slice(first, first + count)
            of_y, sizes = self.planes.transform_y(self.grad_y, tasks[some], block, work)
            bounds += sizes.tolist()
            if kernels is not None:
                places, terms = self._place_mixed(len(sizes), first)
                loops.mix_planes(places, terms, of_y, kernels.spectra, self.planes.run, np.ones(1, of_y.dtype), mixed)
            if self.by_dense is not None:
                given = of_x[0][some], of_x[1][some]
                self._add_by_dense(self.by_dense, tasks[some], given, (of_y, sizes), own)
        return mixed, bounds

    def _place_mixed(self, n_tiles: int, first_tile: int) -> tuple[IntArray, tuple[int, int, int]]:
        """Return which spectra every channel of some tiles is mixed of, and goes to, and the steps of the terms."""
        per_group, terms = self.planes.tiled.problem.channels_per_group, self.block.filters_per_group
        tiles, channels = np.arange(n_tiles)[:, None], np.arange(self.block.n_channels)
        first = channels // per_group * terms
        places = np.broadcast_arrays(
            tiles * self.block.n_filters + first,
            first * per_group + channels % per_group,
            (tiles + first_tile) * len(channels) + channels,
        )
        return np.stack(places, axis=-1).reshape(-1, 3), (terms, 1, per_group)

    def _write_by_x(self, slots: range, mixed: FloatArray, work: FloatArray, cells: FloatArray) -> None:
        n_channels, (rows, columns) = self.block.n_channels, self._reach
        images = (np.array(slots)[:, None] * n_channels + np.arange(n_channels)).ravel()
        sources = np.arange(len(images))
        places = np.stack(np.broadcast_arrays(sources, 0, images * rows * columns, rows, columns), axis=-1)
        writer = self.planes.make_writer((1, 1, 1), 1.0, ((rows, 1), (columns, 1)))
        writer.write(places, mixed, self.planes.unit, work, cells)

    def _add_by_dense(
        self, by_dense: DenseGradient, tasks: Sequence[Task], given_x: Any, given_y: Any, own: _PlaneSum
    ) -> None:
        (of_x, x_sizes), (of_y, sizes), tiled = given_x, given_y, self.planes.tiled
        pairs = zip(x_sizes.tolist(), sizes.tolist(), strict=True)
        fine = np.array([is_safe(tiled, _TILES_OF_SUM, *pair) for pair in pairs])
        own.add(of_x, of_y, np.flatnonzero(fine), self.block.filters_per_group, self.planes)
        for index in np.flatnonzero(~fine).tolist():
            by_dense.add_exactly(tasks[index], self.block, own.dense)
