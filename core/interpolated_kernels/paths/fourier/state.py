"""What the Fourier path's passes share: a plan's state, a block's spectra, the check against overflow, and threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.fourier.spectra import n_frequencies, spectra_of
from interpolated_kernels.paths.fourier.tiles import Block, Tiles
from interpolated_kernels.paths.path import Part
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, eq=False)
class State:
    """What a plan keeps: the tiles, and the plans of one tile and of the whole for what is not finite."""

    problem: Problem
    tiles: Tiles
    tile_plan: Part
    whole_plan: Part


@dataclass(frozen=True, eq=False)
class Kernels:
    """A block's spectra `(filters, channels of a group, frequencies)`, and a bound on the entries of a spectrum."""

    spectra: FloatArray
    size: float


def kernels_of(state: State, dense: FloatArray, block: Block) -> Kernels:
    """Return the spectra of a block's dense kernels, which are finite."""
    problem, shape = state.problem, state.tiles.shape
    rows = dense[block.filters].reshape(-1, *problem.window)
    if max(problem.dilation) > 1:
        spread = np.zeros((len(rows), *problem.extent), rows.dtype)
        spread[(slice(None), *(slice(None, None, step) for step in problem.dilation))] = rows
        rows = spread
    spectra = spectra_of(rows, shape, loops.get_num_threads())
    return Kernels(
        spectra.reshape(block.n_filters, problem.channels_per_group, n_frequencies(shape)),
        size_of(rows, int(np.prod(problem.window))),
    )


def size_of(cells: FloatArray, count: int) -> float:
    """Return a bound on the entries of a spectrum of `count` such cells; NaN or infinity where a cell is."""
    if not cells.size:
        return 0.0
    return float(np.maximum(cells.max(), -cells.min())) * count


def is_safe(state: State, terms: float, *sizes: float) -> bool:
    """Return whether a sum of `terms` products of spectra of these sizes, transformed back, stays finite."""
    largest = float(np.finfo(state.problem.dtype).max) / 16
    return all(size <= largest for size in sizes) and sizes[0] * sizes[1] * terms * state.tiles.n_cells <= largest
