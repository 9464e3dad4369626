"""Weights to start training from."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_generator, as_int, names_options
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import check_kernel

_MOST_WEIGHTS = 2**31


@names_options()
def initial_weights(kernel: InterpolatedKernel, filters: int, channels: int, rng: Any) -> FloatArray:
    """Return uniform weights whose dense kernel has the mean square of torch's `nn.ConvNd` default.

    Parameters
    ----------
    kernel : InterpolatedKernel
    filters, channels : int
        Channels of one group.
    rng : numpy.random.Generator or int
        Decides the weights; an int is a seed.

    Returns
    -------
    array
        `(filters, channels, n)`, or `(filters, n)` where channels are tied or interpolated; float64.

    Raises
    ------
    TypeError, ValueError
        If filters or channels are no ints of at least 1, or do not fit the kernel.
    AnchorError
        If no anchor reaches a cell of the window.

    Notes
    -----
    `nn.ConvNd` draws from U(-b, b), `b = 1 / sqrt(fan_in)`, fan_in = channels x window cells (He et al. 2015 with a =
    sqrt(5)), of mean square b^2 / 3. Independent weights of mean square v give cells of mean square `v * mean(sum_a
    A[cell, a]^2)`; v is chosen so that both agree. With tied channels the kernel meets the channels' sum, and fan_in
    counts them all the same.
    """
    check_kernel(kernel)
    filters, channels = as_int("filters", filters, minimum=1), as_int("channels", channels, minimum=1)
    rng = as_generator("rng", rng)
    if filters * channels * kernel.n_anchors > _MOST_WEIGHTS:
        raise ValueError(f"`filters` times `channels` must give at most 2^31 weights, got {filters} and {channels}.")
    cells = int(np.prod(kernel.spatial_window))
    target = 1.0 / (3.0 * channels * cells)
    gain = find_filling(kernel).gain()
    if gain == 0:
        raise AnchorError(f"`positions` must reach a cell of the window, so that weights have a scale, got {kernel!r}.")
    bound = np.sqrt(3.0 * target / gain)
    shape = (filters, channels, kernel.n_anchors) if kernel.channel_mode == "separate" else (filters, kernel.n_anchors)
    return rng.uniform(-bound, bound, shape)
