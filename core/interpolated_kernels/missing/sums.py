"""One band: x split into values and mask, their sums, settled, and what is made of these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.missing.bands import Band
from interpolated_kernels.missing.filters import Filters
from interpolated_kernels.padding import index_axis, pad_axis
from interpolated_kernels.paths.common import extend_axes, index_axes
from interpolated_kernels.problem import Problem


class Buffers:
    """Arrays that all bands of a call share, since the system clears fresh memory: by name, as large as the first."""

    def __init__(self, dtype: str) -> None:
        self._dtype, self._kept = np.dtype(dtype), dict[str, FloatArray]()

    def take(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return an uninitialised array in the memory of a name, whose last array is not needed any more."""
        size = int(np.prod(shape))
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size, self._dtype)
        return self._kept[name][:size].reshape(shape)


@dataclass(frozen=True, eq=False)
class Sums:
    """The numerators and denominators of a band, and the values and mask that they are sums of.

    Attributes
    ----------
    problem : Problem
        The band's own: a batch of twice its samples, values first.
    pair : (2, samples, channels, *spatial) array
        A group's channels are one where they are tied.
    sums : (2, samples, filters, *out_spatial) array
        As loops hold them: a settled output is its quotient, and its denominator negated.
    """

    problem: Problem
    band: Band
    filters: Filters
    pair: FloatArray
    sums: FloatArray

    def settle(self) -> None:
        """Sum the windows anew whose denominators are too small, if there are any."""
        lowest = self.sums[1].reshape(*self.sums.shape[1:3], -1).min(axis=2)
        if (lowest >= self.filters.limits).all():
            return
        filters, windows = self.filters, _lay_out_windows(self.problem)
        counts = _count_present(self.problem, self.pair[1])
        pair, sums, dense, counted = map(_as_volumes, (self.pair, self.sums, filters.dense, counts), (3, 3, 2, 2))
        loops.settle_sums(pair, counted, dense, filters.limits, filters.totals, windows, sums)

    def divide(self, y: FloatArray) -> None:
        """Write the band's quotients into y, `(batch, filters, *out_spatial)`."""
        loops.divide_sums(
            _as_lines(self.sums, 3), self.filters.totals, self.band.first, _as_lines(y[self.band.samples], 2)
        )

    def differentiate(self, grad_y: FloatArray, grads: FloatArray) -> FloatArray:
        """Write the gradients by numerators and denominators, and return that by totals, `(filters,)`."""
        by_total = np.empty((*self.sums.shape[1:3], self.sums.shape[3]))
        loops.differentiate_quotients(
            _as_lines(grad_y[self.band.samples], 2), _as_lines(self.sums, 3), self.filters.totals, self.band.first,
            _as_lines(grads, 3), by_total.reshape(-1, by_total.shape[2]),
        )  # fmt: skip
        return np.asarray(by_total.sum(axis=(0, 2)))


def split(problem: Problem, x: FloatArray, index: IntArray, buffers: Buffers) -> FloatArray:
    """Return values and mask of x `(samples, channels, *spatial)` along lines of the first axis, -1 for none.

    `(2, samples, channels, lines, *spatial[1:])`, a group's channels summed where they are tied.
    """
    pair = buffers.take("pair", (2, len(x), problem.channels // problem.n_summed, len(index), *problem.spatial[1:]))
    lines = problem.spatial[0], math.prod(problem.spatial[1:])
    images = x.reshape(len(x) * problem.channels // problem.n_summed, problem.n_summed, *lines)
    loops.split_missing(images, index, _as_lines(pair, 3))
    return pair


def _as_lines(array: FloatArray, n_lead: int) -> FloatArray:
    """Return an array whose spatial axes begin at `n_lead` as `(..., images, lines, values)`, a view."""
    return array.reshape(
        *array.shape[: n_lead - 2], array.shape[n_lead - 2] * array.shape[n_lead - 1], array.shape[n_lead],
        int(np.prod(array.shape[n_lead + 1 :])),
    )  # fmt: skip


def _as_volumes(array: FloatArray, n_lead: int) -> FloatArray:
    """Return an array whose spatial axes begin at `n_lead` with planes, rows and columns."""
    return array.reshape(*array.shape[:n_lead], *extend_axes(array.shape[n_lead:], 1))


def _lay_out_windows(problem: Problem) -> loops.Windows:
    planes, rows, columns = index_axes(problem)
    return loops.Windows(
        planes=planes, rows=rows, columns=columns,
        strides=np.array(extend_axes(problem.stride, 1)), dilations=np.array(extend_axes(problem.dilation, 1)),
    )  # fmt: skip


def _count_present(problem: Problem, mask: FloatArray) -> IntArray:
    """Return how many cells of a group are there, in some channel, below every window: `(samples, groups, *out)`.

    Cells that a dilated window steps over count too, so that only 0 says something.
    """
    shape = (len(mask), problem.groups, problem.channels_per_group, *mask.shape[2:])
    counts: IntArray = np.asarray((mask.reshape(shape) > 0).any(axis=2), np.int32)
    for axis, (stride, extent, n) in enumerate(
        zip(problem.stride, problem.extent, problem.out_spatial, strict=True), start=2
    ):
        padded = pad_axis(counts, axis, index_axis(problem, axis - 2))
        np.cumsum(padded, axis=axis, out=padded)
        firsts = np.arange(n) * stride
        counts = np.take(padded, firsts + extent - 1, axis=axis)
        counts[(slice(None),) * axis + (firsts > 0,)] -= np.take(padded, firsts[firsts > 0] - 1, axis=axis)
    return np.asarray(counts)
