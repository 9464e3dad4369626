"""Weights to start training from."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel


def initial_weights(kernel: InterpolatedKernel, filters: int, channels: int, rng: np.random.Generator) -> FloatArray:
    """Return uniform weights whose dense kernel has the mean square of torch's `nn.ConvNd` default.

    Parameters
    ----------
    kernel : InterpolatedKernel
    filters, channels : int
        Channels of one group.
    rng : numpy.random.Generator

    Returns
    -------
    array
        `(filters, channels, n)`, or `(filters, n)` where channels are tied or interpolated; float64.

    Raises
    ------
    ValueError
        If filters or channels are below 1 or do not fit the kernel.

    Notes
    -----
    `nn.ConvNd` draws from U(-b, b), `b = 1 / sqrt(fan_in)`, fan_in = channels x window cells (He et al. 2015 with a =
    sqrt(5)), of mean square b^2 / 3. Independent weights of mean square v give cells of mean square `v * mean(sum_a
    A[cell, a]^2)`; v is chosen so that both agree. With tied channels the kernel meets the channels' sum, and fan_in
    counts them all the same.
    """
    if filters < 1 or channels < 1:
        raise ValueError(f"`filters` and `channels` must be at least 1, got {filters} and {channels}.")
    cells = int(np.prod(kernel.spatial_window))
    target = 1.0 / (3.0 * channels * cells)
    gain = find_filling(kernel).gain()
    bound = np.sqrt(3.0 * target / gain)
    shape = (filters, channels, kernel.n_anchors) if kernel.channel_mode == "separate" else (filters, kernel.n_anchors)
    return rng.uniform(-bound, bound, shape)
