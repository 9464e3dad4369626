"""Filters that share their equations, and what their outputs are made of: columns, predictions, and what they see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.errors import ignore_anchor_warnings
from interpolated_kernels.filling import find_filling
from interpolated_kernels.fitting.convolving import Convolver
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import Problem


@dataclass(frozen=True)
class Share:
    """Channels of a group that meet the same anchors: those from `first` on, and the kernel of one position set."""

    kernel: InterpolatedKernel
    first: int
    count: int

    @property
    def channels(self) -> slice:
        """The channels, counted within the group."""
        return slice(self.first, self.first + self.count)

    @property
    def n_rows(self) -> int:
        """The rows of weights of one filter: one a channel, where channels have weights of their own."""
        return self.count if self.kernel.channel_mode == "separate" else 1

    @property
    def columns(self) -> slice:
        """The columns of these channels' weights within the group."""
        n = self.kernel.n_anchors
        return slice(self.first * n, (self.first + self.n_rows) * n)

    def describe(self, problem: Problem, filters: int, channels: int | None = None) -> Problem:
        """Return the problem of these channels, or of so many of them, for so many filters."""
        return replace(problem, kernel=self.kernel, filters=filters, channels=channels or self.count)

    def shape_bank(self, rows: FloatArray) -> FloatArray:
        """Return weights, a row a filter, as the kernel takes them."""
        is_separate = self.kernel.channel_mode == "separate"
        return rows.reshape(len(rows), -1, self.kernel.n_anchors) if is_separate else rows


@dataclass(frozen=True, eq=False)
class Group:
    """Filters of one group of channels and one position set, whose outputs are the same ones.

    `problem` is the group's alone, in float64; `channels` and `filters` are its slices of x and y.
    """

    problem: Problem
    channels: slice
    filters: slice
    shares: tuple[Share, ...]

    @property
    def n_columns(self) -> int:
        """The weights of one filter: (channel, anchor) pairs."""
        return sum(share.n_rows * share.kernel.n_anchors for share in self.shares)

    def sum_columns(self) -> FloatArray:
        """Return what each weight adds to the dense kernel's sum: `(columns,)`."""
        sums = []
        for share in self.shares:
            kernel = share.kernel
            channels = kernel.window[-1] if kernel.interpolates_channels else 1
            ones = np.ones((1, channels, *kernel.spatial_window))
            sums.append(np.tile(find_filling(kernel).transpose(ones).ravel(), share.n_rows))
        return np.concatenate(sums)

    def write_columns(self, problem: Problem, cells: FloatArray, convolver: Convolver, out: FloatArray) -> None:
        """Write the outputs that each weight alone gives: `(columns, outputs)`."""
        for share in self.shares:
            n = share.kernel.n_anchors
            # Channels of weights of their own go one by one: all together would meet each other's zeros.
            step = 1 if share.kernel.channel_mode == "separate" else share.count
            one, bank = share.describe(problem, n, step), share.shape_bank(np.eye(n))
            for row, first in enumerate(range(share.first, share.first + share.count, step)):
                into = out[share.columns][row * n : (row + 1) * n]
                convolver.convolve(one, cells[:, first : first + step], bank, into)

    def add_products(
        self, problem: Problem, values: FloatArray, cells: FloatArray, convolver: Convolver, out: FloatArray
    ) -> None:
        """Add the products of values with all columns, summed over outputs: `(rows, outputs)` to `(rows, columns)`.

        They are the weights' gradient of as many filters, which makes no columns.
        """
        for share in self.shares:
            one = share.describe(problem, len(values))
            convolver.add_gradient(one, values, cells[:, share.channels], out[:, share.columns])

    def write_predictions(
        self, problem: Problem, cells: FloatArray, weights: FloatArray, convolver: Convolver, out: FloatArray
    ) -> None:
        """Write what the weights, a row a filter, predict: `(filters, outputs)`."""
        for number, share in enumerate(self.shares):
            bank = share.shape_bank(np.ascontiguousarray(weights[:, share.columns]))
            into = out if number == 0 else np.empty_like(out)
            convolver.convolve(share.describe(problem, len(out)), cells[:, share.channels], bank, into)
            if number:
                out += into

    def find_seen(self, problem: Problem, cells: FloatArray, convolver: Convolver) -> BoolArray:
        """Return which outputs see a NaN, `(outputs,)`: those that `conv` makes NaN even where all weights are 0."""
        seen = np.empty((1, int(np.prod(problem.out_spatial))))
        self.write_predictions(problem, cells, np.zeros((1, self.n_columns)), convolver, seen)
        return np.isnan(seen[0])


def split_groups(problem: Problem, apart: bool) -> Iterator[Group]:
    """Yield the groups of filters that share their equations; each filter alone where `apart`."""
    kernel, channels = problem.kernel, problem.channels_per_group
    step = problem.filters_per_group if kernel.shares_positions and not apart else 1
    for first in range(0, problem.filters, step):
        start = first // problem.filters_per_group * channels
        own = replace(problem, batch=1, channels=channels, filters=step, groups=1, dtype="float64")
        shares = _share_channels(kernel, first, channels)
        yield Group(own, slice(start, start + channels), slice(first, first + step), shares)


def _share_channels(kernel: InterpolatedKernel, number: int, channels: int) -> tuple[Share, ...]:
    """Return the shares of a filter's channels: one, unless each channel has its own positions."""
    if kernel.shares_positions:
        return (Share(_isolate(kernel, 0), 0, channels),)
    if kernel.positions.ndim == 3:
        return (Share(_isolate(kernel, number), 0, channels),)
    return tuple(Share(_isolate(kernel, number * channels + each), each, 1) for each in range(channels))


def _isolate(kernel: InterpolatedKernel, index: int) -> InterpolatedKernel:
    """Return the kernel of one position set alone."""
    if kernel.positions.ndim == 2:
        return kernel
    widths = None if kernel.width_sets is None else kernel.width_sets[index]
    with ignore_anchor_warnings():
        return kernel.replace(positions=kernel.position_sets[index], widths=widths)
