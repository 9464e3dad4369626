"""Tiles that hold what is not finite, or too large for a spectrum: by the plan of one tile, which is exact."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.paths.fourier.spectra import TiledProblem
from interpolated_kernels.paths.fourier.tiles import FilterBlock

Task = tuple[int, tuple[int, ...]]


def convolve_exactly(
    tiled: TiledProblem, x: FloatArray, kernels: FloatArray, task: Task, block: FilterBlock, out: FloatArray
) -> None:
    """Write a block's outputs of a tile."""
    sample, tile = task
    outputs = tiled.tiles.view_outputs(out[sample], block.filters, tile)
    with np.errstate(invalid="ignore", over="ignore"):  # a thread's: the caller's does not reach it
        exact = tiled.tile_plan.run_forward(tiled.tiles.cut(x[sample], tile)[None], kernels)
    outputs[...] = exact[0, block.filters][(slice(None), *map(slice, outputs.shape[1:]))]


def differentiate_by_x_exactly(
    tiled: TiledProblem, grad_y: FloatArray, kernels: FloatArray, task: Task, block: FilterBlock
) -> FloatArray:
    """Return a block's part of a tile's gradient by the cells of x that its outputs see."""
    keep = (slice(axis.reach) for axis in tiled.tiles.axes)
    with np.errstate(invalid="ignore", over="ignore"):
        cells = tiled.tile_plan.run_grad_x(_take_tile_of_y(tiled, grad_y, task, block), kernels)[0, block.channels]
    return cells[(slice(None), *keep)]


def differentiate_by_kernels_exactly(
    tiled: TiledProblem, grad_y: FloatArray, x: FloatArray, task: Task, block: FilterBlock
) -> FloatArray:
    """Return a tile's part of the gradient by a block's dense kernels."""
    given = _take_tile_of_y(tiled, grad_y, task, block)
    cells = tiled.tiles.cut(x[task[0]], task[1])[None]
    return tiled.tile_plan.run_grad_kernels(given, cells)[block.filters]


def _take_tile_of_y(tiled: TiledProblem, grad_y: FloatArray, task: Task, block: FilterBlock) -> FloatArray:
    """Return a tile of y's gradient as the plan of one tile takes it, with zeros for the filters of other blocks."""
    sample, tile = task
    given = np.zeros(tiled.tile_plan.problem.y_shape, grad_y.dtype)
    outputs = tiled.tiles.view_outputs(grad_y[sample], block.filters, tile)
    given[0, block.filters][(slice(None), *map(slice, outputs.shape[1:]))] = outputs
    return given
