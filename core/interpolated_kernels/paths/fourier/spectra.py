"""SciPy's real transforms over all axes of a tile, without the rows that are known to be zero or are not wanted.

With them what all passes share: the tiles and plans of a problem, a block's spectra, the check against overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import load, loops
from interpolated_kernels.paths.fourier.tiles import FilterBlock, Tiling
from interpolated_kernels.paths.path import Part
from interpolated_kernels.problem import Problem


def transform(cells: FloatArray, shape: tuple[int, ...], workers: int) -> FloatArray:
    """Return the spectra `(images, frequencies)` of `cells` `(images, *at most shape)`, zeros behind them."""
    fft = load("scipy.fft")
    spectra = fft.rfft(cells, n=shape[-1], axis=-1, workers=workers)
    for axis in range(-2, -len(shape) - 1, -1):
        spectra = fft.fft(spectra, n=shape[axis], axis=axis, overwrite_x=True, workers=workers)
    return spectra.reshape(len(cells), -1)


def transform_back(spectra: FloatArray, shape: tuple[int, ...], keep: tuple[int, ...], workers: int) -> FloatArray:
    """Return the first `keep` cells on every axis of spectra `(images, frequencies)`, which are overwritten."""
    fft = load("scipy.fft")
    spectra = spectra.reshape(len(spectra), *shape[:-1], shape[-1] // 2 + 1)
    for axis in range(-len(shape), -1):
        spectra = fft.ifft(spectra, axis=axis, overwrite_x=True, workers=workers)
        spectra = np.moveaxis(np.moveaxis(spectra, axis, 0)[: keep[axis]], 0, axis)
    cells = fft.irfft(spectra, n=shape[-1], axis=-1, workers=workers)
    return np.asarray(cells[..., : keep[-1]])


def count_frequencies(shape: tuple[int, ...]) -> int:
    """Return the number of frequencies of a real transform."""
    return int(np.prod(shape[:-1])) * (shape[-1] // 2 + 1)


@dataclass(frozen=True, eq=False)
class TiledProblem:
    """A problem in tiles, and the plans of one tile and of the whole for what is not finite."""

    problem: Problem
    tiles: Tiling
    tile_plan: Part
    whole_plan: Part


@dataclass(frozen=True, eq=False)
class KernelSpectra:
    """A block's spectra `(filters, channels of a group, frequencies)`, and a bound on the entries of a spectrum."""

    spectra: FloatArray
    size: float


def transform_kernels(tiled: TiledProblem, dense: FloatArray, block: FilterBlock) -> KernelSpectra:
    """Return the spectra of a block's dense kernels, which are finite."""
    problem, shape = tiled.problem, tiled.tiles.shape
    rows = dense[block.filters].reshape(-1, *problem.window)
    if max(problem.dilation) > 1:
        spread = np.zeros((len(rows), *problem.extent), rows.dtype)
        spread[(slice(None), *(slice(None, None, step) for step in problem.dilation))] = rows
        rows = spread
    spectra = transform(rows, shape, loops.get_num_threads())
    return KernelSpectra(
        spectra.reshape(block.n_filters, problem.channels_per_group, count_frequencies(shape)),
        bound_spectrum(rows, int(np.prod(problem.window))),
    )


def bound_spectrum(cells: FloatArray, count: int) -> float:
    """Return a bound on the entries of a spectrum of `count` such cells; NaN or infinity where a cell is."""
    if not cells.size:
        return 0.0
    return float(np.maximum(cells.max(), -cells.min())) * count


def is_safe(tiled: TiledProblem, terms: float, *sizes: float) -> bool:
    """Return whether a sum of `terms` products of spectra of these sizes, transformed back, stays finite."""
    largest = float(np.finfo(tiled.problem.dtype).max) / 16
    return all(size <= largest for size in sizes) and sizes[0] * sizes[1] * terms * tiled.tiles.n_cells <= largest
