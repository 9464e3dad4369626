"""Shapes and options become a frozen `Problem`, checked once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from interpolated_kernels.arguments import as_int, check_choice, is_sequence
from interpolated_kernels.arrays import BoolArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import (
    ACCURACIES,
    MISSING,
    Options,
    Pairs,
    as_padding,
    check_shown,
    modes_per_axis,
    per_axis,
)


@dataclass(frozen=True)
class Problem:
    """One convolution without its arrays: x `(batch, channels, *spatial)`, y `(batch, filters, *out_spatial)`."""

    kernel: InterpolatedKernel
    batch: int
    channels: int
    filters: int
    groups: int
    spatial: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: Pairs
    padding_modes: tuple[str, ...]
    dtype: str
    device: str = "cpu"
    accuracy: str = "componentwise"
    missing: str = "propagate"
    max_memory: int | None = None
    every_cell: bool = False
    """Whether cells that no anchor reaches are taps too: a derivative by positions may look at them."""

    @functools.cached_property
    def window(self) -> tuple[int, ...]:
        """The dense kernel's spatial shape."""
        return self.kernel.spatial_window

    @functools.cached_property
    def extent(self) -> tuple[int, ...]:
        """How far the dilated window reaches on every axis, in cells of x."""
        return tuple((cells - 1) * step + 1 for cells, step in zip(self.window, self.dilation, strict=True))

    @functools.cached_property
    def padded(self) -> tuple[int, ...]:
        """The spatial shape of x with its padding."""
        return tuple(size + before + after for size, (before, after) in zip(self.spatial, self.padding, strict=True))

    @functools.cached_property
    def folds(self) -> tuple[bool, ...]:
        """Whether an axis has padded cells that show cells of x: their gradients are folded back into these."""
        return tuple(any(pair) and mode != "zeros" for pair, mode in zip(self.padding, self.padding_modes, strict=True))

    @functools.cached_property
    def regions(self) -> Pairs:
        """The first and the end of the padded cells that show x on every axis: all of them; among zeros, x's own."""
        axes = zip(self.spatial, self.padded, self.padding, self.folds, strict=True)
        return tuple((0, padded) if folds else (before, before + size) for size, padded, (before, _), folds in axes)

    @functools.cached_property
    def out_spatial(self) -> tuple[int, ...]:
        """The spatial shape of y."""
        triples = zip(self.padded, self.extent, self.stride, strict=True)
        return tuple((size - reach) // step + 1 for size, reach, step in triples)

    @functools.cached_property
    def channels_per_group(self) -> int:
        """Channels that one filter sees."""
        return self.channels // self.groups

    @functools.cached_property
    def filters_per_group(self) -> int:
        """Filters that one channel reaches."""
        return self.filters // self.groups

    @functools.cached_property
    def x_shape(self) -> tuple[int, ...]:
        """`(batch, channels, *spatial)`."""
        return (self.batch, self.channels, *self.spatial)

    @functools.cached_property
    def y_shape(self) -> tuple[int, ...]:
        """`(batch, filters, *out_spatial)`."""
        return (self.batch, self.filters, *self.out_spatial)

    @functools.cached_property
    def weights_shape(self) -> tuple[int, ...]:
        """The weights as a bank: `(filters, channels_per_group, n)`, or `(filters, n)` where channels share them."""
        channels = (self.channels_per_group,) if self.kernel.channel_mode == "separate" else ()
        return (self.filters, *channels, self.kernel.n_anchors)

    @functools.cached_property
    def sums_channels(self) -> bool:
        """Whether the channels of a group are summed before the convolution (tied weights)."""
        return self.kernel.channel_mode == "tied"

    @functools.cached_property
    def n_summed(self) -> int:
        """How many channels each one that a path sees is the sum of: those of a group with tied weights, else 1."""
        return self.channels_per_group if self.sums_channels else 1

    @functools.cached_property
    def summed(self) -> Problem:
        """The problem that a path sees: with tied weights the channels of each group are one.

        A step beyond all cells leads to none, however long it is: since paths look at each of its phases, it is cut.
        """
        stride = tuple(min(step, max(size, 1)) for step, size in zip(self.stride, self.padded, strict=True))
        if stride == self.stride and not self.sums_channels:
            return self
        return replace(self, channels=self.groups if self.sums_channels else self.channels, stride=stride)

    @property
    def renormalizes(self) -> bool:
        """Whether NaN in x counts as missing, and each output is weighed by the cells that are there."""
        return self.missing == "renormalize"

    @functools.cached_property
    def support(self) -> BoolArray:
        """The taps: bool `(1 or filters, 1 or channels_per_group, *window)`, 1 where all have the same."""
        if self.every_cell:
            return np.ones((1, 1, *self.window), dtype=bool)
        mask = self.kernel.structure.support
        if self.kernel.interpolates_channels:
            return np.moveaxis(mask, -1, 1)
        if len(mask) == 1 or self.kernel.positions.ndim == 3:
            return mask[:, None]
        return mask.reshape(self.filters, -1, *self.window)

    def cut(self, outputs: Sequence[int]) -> Problem:
        """Return the problem of so many outputs on each of the first axes, whose padding is there already."""
        cells = tuple(
            (count - 1) * step + reach for count, step, reach in zip(outputs, self.stride, self.extent, strict=False)
        )
        n = len(cells)
        padding = ((0, 0),) * n + self.padding[n:]
        return replace(self, spatial=cells + self.spatial[n:], padding=padding)

    def __repr__(self) -> str:
        """Return one line: shapes and options."""
        modes = " ".join(self.padding_modes if len(set(self.padding_modes)) > 1 else self.padding_modes[:1])
        missing = ", missing renormalized" if self.renormalizes else ""
        return (
            f"Problem(x {self.x_shape}, y {self.y_shape}, {self.kernel!r}, groups {self.groups}, stride {self.stride}, "
            f"padding {self.padding} {modes}, dilation {self.dilation}, {self.dtype} on "
            f"{self.device}{missing})"
        )


def describe(
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    kernel: InterpolatedKernel,
    options: Options,
    dtype: str,
    device: str = "cpu",
) -> Problem:
    """Return the problem that shapes and options describe; x is `(..., *spatial)` for weights `(n,)`, else as in torch.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the rule, what came and what to do.
    """
    check_kernel(kernel)
    d = kernel.n_dims
    batch, channels, spatial = _split_x_shape(x_shape, kernel, is_plain=len(weights_shape) == 1)
    groups = as_int("groups", options.groups, minimum=1)
    _check_channels(channels, groups, weights_shape, kernel)
    if len(weights_shape) > 1:
        _check_groups(groups, "filters", weights_shape[0])
    filters, _, _ = as_bank_shape(weights_shape, kernel, channels // groups)
    stride = per_axis("stride", options.stride, d, minimum=1)
    dilation = per_axis("dilation", options.dilation, d, minimum=1)
    check_choice("accuracy", options.accuracy, ACCURACIES)
    check_choice("missing", options.missing, MISSING)
    if options.missing == "renormalize" and device != "cpu":
        raise ValueError(f"`missing`='renormalize' weighs arrays on the CPU, got arrays on {device}: copy them there.")
    max_memory = None if options.max_memory is None else as_int("max_memory", options.max_memory, minimum=0)
    problem = Problem(
        kernel=kernel, batch=batch, channels=channels, filters=filters, groups=groups, spatial=spatial, stride=stride,
        dilation=dilation, padding=as_padding(options.padding, spatial, kernel.spatial_window, stride, dilation),
        padding_modes=modes_per_axis(options.padding_mode, d), dtype=dtype, device=device, accuracy=options.accuracy,
        missing=options.missing, max_memory=max_memory,
    )  # fmt: skip
    _check_sizes(problem)
    return problem


def check_kernel(kernel: object) -> None:
    """Raise `TypeError` unless a kernel came where one is asked for."""
    if not isinstance(kernel, InterpolatedKernel):
        order = ": it comes after the arrays" if is_sequence(kernel) else ""
        raise TypeError(f"`kernel` must be an InterpolatedKernel, got {type(kernel).__name__}{order}.")


def as_bank_shape(
    weights_shape: tuple[int, ...], kernel: InterpolatedKernel, channels_per_group: int | None = None
) -> tuple[int, int, int]:
    """Return the shape of weights as a bank, `(filters, channels, n)`: one channel where plain, tied or interpolated.

    Raises
    ------
    ValueError
        If the shape does not fit the kernel, or the channels that a filter sees where these are given.
    """
    n, shape = kernel.n_anchors, weights_shape
    if not shape or shape[-1] != n:
        raise ValueError(f"`weights` must end in {n} anchors to match the kernel, got shape {shape}.")
    if len(shape) == 1:
        if not kernel.shares_positions or kernel.interpolates_channels:
            raise ValueError(f"`weights` of shape (n,) need one set of positions and no channel axis, got {kernel!r}.")
        if channels_per_group is not None:
            _check_position_sets(kernel, 1, channels_per_group)
        return 1, 1, n
    is_separate = kernel.channel_mode == "separate"
    if len(shape) != 2 + is_separate or (is_separate and channels_per_group not in (None, shape[1])):
        _refuse_weights(shape, kernel, channels_per_group)
    filters, channels = shape[0], shape[1] if is_separate else 1
    _check_position_sets(kernel, filters, channels if channels_per_group is None else channels_per_group)
    if kernel.interpolates_channels and channels_per_group not in (None, kernel.window[-1]):
        raise ValueError(
            f"`window` must end in the channels of a group, {channels_per_group}, with channel_mode='interpolated', "
            f"got {kernel.window}."
        )
    return filters, channels, n


def _refuse_weights(shape: tuple[int, ...], kernel: InterpolatedKernel, channels_per_group: int | None) -> NoReturn:
    mode, n = kernel.channel_mode, kernel.n_anchors
    if channels_per_group is None:
        wanted = "(filters, channels_per_group, n)" if mode == "separate" else "(filters, n)"
        raise ValueError(f"`weights` must have shape (n,) or {wanted} for {kernel!r}, got {shape}.")
    fitting = (shape[0], channels_per_group, n) if mode == "separate" else (shape[0], n)
    raise ValueError(
        f"`weights` must have shape {fitting} for {channels_per_group} channels a group of x and "
        f"channel_mode={mode!r}, got {shape}{_count_expected(shape, kernel)}."
    )


def _count_expected(shape: tuple[int, ...], kernel: InterpolatedKernel) -> str:
    """Return how many channels weights of a shape go with, in words, where they say so."""
    goes_with = len(shape) == 3 and kernel.channel_mode == "separate"
    return f", which goes with {shape[1]} channels a group" if goes_with else ""


def _check_position_sets(kernel: InterpolatedKernel, filters: int, channels_per_group: int) -> None:
    expected = (filters, channels_per_group)[: kernel.positions.ndim - 2]
    if kernel.positions.shape[:-2] != expected:
        raise ValueError(
            f"`positions` of shape {kernel.positions.shape} must start with {expected} to match the weights' filters "
            "and channels."
        )


def _split_x_shape(
    x_shape: tuple[int, ...], kernel: InterpolatedKernel, is_plain: bool
) -> tuple[int, int, tuple[int, ...]]:
    """Return batch, channels and spatial axes of x; plain weights take leading axes of any number as the batch."""
    d = kernel.n_dims
    if is_plain:
        if len(x_shape) < d:
            raise ValueError(f"`x` must have at least the kernel's {d} spatial axes, got shape {x_shape}.")
        lead = x_shape[: len(x_shape) - d]
        return int(np.prod(lead, dtype=np.int64)), 1, x_shape[len(lead) :]
    if len(x_shape) not in (d + 1, d + 2):
        raise ValueError(
            f"`x` must have shape (batch, channels, *spatial), or lack the batch axis, with {d} spatial axes, "
            f"got {x_shape}. "
            "Plain (*spatial) arrays go with weights of shape (n,)."
        )
    batch = x_shape[0] if len(x_shape) == d + 2 else 1
    return batch, x_shape[-d - 1], x_shape[-d:]


def _check_channels(channels: int, groups: int, weights_shape: tuple[int, ...], kernel: InterpolatedKernel) -> None:
    """Raise unless x has whole groups of channels; weights and windows that count them say how many there must be."""
    if channels and channels % groups == 0:
        return
    of_group = kernel.window[-1] if kernel.interpolates_channels else 0
    if len(weights_shape) == 3 and kernel.channel_mode == "separate":
        of_group = weights_shape[1]
    if of_group == 0:
        _check_groups(groups, "x's channels", channels)
    raise ValueError(
        f"`x` must have {groups * of_group} channels, {of_group} in each of `groups`={groups}, for weights of shape "
        f"{weights_shape} and {kernel!r}, got {channels}."
    )


def _check_groups(groups: int, what: str, count: int) -> None:
    if count == 0 or count % groups:
        name = what.split()[-1]
        raise ValueError(f"`groups` must divide {what}, got groups={groups} and {count} {name}.")


def _check_sizes(problem: Problem) -> None:
    for axis, (padded, reach) in enumerate(zip(problem.padded, problem.extent, strict=True)):
        if reach > padded:
            raise ValueError(
                f"`window` must fit into the padded input: on spatial axis {axis} it reaches {reach} cells "
                f"and the input has {padded}. "
                "Use padding='same', or a smaller window or dilation."
            )
    check_shown(problem.spatial, problem.padding_modes)
    if max(math.prod((problem.batch, problem.channels, *problem.padded)), math.prod(problem.y_shape)) >= 2**62:
        raise ValueError(
            f"`x` of shape {problem.x_shape} with `padding` {problem.padding} gives arrays of 2^62 cells or more."
        )
