"""Gradients by positions and widths: from the dense kernel's gradient, through the interpolator's own derivative."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.splatting import gather_splats, profile_of


def anchor_gradients(
    grad_dense: FloatArray, bank: FloatArray, kernel: InterpolatedKernel
) -> tuple[FloatArray, FloatArray | None]:
    """Return the gradients by positions and widths, in the shapes that the kernel was given, in float64.

    Parameters
    ----------
    grad_dense : (filters, channels, *window) array of float64
    bank : (filters, channels, n) array of float64

    Raises
    ------
    AnchorError
        Where the interpolator has no derivative at these positions.
    """
    positions, widths = (
        kernel.sets_of(kernel.positions),
        None if kernel.widths is None else kernel.sets_of(kernel.widths),
    )
    rows = bank.shape[0] * bank.shape[1] // len(positions)
    weights = bank.reshape(len(positions), rows, -1)
    cells = grad_dense.reshape(len(positions), rows, -1)
    by_positions: FloatArray
    by_widths: FloatArray | None
    if profile_of(kernel) is not None:
        _, by_positions, by_widths = gather_splats(cells, weights, positions, widths, kernel)
    else:
        by_positions, by_widths = _by_matrices(cells, weights, positions, widths, kernel)
    if kernel.widths is None or by_widths is None:
        return by_positions.reshape(kernel.positions.shape), None
    return by_positions.reshape(kernel.positions.shape), by_widths.reshape(kernel.widths.shape)


def _by_matrices(
    cells: FloatArray, weights: FloatArray, positions: FloatArray, widths: FloatArray | None, kernel: InterpolatedKernel
) -> tuple[FloatArray, FloatArray | None]:
    """Return both gradients, set by set: the matrix' gradient is the sum over kernels of `grad_dense (x) weights`."""
    from interpolated_kernels import loops

    by_position, by_width = [], []
    for index, own in enumerate(positions):
        grad_matrix = loops.mix(np.ascontiguousarray(cells[index].T), np.ascontiguousarray(weights[index]))
        own_widths = None if widths is None else widths[index]
        grads = kernel.interpolator.matrix_vjp(grad_matrix, own, kernel.window, own_widths)
        by_position.append(grads[0])
        by_width.append(grads[1])
    known = [grad for grad in by_width if grad is not None]
    return np.stack(by_position), np.stack(known) if known else None
