"""Shapes and options become a frozen `Problem`, checked once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import BoolArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import (
    ACCURACIES,
    PADDING_MODES,
    Pairs,
    as_int,
    as_padding,
    check_choice,
    check_padding,
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
    padding_mode: str
    dtype: str
    device: str = "cpu"
    accuracy: str = "componentwise"
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
    def summed(self) -> Problem:
        """The problem that a path sees: with tied weights the channels of each group are one."""
        return replace(self, channels=self.groups) if self.sums_channels else self

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

    def __repr__(self) -> str:
        """Return one line: shapes and options."""
        return (
            f"Problem(x {self.x_shape}, y {self.y_shape}, {self.kernel!r}, groups {self.groups}, stride {self.stride}, "
            f"padding {self.padding} {self.padding_mode}, dilation {self.dilation}, {self.dtype} on {self.device})"
        )


def describe(
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    kernel: InterpolatedKernel,
    dtype: str,
    *,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    padding_mode: str = "zeros",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    device: str = "cpu",
    accuracy: str = "componentwise",
    max_memory: int | None = None,
) -> Problem:
    """Return the problem that shapes and options describe; x is `(..., *spatial)` for weights `(n,)`, else as in torch.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, the rule, what came and what to do.
    """
    if not isinstance(kernel, InterpolatedKernel):
        raise TypeError(f"`kernel` must be an InterpolatedKernel, got {type(kernel).__name__}.")
    d = kernel.n_dims
    if not weights_shape:
        raise ValueError(f"`weights` must end in {kernel.n_anchors} anchors to match the kernel, got shape ().")
    batch, channels, spatial = _split_x_shape(x_shape, weights_shape, kernel)
    filters = 1 if len(weights_shape) == 1 else weights_shape[0]
    groups = as_int("groups", groups, minimum=1)
    strides = per_axis("stride", stride, d, minimum=1)
    dilations = per_axis("dilation", dilation, d, minimum=1)
    check_choice("padding_mode", padding_mode, PADDING_MODES)
    check_choice("accuracy", accuracy, ACCURACIES)
    if max_memory is not None:
        max_memory = as_int("max_memory", max_memory, minimum=0)
    problem = Problem(
        kernel, batch, channels, filters, groups, spatial, strides, dilations,
        as_padding(padding, spatial, kernel.spatial_window, strides, dilations),
        padding_mode, dtype, device, accuracy, max_memory,
    )  # fmt: skip
    _check_groups(problem)
    _check_weights(problem, weights_shape)
    _check_sizes(problem)
    return problem


def _split_x_shape(
    x_shape: tuple[int, ...], weights_shape: tuple[int, ...], kernel: InterpolatedKernel
) -> tuple[int, int, tuple[int, ...]]:
    d = kernel.n_dims
    if len(weights_shape) == 1:
        if not kernel.shares_positions or kernel.interpolates_channels:
            raise ValueError(f"`weights` of shape (n,) need one set of positions and no channel axis, got {kernel!r}.")
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


def _check_groups(problem: Problem) -> None:
    for owner, name, count in (("x's ", "channels", problem.channels), ("", "filters", problem.filters)):
        if count == 0 or count % problem.groups:
            raise ValueError(f"`groups` must divide {owner}{name}, got groups={problem.groups} and {count} {name}.")


def _check_weights(problem: Problem, weights_shape: tuple[int, ...]) -> None:
    kernel, n = problem.kernel, problem.kernel.n_anchors
    if not weights_shape or weights_shape[-1] != n:
        raise ValueError(f"`weights` must end in {n} anchors to match the kernel, got shape {weights_shape}.")
    if len(weights_shape) > 1 and weights_shape != problem.weights_shape:
        raise ValueError(
            f"`weights` must have shape {problem.weights_shape} for x with {problem.channels} channels, "
            f"groups={problem.groups} and channel_mode={kernel.channel_mode!r}, got {weights_shape}."
        )
    check_kernel_filters(kernel, problem.filters, problem.channels_per_group)
    if kernel.interpolates_channels and kernel.window[-1] != problem.channels_per_group:
        raise ValueError(
            f"`window` must end in the channels of a group, {problem.channels_per_group}, "
            f"with channel_mode='interpolated', got {kernel.window}."
        )


def check_kernel_filters(kernel: InterpolatedKernel, filters: int, channels_per_group: int) -> None:
    """Raise `ValueError` unless per-filter positions are as many as the filters (and channels per group)."""
    expected = (filters, channels_per_group)[: kernel.positions.ndim - 2]
    if kernel.positions.shape[:-2] != expected:
        raise ValueError(
            f"`positions` of shape {kernel.positions.shape} must start with {expected} to match the weights' filters "
            "and channels."
        )


def _check_sizes(problem: Problem) -> None:
    for axis, (padded, reach) in enumerate(zip(problem.padded, problem.extent, strict=True)):
        if reach > padded:
            raise ValueError(
                f"`window` must fit into the padded input: on spatial axis {axis} it reaches {reach} cells "
                f"and the input has {padded}. "
                "Use padding='same', or a smaller window or dilation."
            )
    check_padding(problem.spatial, problem.padding, problem.padding_mode)
    products = float(np.prod([float(entry) for entry in (problem.batch, problem.channels, *problem.padded)]))
    outputs = float(np.prod([float(entry) for entry in problem.y_shape]))
    if max(products, outputs) >= 2**62:
        raise ValueError(f"`x` of shape {problem.x_shape} gives arrays of 2^62 cells or more.")
