"""Overlap-save: tiles of x times the kernels' spectra, channels mixed there, one inverse transform a filter.

With `X`, `K` and `G` the spectra of a tile of x, of the dense kernels and of a tile of y's gradient with zeros behind,

    y = inverse(sum over c of X[c] conj(K[f, c])), its first cells, which no wrapped product reaches;
    grad_x = inverse(sum over f of G[f] K[f, c]), tiles added where they overlap;
    gradient by the dense kernel = inverse(sum over tiles of X[c] conj(G[f])), its window.

Images of two axes are transformed side by side, one a lane of a vector (`side_by_side`, `planes`); lines, volumes and
tiles too large for that are transformed by SciPy, tile by tile. `find_tiles` decides.

The error is bounded by norms: a quiet region beside a peak loses its digits. A tile that holds a non-finite value, or
values so large that a spectrum could overflow, goes to another path; so does everything if a weight is not finite.

Source: Oppenheim and Schafer, "Discrete-Time Signal Processing", 2010, section 8.7.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost, predict_traffic
from interpolated_kernels.paths.fourier.exact import Task, convolve_exactly
from interpolated_kernels.paths.fourier.gradients import DenseGradient, InputGradient, add_block
from interpolated_kernels.paths.fourier.memory import BYTES_OF_TRANSFORMS, count_extra_bytes
from interpolated_kernels.paths.fourier.planes import Planes, make_planes
from interpolated_kernels.paths.fourier.side_by_side import PlanesForward
from interpolated_kernels.paths.fourier.side_by_side_gradients import PlanesBackward
from interpolated_kernels.paths.fourier.spectra import (
    KernelSpectra,
    TiledProblem,
    bound_spectrum,
    is_safe,
    transform,
    transform_back,
    transform_kernels,
)
from interpolated_kernels.paths.fourier.tiles import FilterBlock, find_tiles
from interpolated_kernels.paths.path import Part, Prepared, PreparedEngine
from interpolated_kernels.problem import Problem

ACCURACY = "normwise"
TAKES = "dense"
SUMS_IN: str | None = None

_LEAST_CELLS = 1024


def supports(problem: Problem) -> str | None:
    """Serve windows of more than one cell on the CPU, on samples large enough for the error's bound."""
    if problem.device != "cpu":
        return f"its transforms run on the CPU, and the arrays are on {problem.device}"
    if problem.renormalizes:
        return "missing='renormalize' divides two sums, and a norm bound says nothing of a quotient"
    if np.prod(problem.window) == 1:
        return "a window of one cell needs no transform"
    if np.prod(problem.padded) < _LEAST_CELLS:
        return f"a padded sample of fewer than {_LEAST_CELLS} cells gains nothing from transforms"
    return None


def parts(problem: Problem) -> tuple[Problem, ...]:
    """Return the problems of one tile and of the whole, for what is not finite."""
    no_padding = ((0, 0),) * len(problem.spatial)
    exact = replace(problem, accuracy="componentwise", max_memory=None)
    tile = replace(exact, batch=1, spatial=find_tiles(problem).shape, padding=no_padding)
    return tile, exact


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the transforms, the products of spectra, and the kernels' spectra once."""
    tiles = find_tiles(problem)
    itemsize = np.dtype(problem.dtype).itemsize
    seconds = machine.call_seconds + tiles.flops / (machine.fft_flops_per_second * 4 / itemsize)
    seconds += predict_traffic(problem, machine)
    return Cost(seconds, count_extra_bytes(problem, tiles), f"normwise, {problem.dtype}")


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Cut the tiles."""
    tile_plan, whole_plan = parts
    tiled = TiledProblem(problem, find_tiles(problem), tile_plan, whole_plan)
    return PreparedFourier(tiled, None if tiled.tiles.lanes == 1 else make_planes(tiled))


@dataclass(frozen=True, eq=False)
class PreparedFourier(PreparedEngine):
    """The tiles of a problem, and the plans for what is not finite."""

    tiled: TiledProblem
    planes: Planes | None
    """Where images are transformed side by side."""

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        tiled = self.tiled
        if not np.isfinite(kernels).all():
            tiled.whole_plan.run_forward(x, kernels, out)
            return
        for block in tiled.tiles.blocks:
            if self.planes is None:
                _convolve_block(tiled, x, kernels, block, out)
            else:
                PlanesForward(self.planes, block, x, kernels, out).run()

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        self.gradients(grad_y, None, kernels, out)

    def grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, in float64."""
        by_dense = DenseGradient(self.tiled, grad_y, x)
        self._add_tiles(grad_y, None, by_dense)
        return by_dense.total

    def gradients(
        self, grad_y: FloatArray, x: FloatArray | None, kernels: FloatArray | None, out: FloatArray | None
    ) -> FloatArray | None:
        """Return the gradient by the dense kernels, given x, and write the one by x, given dense kernels and `out`.

        Both from the same spectra of y's gradient.
        """
        by_x = None
        by_dense = None if x is None else DenseGradient(self.tiled, grad_y, x)
        if kernels is not None and out is not None:
            if np.isfinite(kernels).all():
                by_x = InputGradient(self.tiled, grad_y, kernels, out)
            else:
                self.tiled.whole_plan.run_grad_x(grad_y, kernels, out)
        self._add_tiles(grad_y, by_x, by_dense)
        return None if by_dense is None else by_dense.total

    def _add_tiles(self, grad_y: FloatArray, by_x: InputGradient | None, by_dense: DenseGradient | None) -> None:
        """Add every tile of y's gradient to the gradients that are wanted."""
        if by_x is not None or by_dense is not None:
            for block in self.tiled.tiles.blocks:
                if self.planes is None:
                    add_block(self.tiled, block, grad_y, by_x, by_dense)
                else:
                    PlanesBackward(self.planes, block, grad_y, by_x, by_dense).run()
        if by_x is not None:
            by_x.finish()


def _convolve_block(
    tiled: TiledProblem, x: FloatArray, kernels: FloatArray, block: FilterBlock, out: FloatArray
) -> None:
    """Write a block's outputs, tile by tile."""
    tiles, per_group = tiled.tiles, tiled.problem.channels_per_group
    spectra = transform_kernels(tiled, kernels, block)

    def run(task: Task, workers: int) -> None:
        sample, tile = task
        cells = tiles.cut(x[sample, block.channels], tile)
        if is_safe(tiled, per_group, bound_spectrum(cells, tiles.n_cells), spectra.size):
            _convolve(tiled, cells, block, spectra, tiles.view_outputs(out[sample], block.filters, tile), workers)
        else:
            convolve_exactly(tiled, x, kernels, task, block, out)

    tasks = list(itertools.product(range(tiled.problem.batch), tiles.indices))
    is_worth_it = tiles.are_tasks_worth_threads(len(tasks), block.n_filters + block.n_channels)
    loops.run_in_threads(run, tasks, is_worth_it=is_worth_it)


def _convolve(
    tiled: TiledProblem,
    cells: FloatArray,
    block: FilterBlock,
    kernels: KernelSpectra,
    outputs: FloatArray,
    workers: int,
) -> None:
    """Write the outputs of one tile, some filters at a time."""
    shape, strides = tiled.tiles.shape, tiled.problem.stride
    keep = tuple((count - 1) * step + 1 for count, step in zip(outputs.shape[1:], strides, strict=True))
    chosen = (slice(None), *(slice(None, None, step) for step in strides))
    spectra = transform(cells, shape, workers)
    at_once = workers * max(1, BYTES_OF_TRANSFORMS // (spectra.itemsize * spectra.shape[1]))
    for first in range(0, block.n_filters, at_once):
        last = min(first + at_once, block.n_filters)
        mixed = np.empty((last - first, spectra.shape[1]), spectra.dtype)
        loops.correlate_spectra(spectra, kernels.spectra, first, block.filters_per_group, mixed)
        outputs[first:last] = transform_back(mixed, shape, keep, workers)[chosen]
