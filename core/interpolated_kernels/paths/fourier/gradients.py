"""The Fourier path's gradients: one spectrum a tile of y's gradient serves both."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.padding import fold_regions
from interpolated_kernels.paths.fourier.exact import (
    Task,
    differentiate_by_kernels_exactly,
    differentiate_by_x_exactly,
)
from interpolated_kernels.paths.fourier.memory import count_sums
from interpolated_kernels.paths.fourier.spectra import (
    KernelSpectra,
    TiledProblem,
    bound_spectrum,
    count_frequencies,
    is_safe,
    transform,
    transform_back,
    transform_kernels,
)
from interpolated_kernels.paths.fourier.tiles import FilterBlock
from interpolated_kernels.problem import Problem

_MOST_SUMS = 16
_TILES_OF_SUM = 16


class InputGradient:
    """The gradient by x: tiles are added to it where they overlap."""

    def __init__(self, tiled: TiledProblem, grad_y: FloatArray, dense: FloatArray, out: FloatArray) -> None:
        problem = tiled.problem
        self.tiled, self.grad_y, self.dense, self.out = tiled, grad_y, dense, out
        self.folds = any(problem.folds)
        self.origin = tuple(low for low, _ in problem.regions)
        spatial = tuple(high - low for low, high in problem.regions)
        self.total = np.zeros((*out.shape[:2], *spatial), out.dtype) if self.folds else out
        self.total[...] = 0

    def add(
        self, task: Task, block: FilterBlock, spectra: FloatArray | None, kernels: KernelSpectra, workers: int
    ) -> None:
        """Add a block's part of one tile; without spectra, by the plan for what is not finite."""
        if spectra is None:
            cells = self.find_exactly(task, block)
        else:
            keep = tuple(axis.reach for axis in self.tiled.tiles.axes)
            mixed = np.empty((block.n_channels, spectra.shape[1]), spectra.dtype)
            loops.convolve_spectra(spectra, kernels.spectra, block.filters_per_group, mixed)
            cells = transform_back(mixed, self.tiled.tiles.shape, keep, workers)
        self.add_cells(task, block, cells)

    def find_exactly(self, task: Task, block: FilterBlock) -> FloatArray:
        """Return a block's part of the cells that a tile's outputs see, by the plan for what is not finite."""
        return differentiate_by_x_exactly(self.tiled, self.grad_y, self.dense, task, block)

    def add_cells(self, task: Task, block: FilterBlock, cells: FloatArray) -> None:
        """Add a block's part of the cells that a tile's outputs see."""
        sample, tile = task
        target = self.total[sample, block.channels]
        into, of = [slice(None)], [slice(None)]
        for axis, number, origin, size in zip(self.tiled.tiles.axes, tile, self.origin, target.shape[1:], strict=True):
            start = number * axis.step - origin
            low, high = max(start, 0), min(start + axis.reach, size)
            into.append(slice(low, max(low, high)))
            of.append(slice(low - start, max(low, high) - start))
        with np.errstate(invalid="ignore", over="ignore"):
            target[tuple(into)] += cells[tuple(of)]

    def finish(self) -> None:
        """Fold the padded cells' gradients into `out`."""
        if self.folds:
            with np.errstate(invalid="ignore", over="ignore"):
                self.out[...] = fold_regions(self.total, self.tiled.problem)


@dataclass(eq=False)
class _Sum:
    """Correlations of some tiles, in the frequency domain, and of those before them, in float64."""

    spectra: FloatArray
    dense: FloatArray
    n_tiles: int = 0

    def add(self, x: FloatArray, grad_y: FloatArray, block: FilterBlock, tiled: TiledProblem, workers: int) -> None:
        """Add the correlations of one tile."""
        loops.add_correlations(x, grad_y, block.filters_per_group, self.spectra)
        self.n_tiles += 1
        if self.n_tiles == _TILES_OF_SUM:
            self.flush(block, tiled, workers)

    def flush(self, block: FilterBlock, tiled: TiledProblem, workers: int) -> None:
        """Add the window's cells of what is summed to the float64 sums, and begin anew."""
        if self.n_tiles == 0:
            return
        problem = tiled.problem
        spectra = self.spectra.reshape(-1, self.spectra.shape[-1])
        cells = transform_back(spectra, tiled.tiles.shape, problem.extent, workers)
        cells = cells[(slice(None), *(slice(None, None, step) for step in problem.dilation))]
        self.dense += cells.reshape(self.dense.shape)
        self.spectra = np.zeros_like(self.spectra)
        self.n_tiles = 0


@dataclass(eq=False)
class DenseGradient:
    """The gradient by the dense kernels, from spectra; of tiles that are not finite, by the plan for these."""

    tiled: TiledProblem
    grad_y: FloatArray
    x: FloatArray
    total: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        problem = self.tiled.problem
        self.total = np.zeros((problem.filters, problem.channels_per_group, *problem.window))

    def start_sums(self, block: FilterBlock) -> list[_Sum]:
        """Return sums for a block, all zero."""
        shape = (block.n_filters, self.total.shape[1], count_frequencies(self.tiled.tiles.shape))
        dtype = np.result_type(self.tiled.problem.dtype, np.complex64)
        count = count_sums(int(np.prod(shape)) * dtype.itemsize)
        return [_Sum(np.zeros(shape, dtype), np.zeros_like(self.total[block.filters])) for _ in range(count)]

    def add(
        self, task: Task, block: FilterBlock, spectra: FloatArray | None, size: float, sums: _Sum, workers: int
    ) -> None:
        """Add one tile to `sums`; where values are not finite, by the plan for these."""
        sample, tile = task
        tiles = self.tiled.tiles
        cells = tiles.cut(self.x[sample, block.channels], tile)
        x_size = bound_spectrum(cells, tiles.n_cells)
        if spectra is not None and is_safe(self.tiled, _TILES_OF_SUM, x_size, size):
            sums.add(transform(cells, tiles.shape, workers), spectra, block, self.tiled, workers)
            return
        self.add_exactly(task, block, sums.dense)

    def add_exactly(self, task: Task, block: FilterBlock, dense: FloatArray) -> None:
        """Add one tile's part to a sum, by the plan for what is not finite."""
        with np.errstate(invalid="ignore", over="ignore"):  # a thread's: the caller's does not reach it
            dense += differentiate_by_kernels_exactly(self.tiled, self.grad_y, self.x, task, block)

    def take(self, block: FilterBlock, sums: list[FloatArray]) -> None:
        """Take over a block's sums, in order."""
        with np.errstate(invalid="ignore", over="ignore"):
            self.total[block.filters] = functools.reduce(np.add, sums)


def add_block(
    tiled: TiledProblem,
    block: FilterBlock,
    grad_y: FloatArray,
    by_x: InputGradient | None,
    by_dense: DenseGradient | None,
) -> None:
    """Add a block of filters to the gradients: each tile of y's gradient is transformed once."""
    kernels = None if by_x is None else transform_kernels(tiled, by_x.dense, block)
    sums: list[Any] = [None] * _MOST_SUMS if by_dense is None else by_dense.start_sums(block)
    terms = float(block.filters_per_group)

    def run(part: tuple[Any, list[Task]], workers: int) -> None:
        for task in part[1]:
            cells = _spread(tiled.tiles.view_outputs(grad_y[task[0]], block.filters, task[1]), tiled.problem)
            size = bound_spectrum(cells, tiled.tiles.n_cells)
            spectra = transform(cells, tiled.tiles.shape, workers) if is_safe(tiled, 1.0, size, 1.0) else None
            if by_x is not None and kernels is not None:
                is_fine = is_safe(tiled, terms, size, kernels.size)
                by_x.add(task, block, spectra if is_fine else None, kernels, workers)
            if by_dense is not None:
                by_dense.add(task, block, spectra, size, part[0], workers)

    # the tiles of a class share no cell, so that threads may add them at once
    for tiles in tiled.tiles.split_into_classes():
        tasks = list(itertools.product(range(len(grad_y)), tiles))
        parts = [(one, tasks[index :: len(sums)]) for index, one in enumerate(sums)]
        is_worth_it = tiled.tiles.are_tasks_worth_threads(len(tasks), block.n_filters + 2 * block.n_channels)
        loops.run_in_threads(run, [part for part in parts if part[1]], is_worth_it=is_worth_it)
    if by_dense is not None:
        is_worth_it = tiled.tiles.are_tasks_worth_threads(len(sums), block.n_filters * by_dense.total.shape[1])
        loops.run_in_threads(lambda one, workers: one.flush(block, tiled, workers), sums, is_worth_it=is_worth_it)
        by_dense.take(block, [one.dense for one in sums])


def _spread(outputs: FloatArray, problem: Problem) -> FloatArray:
    """Return outputs at their places among the outputs of stride 1, with zeros between them."""
    if max(problem.stride) == 1:
        return outputs
    shape = tuple((count - 1) * step + 1 for count, step in zip(outputs.shape[1:], problem.stride, strict=True))
    spread = np.zeros((len(outputs), *shape), outputs.dtype)
    spread[(slice(None), *(slice(None, None, step) for step in problem.stride))] = outputs
    return spread
