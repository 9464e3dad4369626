"""Dense kernels by TensorFlow's operations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting

_FUNCTIONS = adapting.Functions(tf.abs, tf.exp, tf.nn.relu, tf.where)


def densify(operands: dict[str, Any], kernel: ik.InterpolatedKernel, dilation: tuple[int, ...]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, with a dilation's zeros between its cells."""
    weights = operands["weights"]
    if "positions" in operands or "widths" in operands:
        dense = densify_moved(weights, kernel, operands.get("positions"), operands.get("widths"))
        dense = dense[None, None] if weights.shape.rank == 1 else dense
        return _dilate(tf.transpose(dense, (*range(2, dense.shape.rank), 1, 0)), dilation)
    bank = tf.reshape(weights, (1, 1, -1)) if weights.shape.rank == 1 else weights
    bank = bank[:, None] if bank.shape.rank == 2 else bank
    matrix, window = adapting.dilate_matrix(kernel, dilation)
    dense = tf.einsum(f"{'fc'[: matrix.ndim - 2]}ka,fca->fck", tf.constant(matrix, weights.dtype), bank)
    if kernel.interpolates_channels:
        dense = tf.reshape(dense, (-1, *window))
        return tf.transpose(dense, (*range(1, len(window) + 1), 0))
    dense = tf.reshape(dense, (*bank.shape[:2], *window))
    return tf.transpose(dense, (*range(2, len(window) + 2), 1, 0))


def densify_moved(weights: Any, kernel: ik.InterpolatedKernel, positions: Any, widths: Any) -> Any:
    """Return the dense kernel as `ik.densify` does, by the formulas of splats and cones, differentiable to any order.

    Positions or widths that are None are the kernel's.
    """
    dtype = weights.dtype
    namespace = adapting.Namespace(_FUNCTIONS, tf.einsum, tf.reshape, lambda array: tf.constant(array, dtype))
    own = adapting.fill_widths(kernel)
    widths = own if widths is None else widths
    positions = tf.cast(kernel.positions if positions is None else positions, dtype)
    return adapting.spread(weights, positions, None if widths is None else tf.cast(widths, dtype), kernel, namespace)


def _dilate(dense: Any, dilation: tuple[int, ...]) -> Any:
    """Return a dense kernel `(*window, channels, filters)` with zeros between its cells."""
    for axis, apart in enumerate(dilation):
        if apart > 1:
            spread = tf.stack([dense, *[tf.zeros_like(dense)] * (apart - 1)], axis + 1)
            shape = [*dense.shape[:axis], dense.shape[axis] * apart, *dense.shape[axis + 1 :]]
            cells = (*(slice(None),) * axis, slice(None, shape[axis] - apart + 1))
            dense = tf.reshape(spread, shape)[cells]
    return dense
