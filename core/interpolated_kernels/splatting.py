"""Splats without their matrix: dense kernels of many position sets at once, from profiles; and the transpose."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation import Bilinear, Gaussian, Splat, Triangle
from interpolated_kernels.kernel import InterpolatedKernel


def profile_of(kernel: InterpolatedKernel) -> str | None:
    """Return the name of the loops that know the kernel's profiles, or None where only its matrix does.

    That depends on the very class: one that derives from a splat may have other profiles.
    """
    interpolator = kernel.interpolator
    if len(kernel.window) > 3:  # three spatial axes and interpolated channels
        return None
    if type(interpolator) is Bilinear:
        return "triangle" if interpolator.normalized else "share"
    names: dict[type, str] = {Gaussian: "gaussian", Triangle: "triangle"}
    return names.get(type(interpolator))


def spread_splats(
    weights: FloatArray, positions: FloatArray, widths: FloatArray | None, kernel: InterpolatedKernel
) -> FloatArray:
    """Return the dense kernels `(sets, kernels, cells)` of weights `(sets, kernels, n)` at positions `(sets, n, d)`."""
    from interpolated_kernels import loops

    dense = np.empty((*weights.shape[:2], int(np.prod(kernel.window))))
    operands = _operands(weights, positions, widths, kernel)
    loops.SPLATS[str(profile_of(kernel))].spread(*operands, dense.reshape(len(dense), -1))
    return dense


def gather_splats(
    grad: FloatArray,
    weights: FloatArray,
    positions: FloatArray,
    widths: FloatArray | None,
    kernel: InterpolatedKernel,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the gradients by weights, positions and widths of `spread_splats`, from that of its result."""
    from interpolated_kernels import loops

    grad_weights, grad_positions = np.empty(weights.shape), np.zeros(positions.shape)
    grad_widths = np.zeros(positions.shape)
    flat = np.ascontiguousarray(grad, dtype=np.float64).reshape(len(grad), -1)
    operands = _operands(weights, positions, widths, kernel)
    loops.SPLATS[str(profile_of(kernel))].gather(flat, *operands, grad_weights, grad_positions, grad_widths)
    return grad_weights, grad_positions, grad_widths


def _operands(
    weights: FloatArray, positions: FloatArray, widths: FloatArray | None, kernel: InterpolatedKernel
) -> tuple[object, ...]:
    """Return what both loops take: contiguous arrays and the window's layout."""
    from interpolated_kernels import loops

    assert isinstance(kernel.interpolator, Splat)
    full = kernel.interpolator.full_widths(positions, widths)
    d = positions.shape[-1]
    planes, rows, columns = (1,) * (3 - d) + kernel.window
    layout = loops.SplatLayout(planes, rows, columns, d, kernel.interpolator.normalized)
    arrays = (np.ascontiguousarray(array, dtype=np.float64) for array in (weights, positions, full))
    return (*arrays, layout)
