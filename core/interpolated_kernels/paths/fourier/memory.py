"""How much the Fourier path holds at once: sums of spectra, batches of tiles, and what a plan says of it."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.paths.fourier.tiles import FilterBlock, Tiling, count_numbers
from interpolated_kernels.problem import Problem

BYTES_OF_SUMS = 24 * 2**20
BYTES_OF_TRANSFORMS = 2**19
BYTES_OF_BATCHES = 16 * 2**20
BYTES_OF_WAVE = 16 * 2**20
_MOST_SUMS = 16
_THREADS = 4
"""As many are counted with; more take more."""


def count_sums(bytes_of_one: int) -> int:
    """Return how many sums of spectra are held at once: as many threads can work, and never by their number."""
    return max(1, min(_MOST_SUMS, BYTES_OF_SUMS // max(bytes_of_one, 1)))


def count_batch(bytes_of_tile: int, tiles: Tiling, n_threads: int) -> int:
    """Return how many tiles pass together: one a lane, if the spectra of all threads stay in cache."""
    return max(1, min(tiles.lanes, BYTES_OF_BATCHES // (bytes_of_tile * n_threads)))


def count_wave(bytes_of_tile: int) -> int:
    """Return how many tiles' parts of a gradient are held before they are added where they overlap."""
    return max(1, BYTES_OF_WAVE // bytes_of_tile)


def count_extra_bytes(problem: Problem, tiles: Tiling) -> int:
    """Return the bytes that a forward or a backward pass takes at most, beside inputs and outputs."""
    itemsize = np.dtype(problem.dtype).itemsize
    most = max(block.n_filters for block in tiles.blocks) * problem.channels_per_group
    numbers = tiles.n_cells if tiles.lanes == 1 else count_numbers(tiles.shape, problem.dtype)
    spectra, dense = numbers * itemsize * most, 8 * most * int(np.prod(problem.window))
    extra = (spectra + dense) * (2 + count_sums(spectra))
    if tiles.lanes == 1:
        extra += 4 * BYTES_OF_TRANSFORMS
    else:
        workspaces = _THREADS * (numbers + 8 * (max(tiles.shape) + tiles.lanes)) * tiles.lanes * itemsize
        extra += workspaces + max(_count_batches(problem, tiles, block, numbers * itemsize) for block in tiles.blocks)
    if any(problem.folds):  # what the gradient by x is folded from
        folded = int(np.prod([high - low for low, high in problem.regions]))
        extra += 2 * itemsize * problem.batch * problem.channels * folded
    return extra


def _count_batches(problem: Problem, tiles: Tiling, block: FilterBlock, bytes_of_spectrum: int) -> int:
    """Return the bytes of the spectra of all threads' batches, and of a wave of their gradients by x."""
    n_tiles = problem.batch * int(np.prod([axis.count for axis in tiles.axes]))
    n_channels = block.n_channels
    by_count = 0
    for n_images in (block.n_filters, 2 * n_channels):
        whole = bytes_of_spectrum * n_images
        of_threads = _THREADS * count_batch(whole, tiles, _THREADS) * whole
        by_count += min(of_threads, n_tiles * whole) + _THREADS * tiles.lanes * bytes_of_spectrum
    reach = int(np.prod([axis.reach for axis in tiles.axes]))
    of_wave = n_channels * reach * np.dtype(problem.dtype).itemsize
    return by_count + min(n_tiles, count_wave(of_wave)) * of_wave
