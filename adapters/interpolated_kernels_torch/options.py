"""Options on their way to the core: plain tuples and ints, and sizes left open where a trace may meet others."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels.adapting import Shape
from interpolated_kernels_torch.constants import PlainOptions, settle
from interpolated_kernels_torch.engines import is_jit_tracing


def settle_options(
    x_shape: Any, weights_shape: Any, kernel: ik.InterpolatedKernel, dtype: str, **options: Any
) -> PlainOptions:
    """Return stride, (before, after) padding, its modes, dilation and groups as the core reads them.

    Raises
    ------
    TypeError, ValueError
        As the core raises them.
    """
    plain = {name: make_plain(value) for name, value in options.items()}
    shape, bank = _open_shape(x_shape, len(weights_shape), kernel), make_plain(tuple(weights_shape))
    settled: PlainOptions = settle(kernel, shape, bank, dtype, **plain)
    if None in settled[1]:  # sizes decide the padding, so that the trace serves these alone
        settled = settle(kernel, make_plain(tuple(x_shape)), bank, dtype, **plain)
    return settled


def _open_shape(x_shape: Any, weights_ndim: int, kernel: ik.InterpolatedKernel) -> Shape:
    """Return x's shape; in a trace all sizes but the channels are open, so that it serves others too."""
    if not torch.compiler.is_dynamo_compiling() and all(type(size) is int for size in x_shape):
        return tuple(x_shape)
    n_dims = len(kernel.window) - (kernel.channel_mode == "interpolated")
    channel_axis = len(x_shape) - n_dims - 1 if weights_ndim > 1 else -1
    return tuple(make_plain(size) if axis == channel_axis else None for axis, size in enumerate(x_shape))


def make_plain(option: Any) -> Any:
    """Return an option with tuples for lists and arrays, and ints for what a trace leaves open."""
    if isinstance(option, (str, bool)):
        return option
    if isinstance(option, (int, torch.SymInt)):
        return operator.index(option)
    if isinstance(option, np.ndarray):
        option = option.tolist()
    if isinstance(option, (list, tuple)):
        return tuple(map(make_plain, option))
    if isinstance(option, torch.Tensor) and is_jit_tracing():  # the sizes of weights and channels
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined] # torch's own
            return int(option)
    return option
