"""Weights to the dense kernel, and its transpose: `dense = A @ weights`, in float64, cast at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_floats, names_options
from interpolated_kernels.arrays import FloatArray, compute_dtype, lay_out, result_dtype
from interpolated_kernels.edge import find_device, give, hand_back, promote
from interpolated_kernels.gradients import Gradients, list_wrt, pull_back
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.memory import find_memory
from interpolated_kernels.problem import as_bank_shape, check_kernel


@names_options()
def densify(weights: Any, kernel: InterpolatedKernel) -> FloatArray:
    """Return the dense kernel of the weights.

    Parameters
    ----------
    weights : array of float
        `(n,)` for one plain kernel; `(filters, channels_per_group, n)`; `(filters, n)` where channels are tied or
        interpolated.
    kernel : InterpolatedKernel

    Returns
    -------
    array
        `window` for plain weights, else `(filters, channels, *spatial)` with one channel where they are tied; the
        weights' dtype.

    Raises
    ------
    TypeError
        For weights that are not floats.
    ValueError
        For a shape that does not fit the kernel.

    Notes
    -----
    `dense[cell] = sum_a A[cell, a] weights[a]`, `A` being `kernel.matrix`; summed in float64 in the anchors' order and
    cast at the end, so that a filter's kernel does not depend on what else is in the bank.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> ik.densify(numpy.array([0.0, 2.0]), ik.InterpolatedKernel([[0], [2]], 3, "linear"))
    array([0., 1., 2.])
    """
    check_kernel(kernel)
    weights = as_floats("weights", weights)
    dtype, device = result_dtype(weights), find_device(weights=weights)
    bank = lay_out(weights, compute_dtype(dtype), as_bank_shape(tuple(weights.shape), kernel))
    memory = find_memory(device)
    with memory.use(device):
        dense = memory.find_filling(kernel, "auto").apply(bank, compute_dtype(dtype))
        return give(dense, kernel.window if weights.ndim == 1 else dense.shape, dtype)


@names_options()
def densify_backward(
    grad_dense: Any, weights: Any, kernel: InterpolatedKernel, wrt: str | Iterable[str] = ("weights",)
) -> Gradients:
    """Return the gradients of a loss whose gradient by the dense kernel is `grad_dense`.

    Parameters
    ----------
    grad_dense : array of float
        In the shape that `densify` returns.
    weights, kernel
        As passed to `densify`.
    wrt : str or iterable of str
        Of "weights", and of what the interpolator is differentiable by.

    Returns
    -------
    Gradients
        `weights` in the weights' shape and dtype: `A^T grad_dense`. `positions` and `widths` in the shapes that the
        kernel was given, float64: position sets that are equal have gradients of their own.

    Raises
    ------
    ValueError
        For a shape that does not fit, or a name in `wrt` that the interpolator has no derivative by.
    AnchorError
        Where a matrix has no derivative by positions: collinear anchors of a spline with a linear trend.
    """
    check_kernel(kernel)
    weights, grad_dense = as_floats("weights", weights), as_floats("grad_dense", grad_dense)
    names = list_wrt(wrt, kernel, ("weights",))
    device = find_device(weights=weights, grad_dense=grad_dense)
    bank = lay_out(weights, compute_dtype(result_dtype(weights)), as_bank_shape(tuple(weights.shape), kernel))
    dense_channels = kernel.window[-1] if kernel.interpolates_channels else bank.shape[1]
    bank_shape = (bank.shape[0], dense_channels, *kernel.spatial_window)
    expected = kernel.window if weights.ndim == 1 else bank_shape
    if tuple(grad_dense.shape) != expected:
        raise ValueError(f"`grad_dense` must have the dense kernel's shape {expected}, got {grad_dense.shape}.")
    dtype = compute_dtype(promote(("weights", "grad_dense"), weights, grad_dense))
    memory = find_memory(device)
    with memory.use(device):
        given = lay_out(grad_dense, np.dtype(np.float64), bank_shape)
        found = pull_back(memory.find_filling(kernel, "auto"), given, bank, dtype, names)
        return replace(found, weights=hand_back(found.weights, weights))
