"""The original project's helpers for anchor positions; all give arrays that its layer and each other take."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.anchors import grid_positions
from interpolated_kernels.arguments import as_int, as_reals
from interpolated_kernels.arrays import FloatArray


def symmetric_filters(known_positions: Any, n_filters: int) -> FloatArray:
    """Return the same positions for every filter: `(n_filters, n, columns)`.

    Parameters
    ----------
    known_positions : array_like, window cells
        `(n, 2)`, [row, column], or `(n, 3)`, [row, column, channel].
    n_filters : int

    Raises
    ------
    ValueError
        If the positions have another shape or there is no filter.

    Examples
    --------
    >>> symmetric_filters([[0, 0], [3, 3], [0, 3]], 5).shape
    (5, 3, 2)
    """
    positions, n_filters = as_reals("known_positions", known_positions), as_int("n_filters", n_filters, minimum=1)
    if positions.ndim != 2:
        raise ValueError(f"`known_positions` must have shape (n, columns), got {positions.shape}.")
    return np.repeat(positions[None], n_filters, axis=0)


def dilated_interpolated_filters(kernel_size: int, dilation_rate: int) -> FloatArray:
    """Return the `(kernel_size^2, 2)` positions of a dilated kernel's cells: 0, r, 2r, ... on both axes, row by row.

    The window that they fill is `required_kernel_size` of them: `(kernel_size - 1) * dilation_rate + 1`.

    Raises
    ------
    ValueError
        If an argument is below 1.

    Examples
    --------
    >>> dilated_interpolated_filters(2, 3).tolist()
    [[0.0, 0.0], [0.0, 3.0], [3.0, 0.0], [3.0, 3.0]]
    """
    kernel_size = as_int("kernel_size", kernel_size, minimum=1)
    dilation_rate = as_int("dilation_rate", dilation_rate, minimum=1)
    window = (kernel_size - 1) * dilation_rate + 1
    return grid_positions((window, window), dilation_rate)


def auto_filter_positions(kernel_size: int, spacing: float) -> FloatArray:
    """Return the `(n, 2)` positions of a regular grid with this spacing, as far as a square window reaches.

    Raises
    ------
    ValueError
        If the window or the spacing is not positive.

    Examples
    --------
    >>> auto_filter_positions(4, 2).tolist()
    [[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]]
    """
    kernel_size = as_int("kernel_size", kernel_size, minimum=1)
    return grid_positions((kernel_size, kernel_size), spacing)


def required_kernel_size(kernel_positions: Any) -> int:
    """Return the smallest square window that holds all positions: the largest row or column, rounded up, plus 1.

    Parameters
    ----------
    kernel_positions : array_like, window cells
        `(..., n, 2)` or `(..., n, 3)`; a third column, the channel, does not count.

    Raises
    ------
    ValueError
        If there are fewer than 2 columns, no positions, or a row or column below 0 or not finite.

    Examples
    --------
    >>> required_kernel_size([[0, 0], [2, 4]])
    5
    """
    positions = as_reals("kernel_positions", kernel_positions).astype(np.float64)
    if positions.ndim < 2 or positions.shape[-1] not in (2, 3) or positions.size == 0:
        raise ValueError(f"`kernel_positions` must have shape (..., n, 2) or (..., n, 3), got {positions.shape}.")
    spatial = positions[..., :2]
    if not (np.isfinite(spatial) & (spatial >= 0)).all():
        raise ValueError(
            "`kernel_positions` must be finite and at least 0: a window starts at cell 0. Shift them first."
        )
    return int(np.ceil(spatial.max())) + 1
