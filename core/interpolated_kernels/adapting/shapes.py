"""Shapes and axes as frameworks have them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel


def shape_bias(
    bias_shape: Sequence[int | None], weights_shape: Sequence[int], n_dims: int, data_format: str = "channels_first"
) -> tuple[int, ...]:
    """Return the shape in which a bias is added to y: `(filters, 1, ...)`, `(filters,)` where channels are last.

    Raises
    ------
    ValueError
        Unless there is one value a filter: shape `(filters,)`, or one value for plain weights.

    Examples
    --------
    >>> shape_bias((6,), (6, 4, 9), n_dims=2)
    (6, 1, 1)
    """
    is_plain = len(weights_shape) == 1
    expected = () if is_plain else (weights_shape[0],)
    if tuple(bias_shape) != expected and not (is_plain and tuple(bias_shape) == (1,)):
        raise ValueError(f"`bias` must have shape {expected}, one a filter, got {tuple(bias_shape)}.")
    return expected if is_plain or data_format == "channels_last" else (*expected, *(1,) * n_dims)


def reorder(axes: Iterable[Any], source: str, target: str, n_dims: int) -> list[Any]:
    """Return what belongs to the axes of one data format in the order of another; `n_dims` axes are spatial.

    Examples
    --------
    >>> reorder(("batch", "rows", "columns", "channels"), "channels_last", "channels_first", 2)
    ['batch', 'channels', 'rows', 'columns']
    """
    axes = list(axes)
    if source == target or len(axes) <= n_dims:
        return axes
    lead, rest = axes[: -n_dims - 1], axes[-n_dims - 1 :]
    return [*lead, rest[-1], *rest[:-1]] if target == "channels_first" else [*lead, *rest[1:], rest[0]]


def dilate_matrix(kernel: InterpolatedKernel, dilation: Sequence[int]) -> tuple[FloatArray, tuple[int, ...]]:
    """Return the interpolation matrix of the dilated kernel, zeros between its cells, and that kernel's window.

    For frameworks whose convolution takes no dilation beside a stride.

    Returns
    -------
    array of float64
        As `kernel.matrix`, `(..., cells, n)`, for the larger window.
    tuple of int
        `(window - 1) * dilation + 1`; a channel axis stays as it is.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> matrix, window = dilate_matrix(ik.InterpolatedKernel([[0], [1]], 2, "linear"), (3,))
    >>> matrix.tolist(), window
    ([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], (4,))
    """
    steps = (*dilation, 1)[: len(kernel.window)]
    window = tuple((cells - 1) * step + 1 for cells, step in zip(kernel.window, steps, strict=True))
    lead, n = kernel.matrix.shape[:-2], kernel.n_anchors
    matrix = np.zeros((*lead, *window, n))
    cells: Any = (..., *(slice(None, None, step) for step in steps), slice(None))
    matrix[cells] = kernel.matrix.reshape(*lead, *kernel.window, n)
    return matrix.reshape(*lead, -1, n), window


def read_bank(
    kernel: InterpolatedKernel, weights: Any, groups: int, in_channels: int | None = None
) -> tuple[FloatArray, int]:
    """Return the weights that a file holds for a layer, and its input's channels.

    Parameters
    ----------
    kernel : InterpolatedKernel
    weights : array or None
    groups : int
    in_channels : int, optional
        What the caller knows; needed where channels are tied.

    Raises
    ------
    ValueError
        If the weights are no bank for a layer of this kernel, or do not tell the channels.
    """
    expected = 3 if kernel.channel_mode == "separate" else 2
    if weights is None or weights.ndim != expected:
        came = "none" if weights is None else f"shape {weights.shape}"
        raise ValueError(f"`path` must hold weights of {expected} axes for {kernel!r}, got {came}.")
    if in_channels is not None:
        return weights, in_channels
    if kernel.channel_mode == "tied":
        raise ValueError(f"`in_channels` must be given for {kernel!r}: tied weights do not tell.")
    return weights, int(weights.shape[1] if expected == 3 else kernel.window[-1]) * groups


@functools.lru_cache(maxsize=32)
def keep_whole_kernel(window: tuple[int, ...], channel_mode: str) -> InterpolatedKernel:
    """Return the kernel with an anchor on every cell: its weights are the dense kernel of one of a channel mode.

    Examples
    --------
    >>> keep_whole_kernel((2, 3), "interpolated")
    InterpolatedKernel(6 anchors, window 2x3, Dilated())
    """
    mode = "tied" if channel_mode == "tied" else "separate"
    return InterpolatedKernel(grid_positions(window, 1), window, "dilated", channel_mode=mode)
