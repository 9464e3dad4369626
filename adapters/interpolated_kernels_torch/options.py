"""Options on their way to the core: plain tuples and ints, and sizes left open where a trace may meet others."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels_torch.constants import Settled, settle

ANY_SIZE = 2**15
"""Stands for a spatial size that is not known yet."""


def settle_options(
    x_shape: Any, weights_shape: Any, kernel: ik.InterpolatedKernel, dtype: str, **options: Any
) -> Settled:
    """Return stride, (before, after) padding, dilation and groups as the core reads them.

    Raises
    ------
    TypeError, ValueError
        As the core raises them.
    """
    plain = {name: _plain(value) for name, value in options.items()}
    settled: Settled = settle(
        kernel, _known_shape(x_shape, len(weights_shape), kernel, plain), _plain(tuple(weights_shape)), dtype, **plain
    )
    return settled


def _known_shape(x_shape: Any, weights_ndim: int, kernel: ik.InterpolatedKernel, options: dict[str, Any]) -> Any:
    """Return x's shape; in a trace with open sizes, except where the padding depends on them."""
    if not torch.compiler.is_dynamo_compiling() and all(type(size) is int for size in x_shape):
        return tuple(x_shape)
    stride = options["stride"]
    if options["padding"] == "same" and any(step != 1 for step in (stride if isinstance(stride, tuple) else (stride,))):
        return _plain(tuple(x_shape))
    n_dims = len(kernel.window) - (kernel.channel_mode == "interpolated")
    channel_axis = len(x_shape) - n_dims - 1 if weights_ndim > 1 else -1
    sizes = [ANY_SIZE] * len(x_shape)
    if channel_axis >= 0:
        sizes[: channel_axis + 1] = [1] * channel_axis + [_plain(x_shape[channel_axis])]
    return tuple(sizes)


def _plain(option: Any) -> Any:
    """Return an option with tuples for lists and arrays, and ints for what a trace leaves open."""
    if isinstance(option, np.ndarray):
        option = option.tolist()
    if isinstance(option, (list, tuple)):
        return tuple(_plain(entry) for entry in option)
    return (
        operator.index(option) if isinstance(option, (int, torch.SymInt)) and not isinstance(option, bool) else option
    )
