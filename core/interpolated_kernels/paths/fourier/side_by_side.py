"""The Fourier path where images are transformed side by side: batches of tiles, through spectra and back."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.fourier.exact import Task, convolve_exactly
from interpolated_kernels.paths.fourier.planes import Planes, cut
from interpolated_kernels.paths.fourier.spectra import KernelSpectra, TiledProblem, is_safe
from interpolated_kernels.paths.fourier.tiles import FilterBlock


def _place_tiles(tiled: TiledProblem, tasks: Sequence[Task]) -> IntArray:
    """Return of every tile its sample, its first output's row and column, and how many rows and columns it has."""
    found = [
        (tile.start, tile.stop - tile.start)
        for _, numbers in tasks
        for tile in (axis.find_outputs(number) for axis, number in zip(tiled.tiles.axes, numbers, strict=True))
    ]
    samples = np.array([[sample] for sample, _ in tasks])
    return np.concatenate([samples, np.array(found).reshape(-1, 4)[:, [0, 2, 1, 3]]], axis=1)


@dataclass(frozen=True, eq=False)
class PlanesForward:
    """The forward pass of one block of filters."""

    planes: Planes
    block: FilterBlock
    x: FloatArray
    kernels: FloatArray
    out: FloatArray

    def run(self) -> None:
        """Write the block's outputs."""
        tiled, block = self.planes.tiled, self.block
        tasks = list(itertools.product(range(tiled.problem.batch), tiled.tiles.indices))
        n_threads = loops.get_num_threads()
        most = self.planes.count_batch(block.n_channels)
        n_batches = -(-len(tasks) // (most * n_threads)) * n_threads
        spectra = self.planes.transform_kernels(self.kernels, block)
        if tasks:
            batches = cut(tasks, -(-len(tasks) // n_batches))
            n_images = len(tasks) * (block.n_filters + block.n_channels)
            is_worth_it = tiled.tiles.are_worth_threads(n_images)
            loops.run_in_threads(functools.partial(self._convolve, spectra), batches, is_worth_it=is_worth_it)

    def _convolve(self, spectra: KernelSpectra, tasks: Sequence[Task], workers: int) -> None:
        planes, block, problem = self.planes, self.block, self.planes.tiled.problem
        work = planes.make_workspace()
        of_x, sizes = planes.transform_x(self.x, tasks, block, work)
        per_group = problem.channels_per_group
        kept = (planes.tiled.tiles.axes[0].outputs, problem.stride[0]), (problem.out_spatial[1], problem.stride[1])
        writer = planes.make_writer((per_group, 1, 1), -1.0, kept)
        places = self._place(tasks, of_x.shape[1])
        lanes = planes.tiled.tiles.lanes
        count = -(-len(places) // (lanes * workers)) * lanes
        parts = [places[start : start + count] for start in range(0, len(places), count)]
        loops.run_in_threads(
            lambda part, _: writer.write(
                part, of_x, spectra.spectra, work if workers == 1 else planes.make_workspace(), self.out
            ),
            parts,
        )
        for task, size in zip(tasks, sizes.tolist(), strict=True):
            if not is_safe(planes.tiled, per_group, size, spectra.size):
                convolve_exactly(planes.tiled, self.x, self.kernels, task, block, self.out)

    def _place(self, tasks: Sequence[Task], n_channels: int) -> IntArray:
        """Return where the planes of the tiles' outputs come from and go."""
        problem, block = self.planes.tiled.problem, self.block
        sample, row, column, n_rows, n_columns = _place_tiles(self.planes.tiled, tasks).T[:, :, None]
        filters = np.arange(block.n_filters)
        first = filters // block.filters_per_group * problem.channels_per_group
        image = sample * problem.filters + block.filters.start + filters
        places = np.broadcast_arrays(
            np.arange(len(tasks))[:, None] * n_channels + first,
            filters * problem.channels_per_group,
            (image * problem.out_spatial[0] + row) * problem.out_spatial[1] + column,
            n_rows,
            n_columns,
        )
        return np.stack(places, axis=-1).reshape(-1, 5)
