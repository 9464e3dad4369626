"""Weights to the dense kernel, and its transpose: `dense = A @ weights`, in float64, cast at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interpolated_kernels.anchor_gradients import anchor_gradients
from interpolated_kernels.arrays import FloatArray, as_floats, compute_dtype, result_dtype
from interpolated_kernels.geometry import check_kernel_filters
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.splatting import gather_splats, profile_of, spread_splats


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients of a scalar loss, each in the shape of what it is the gradient by; None for what was not asked for."""

    x: FloatArray | None = None
    weights: FloatArray | None = None
    positions: FloatArray | None = None
    widths: FloatArray | None = None


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
    weights = as_floats("weights", weights)
    bank = as_bank(weights, kernel)
    dense = densify_bank(bank.astype(np.float64, copy=False), kernel)
    shape = kernel.window if weights.ndim == 1 else dense.shape
    return dense.reshape(shape).astype(result_dtype(weights), copy=False)


def densify_backward(
    grad_dense: Any, weights: Any, kernel: InterpolatedKernel, wrt: Sequence[str] = ("weights",)
) -> Gradients:
    """Return the gradients of a loss whose gradient by the dense kernel is `grad_dense`.

    Parameters
    ----------
    grad_dense : array of float
        In the shape that `densify` returns.
    weights, kernel
        As passed to `densify`.
    wrt : sequence of str
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
    weights, grad_dense = as_floats("weights", weights), as_floats("grad_dense", grad_dense)
    check_wrt(wrt, kernel, ("weights",))
    bank = as_bank(weights, kernel)
    dense_channels = kernel.window[-1] if kernel.interpolates_channels else bank.shape[1]
    bank_shape = (bank.shape[0], dense_channels, *kernel.spatial_window)
    expected = kernel.window if weights.ndim == 1 else bank_shape
    if grad_dense.shape != expected:
        raise ValueError(f"`grad_dense` must have the dense kernel's shape {expected}, got {grad_dense.shape}.")
    found = bank_gradients(grad_dense.reshape(bank_shape), bank, kernel, wrt)
    if found.weights is None:
        return found
    grad = found.weights.reshape(weights.shape).astype(result_dtype(weights), copy=False)
    return replace(found, weights=grad)


def bank_gradients(
    grad_dense: FloatArray, bank: FloatArray, kernel: InterpolatedKernel, wrt: Sequence[str]
) -> Gradients:
    """Return the gradients by a bank `(filters, channels, n)`, positions and widths, all float64."""
    grad_dense, bank = (np.asarray(array, dtype=np.float64) for array in (grad_dense, bank))
    grads: dict[str, FloatArray | None] = {}
    if "weights" in wrt:
        grads["weights"] = gather_bank(grad_dense, kernel)
    if "positions" in wrt or "widths" in wrt:
        by_window = np.moveaxis(grad_dense, 1, -1)[:, None] if kernel.interpolates_channels else grad_dense
        by_positions, by_widths = anchor_gradients(by_window, bank, kernel)
        grads |= {name: by for name, by in (("positions", by_positions), ("widths", by_widths)) if name in wrt}
    return Gradients(**grads)


def check_wrt(wrt: Sequence[str], kernel: InterpolatedKernel, always: tuple[str, ...]) -> None:
    """Raise `ValueError` unless every name in `wrt` has a derivative."""
    allowed = (*always, *kernel.interpolator.differentiable_by)
    unknown = [name for name in ([wrt] if isinstance(wrt, str) else wrt) if name not in allowed]
    if unknown or isinstance(wrt, str):
        raise ValueError(f"`wrt` must be a tuple of names from {allowed} for {kernel.interpolator}, got {wrt!r}.")
    if "widths" in wrt and kernel.widths is None:
        raise ValueError("`wrt` names 'widths' and the kernel has none: pass `widths` to it, such as the default's.")


def as_bank(weights: FloatArray, kernel: InterpolatedKernel) -> FloatArray:
    """Return weights as `(filters, channels, n)`, one channel where they are plain, tied or interpolated.

    Raises
    ------
    ValueError
        If the shape does not fit the kernel.
    """
    n = kernel.n_anchors
    if weights.ndim == 0 or weights.shape[-1] != n:
        raise ValueError(f"`weights` must end in {n} anchors to match the kernel, got shape {weights.shape}.")
    if weights.ndim == 1:
        if not kernel.shares_positions or kernel.interpolates_channels:
            raise ValueError(f"`weights` of shape (n,) need one set of positions and no channel axis, got {kernel!r}.")
        return weights.reshape(1, 1, n)
    expected_ndim = 3 if kernel.channel_mode == "separate" else 2
    if weights.ndim != expected_ndim:
        names = "(filters, channels_per_group, n)" if expected_ndim == 3 else "(filters, n)"
        raise ValueError(f"`weights` must have shape (n,) or {names} for {kernel!r}, got {weights.shape}.")
    bank = weights if expected_ndim == 3 else weights[:, None, :]
    check_kernel_filters(kernel, bank.shape[0], bank.shape[1])
    return bank


def densify_bank(bank: FloatArray, kernel: InterpolatedKernel) -> FloatArray:
    """Return the dense bank `(filters, channels, *spatial_window)` in float64; cells that no anchor can reach are 0."""
    filters, channels, n = bank.shape
    if kernel.structure.factors is not None:
        factors = kernel.structure.factors
        dense = bank[:, :, factors.order].reshape(-1, *factors.grid_shape)
        for axis, factor in enumerate(factors.axes):
            dense = apply_matrix(factor.matrix.T, dense, axis + 1)
    elif kernel.shares_positions:
        dense = apply_matrix(kernel.matrix.T, bank.reshape(-1, n), 1)
    elif profile_of(kernel) is not None:
        sets = kernel.position_sets
        dense = spread_splats(bank.reshape(len(sets), -1, n), sets, kernel.width_sets, kernel)
    else:
        dense = np.stack([apply_matrix(matrix.T, rows, 1) for matrix, rows in _matrices_and_rows(bank, kernel)])
    dense = dense.reshape(filters, channels, *kernel.window)
    _mask(dense, kernel)
    return np.moveaxis(dense[:, 0], -1, 1) if kernel.interpolates_channels else dense


def gather_bank(grad_dense: FloatArray, kernel: InterpolatedKernel) -> FloatArray:
    """Return the transpose of `densify_bank`: the gradient by the bank, `(filters, channels, n)`, in float64."""
    if kernel.interpolates_channels:
        grad_dense = np.moveaxis(grad_dense, 1, -1)[:, None]
    filters, channels = grad_dense.shape[:2]
    grad_dense = np.array(grad_dense, dtype=np.float64)
    _mask(grad_dense, kernel)
    if kernel.structure.factors is not None:
        factors = kernel.structure.factors
        by_node = grad_dense.reshape(-1, *kernel.window)
        for axis, factor in enumerate(factors.axes):
            by_node = apply_matrix(factor.matrix, by_node, axis + 1)
        grad = np.empty((filters, channels, kernel.n_anchors))
        grad[:, :, factors.order] = by_node.reshape(filters, channels, -1)
        return grad
    if kernel.shares_positions:
        return apply_matrix(kernel.matrix, grad_dense.reshape(filters * channels, -1), 1).reshape(filters, channels, -1)
    cells = grad_dense.reshape(filters, channels, -1)
    if profile_of(kernel) is not None:
        sets = kernel.position_sets
        by_set = cells.reshape(len(sets), -1, cells.shape[-1])
        weights = np.zeros((*by_set.shape[:2], kernel.n_anchors))
        return gather_splats(by_set, weights, sets, kernel.width_sets, kernel)[0].reshape(filters, channels, -1)
    parts = [apply_matrix(matrix, rows, 1) for matrix, rows in _matrices_and_rows(cells, kernel)]
    return np.stack(parts).reshape(filters, channels, -1)


def _matrices_and_rows(values: FloatArray, kernel: InterpolatedKernel) -> list[tuple[FloatArray, FloatArray]]:
    """Pair every position set's matrix with the rows of `values` `(filters, channels, k)` that it applies to."""
    matrices = kernel.matrix.reshape(-1, *kernel.matrix.shape[-2:])
    return list(zip(matrices, values.reshape(len(matrices), -1, values.shape[-1]), strict=True))


def _mask(dense: FloatArray, kernel: InterpolatedKernel) -> None:
    """Put 0 where no anchor reaches, whatever the values (0 * NaN is NaN): what is a tap is a matter of structure."""
    support = kernel.structure.support
    if not support.all():
        shape = (len(support), 1) if kernel.positions.ndim < 4 or len(support) == 1 else dense.shape[:2]
        dense[np.broadcast_to(~support.reshape(*shape, *kernel.window), dense.shape)] = 0.0


def apply_matrix(matrix: FloatArray, values: FloatArray, axis: int) -> FloatArray:
    """Return `values` with one axis contracted with the first axis of `matrix`, summed in index order."""
    from interpolated_kernels import loops

    moved = np.ascontiguousarray(np.moveaxis(values, axis, -1), dtype=np.float64)
    rows = loops.mix(moved.reshape(-1, moved.shape[-1]), np.ascontiguousarray(matrix, dtype=np.float64))
    return np.moveaxis(rows.reshape(*moved.shape[:-1], matrix.shape[1]), -1, axis)


def dense_in(bank: FloatArray, kernel: InterpolatedKernel, dtype: str) -> FloatArray:
    """Return the dense bank in the dtype that loops compute in."""
    return densify_bank(bank.astype(np.float64, copy=False), kernel).astype(compute_dtype(np.dtype(dtype)), copy=False)
