"""`from_dense`: the anchors of a dense kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_floats
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import fetch
from interpolated_kernels.filling import find_filling
from interpolated_kernels.fitting.result import Fit, pack_fit, scale_errors
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import load
from interpolated_kernels.problem import as_bank_shape, check_kernel


def from_dense(dense: Any, kernel: InterpolatedKernel) -> Fit:
    """Return the weights whose dense kernel is nearest to a given one: any pretrained kernel, by anchors.

    Parameters
    ----------
    dense : array of float
        In the shape that `densify` returns: `window`, or `(filters, channels, *spatial)`; tied channels may be many.
    kernel : InterpolatedKernel

    Returns
    -------
    Fit
        `residual` is the root mean square error over a filter's cells. Of all weights as near, those of least norm.

    Raises
    ------
    TypeError, ValueError
        For what is not floating, not finite, or of a shape that `densify` does not return for this kernel.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> fitted = ik.from_dense(numpy.array([1.0, 2.0, 3.0]), kernel)
    >>> fitted.weights.round(6), round(fitted.residual, 6)
    (array([1., 3.]), 0.0)
    """
    check_kernel(kernel)
    dense = fetch(as_floats("dense", dense)).astype(np.float64, copy=False)
    is_plain = dense.shape == kernel.window
    channels = kernel.window[-1] if kernel.interpolates_channels else (dense.shape[1] if dense.ndim > 1 else 0)
    if not is_plain and dense.shape[1:] != (channels, *kernel.spatial_window):
        raise ValueError(
            f"`dense` must have shape {kernel.window} or (filters, channels, *{kernel.spatial_window}), "
            f"got {dense.shape}."
        )
    bank_shape = (len(dense), *((channels,) if kernel.channel_mode == "separate" else ()), kernel.n_anchors)
    as_bank_shape(bank_shape[-1:] if is_plain else bank_shape, kernel)  # refuses filters without a position set
    if not np.isfinite(dense).all():
        raise ValueError("`dense` must be finite.")
    bank = dense.reshape(1, 1, *kernel.window) if is_plain else dense
    # One kernel for all channels is nearest to all of them at once where it is nearest to their mean.
    nearest = bank.mean(axis=1, keepdims=True) if kernel.channel_mode == "tied" else bank
    cells = np.moveaxis(nearest, 1, -1)[:, None] if kernel.interpolates_channels else nearest
    lead = cells.shape[:2]
    by_set = cells.reshape(len(kernel.matrices), -1, kernel.matrices.shape[1])
    solved = [_solve_matrix(matrix, right) for matrix, right in zip(kernel.matrices, by_set, strict=True)]
    weights: FloatArray = np.stack([found for found, _ in solved]).reshape(*lead, -1)
    filled = find_filling(kernel).apply(weights)
    left = filled - bank
    squares = np.square(left).reshape(len(left), -1).sum(axis=1)
    n_cells, n_weights = left[0].size, weights[0].size
    spreads = [np.broadcast_to(spread, found.shape) for found, spread in solved]
    spread = np.stack(spreads).reshape(len(weights), n_weights)
    shape = weights.shape if kernel.channel_mode == "separate" else (len(weights), weights.shape[-1])
    return pack_fit(
        shape,
        is_plain,
        [
            {
                "weights": weights,
                "residual": np.sqrt(squares / n_cells),
                "standard_errors": scale_errors(spread, squares, n_cells, n_weights),
                "total": filled.sum(axis=tuple(range(1, filled.ndim))),
            }
        ],
    )


def _solve_matrix(matrix: FloatArray, cells: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the weights of least norm whose kernels `(kernels, cells)` are nearest, and errors for unit variance.

    Not by the normal equations, which square the condition: anchors that stand close would lose half of the digits.
    """
    left, values, right = load("scipy.linalg").svd(matrix, full_matrices=False)
    known = values > max(matrix.shape) * 2.0**-52 * values[0]
    shares = right[known] / values[known, None]
    open_share = 1.0 - np.square(right[known]).sum(axis=0)
    spread = np.where(open_share > 1e-8, np.inf, np.sqrt(np.square(shares).sum(axis=0)))
    return cells @ left[:, known] @ shares, spread
