"""Convolve once for each anchor's basis function, then mix: for more filters than anchors.

The dense kernel of a filter is the sum of its weights times the columns of the interpolation matrix, so

    y[f] = sum over channels c and anchors a of weights[f, c, a] * (x[c] convolved with column a).

The first stage is a depthwise convolution whose dense kernels are these columns, the second a convolution with a window
of one cell, whose dense kernels are the weights; both are problems of their own, whose engines are parts of this one.
The gradients are the stages' transposes, and the second stage's gradient by its kernels is the gradient by the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost
from interpolated_kernels.paths.path import Part, Prepared, PreparedBankPath
from interpolated_kernels.problem import Problem

ACCURACY = "componentwise"
TAKES = "bank"
SUMS_IN: str | None = None

_BYTES_OF_MAPS = 16 * 2**20


def supports(problem: Problem) -> str | None:
    """Serve shared anchors where a group has more filters than anchors."""
    kernel = problem.kernel
    if problem.device != "cpu":
        return f"its maps are mixed on the CPU, and the arrays are on {problem.device}"
    if problem.renormalizes:
        return "missing='renormalize' divides two sums: 'direct' and 'lattice' have both, band by band"
    if not kernel.shares_positions:
        return "its filters have positions of their own: shared positions unlock it"
    if kernel.interpolates_channels:
        return "its kernels are interpolated through channels"
    if problem.filters_per_group <= kernel.n_anchors:
        return f"more filters a group than anchors unlock it, and there are {problem.filters_per_group}"
    if not problem.support.any():
        return "no anchor reaches a cell"
    if np.prod(problem.window) == 1:
        return "a window of one cell has nothing to share"
    if kernel.n_anchors > np.prod(problem.window):
        return "it has more anchors than cells"
    if _smallest_share(kernel) < np.finfo(problem.dtype).tiny:
        return f"some anchor's share of a cell is too small for {problem.dtype}: its digits would be lost"
    return None


def _smallest_share(kernel: InterpolatedKernel) -> float:
    """Return the smallest entry of the interpolation matrix but 0: what a map's kernel holds beside larger ones."""
    factors = kernel.structure.factors
    matrices = [kernel.matrix] if factors is None else [axis.matrix for axis in factors.axes]
    return float(np.prod([np.min(np.abs(matrix), where=matrix != 0, initial=np.inf) for matrix in matrices]))


def parts(problem: Problem) -> tuple[Problem, ...]:
    """Return both stages for the samples of a chunk: a map for every channel and anchor, and their mixing."""
    d, n = len(problem.spatial), problem.kernel.n_anchors
    maps = replace(
        problem, kernel=_as_separate(problem.kernel), batch=_count_samples(problem), filters=problem.channels * n,
        groups=problem.channels, accuracy="componentwise", max_memory=None,
    )  # fmt: skip
    one_cell = InterpolatedKernel([[0] * d], (1,) * d, "dilated")
    mixing = replace(
        maps, kernel=one_cell, channels=problem.channels * n, filters=problem.filters, groups=problem.groups,
        spatial=problem.out_spatial, stride=(1,) * d, dilation=(1,) * d, padding=((0, 0),) * d,
    )  # fmt: skip
    return maps, mixing


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict both stages, and the maps' way through memory."""
    sample_bytes = _count_map_bytes(problem)
    y_bytes = sample_bytes // (problem.channels * problem.kernel.n_anchors) * problem.filters
    costs = parts()
    n, filling = problem.kernel.n_anchors, find_filling(_as_separate(problem.kernel))
    seconds = (
        sum(part.seconds for part in costs)
        + filling.seconds(n, problem.dtype, machine)
        + 2 * (sample_bytes + y_bytes) / machine.bytes_per_second
    )
    extra = sample_bytes * _count_samples(problem) * 2 + sum(part.extra_bytes for part in costs)
    extra += filling.peak_bytes(n)
    return Cost(seconds, extra, costs[0].error)


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Keep both stages' plans."""
    maps, mixing = parts
    return PreparedBasis(problem, maps, mixing)


@dataclass(frozen=True, eq=False)
class PreparedBasis(PreparedBankPath):
    """The plans of both stages, for as many samples as are held at once."""

    problem: Problem
    maps: Part
    mixing: Part

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        columns, weights = self._columns(), self._as_kernels(kernels)
        if self.maps.problem.batch == len(x):
            self.mixing.run_forward(self.maps.run_forward(x, columns), weights, out)
            return
        for chunk in self._chunks():
            y = self.mixing.run_forward(self._convolve_columns(x[chunk], columns), weights)
            out[chunk] = y[: len(out[chunk])]

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        finite = np.isfinite(kernels).all(axis=-1, keepdims=True)
        # As in the dense kernel, one NaN reaches the whole support.
        columns, weights = self._columns(), self._as_kernels(np.where(finite, kernels, np.nan))
        for chunk in self._chunks():
            grad_maps = self.mixing.run_grad_x(_fill_up(grad_y[chunk], self.mixing.problem.batch), weights)
            out[chunk] = self.maps.run_grad_x(grad_maps, columns)[: len(out[chunk])]

    def grad_bank(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)`: the second stage's, chunks summed in float64."""
        problem, columns = self.problem, self._columns()
        total = np.zeros((problem.filters, problem.channels_per_group, problem.kernel.n_anchors))
        for chunk in self._chunks():
            given = _fill_up(grad_y[chunk], self.mixing.problem.batch)
            grad = self.mixing.run_grad_kernels(given, self._convolve_columns(x[chunk], columns)).reshape(total.shape)
            # The dense kernel's gradient meets 0 * NaN in the columns of the other anchors.
            total += np.where(np.isfinite(grad).all(axis=-1, keepdims=True), grad, np.nan)
        return total

    def _convolve_columns(self, x: FloatArray, columns: FloatArray) -> FloatArray:
        """Return x convolved with every anchor's basis function, `(samples of a chunk, channels * n, *out_spatial)`."""
        return self.maps.run_forward(_fill_up(x, self.maps.problem.batch), columns)

    def _columns(self) -> FloatArray:
        """Return the dense kernels of the first stage: in every channel, filter a is the column of anchor a."""
        problem = self.maps.problem
        n = problem.kernel.n_anchors
        columns = find_filling(problem.kernel).apply(np.eye(n).reshape(n, 1, n), problem.dtype)
        return np.concatenate([columns] * problem.channels)

    def _as_kernels(self, bank: FloatArray) -> FloatArray:
        """Return the dense kernels of the second stage: the weights."""
        problem = self.mixing.problem
        shape = (problem.filters, problem.channels_per_group, *problem.window)
        return bank.reshape(shape).astype(problem.dtype, copy=False)

    def _chunks(self) -> Iterator[slice]:
        count = self.maps.problem.batch
        for first in range(0, self.problem.batch, count):
            yield slice(first, min(first + count, self.problem.batch))


def _fill_up(samples: FloatArray, count: int) -> FloatArray:
    """Return `count` samples: those given, and zeros where the last chunk has fewer."""
    if len(samples) == count:
        return samples
    whole = np.zeros((count, *samples.shape[1:]), samples.dtype)
    whole[: len(samples)] = samples
    return whole


def _count_map_bytes(problem: Problem) -> int:
    """Return the bytes of one sample's maps."""
    cells = int(np.prod(problem.out_spatial))
    return np.dtype(problem.dtype).itemsize * problem.channels * problem.kernel.n_anchors * cells


def _count_samples(problem: Problem) -> int:
    """Return how many samples' maps are held at once: a few megabytes, in chunks as equal as can be."""
    most = max(1, _BYTES_OF_MAPS // max(1, _count_map_bytes(problem)))
    n_chunks = -(-problem.batch // most)
    return -(-problem.batch // n_chunks) if n_chunks else 1


def _as_separate(kernel: InterpolatedKernel) -> InterpolatedKernel:
    """Return the kernel with its shared positions listed once, and weights for every channel."""
    if kernel.positions.ndim == 2 and kernel.channel_mode == "separate":
        return kernel
    with ignore_anchor_warnings():
        widths = None if kernel.width_sets is None else kernel.width_sets[0]
        return kernel.replace(positions=kernel.position_sets[0], widths=widths, channel_mode="separate")
