"""Engine "native" on backends other than TensorFlow: their own convolutions, in `keras.ops`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_keras import native_lattice
from interpolated_kernels_keras.shapes import find_channel_axis, place_spatial

_FUNCTIONS = adapting.Functions(ops.abs, ops.exp, ops.relu, ops.where)


def compute_dtype(dtype: Any) -> str:
    """Return what inputs of `dtype` are computed in: float32 for narrower floats; what is no float raises."""
    return adapting.choose_compute_dtype("x", keras.backend.standardize_dtype(dtype))


def conv(x: Any, operands: dict[str, Any], settled: adapting.Settled, data_format: str) -> Any:
    """Return y for x and tensors by name: weights, and bias, positions and widths where they are given."""
    d, dtype = settled.kernel.n_dims, compute_dtype(x.dtype)
    # PyTorch's own convolutions have channels first: whatever comes is brought there once.
    inner = "channels_first" if keras.backend.backend() == "torch" else data_format
    x = _move_channels(ops.cast(x, dtype), data_format, inner, d)
    operands = {name: ops.cast(tensor, dtype) for name, tensor in operands.items()}
    if settled.kernel.channel_mode == "tied":
        x = _sum_groups(x, settled, inner)
    if None not in settled.padding:
        x = ops.pad(x, [(0, 0), *place_spatial(settled.padding, (0, 0), inner)])
    lattice = native_lattice.choose(operands, settled)
    run = _conv_dense if lattice is None else native_lattice.conv
    y = run(x, operands, settled, inner)
    if "bias" in operands:
        across = adapting.shape_bias(tuple(operands["bias"].shape), settled.weights_shape, d, inner)
        y = y + ops.reshape(operands["bias"], across)
    return _move_channels(y, inner, data_format, d)


def _conv_dense(x: Any, operands: dict[str, Any], settled: adapting.Settled, layout: str) -> Any:
    """Return y of padded x, tied channels summed, by the dense kernel.

    The backend's own "same" serves where the sizes that it depends on are not known while tracing.
    """
    return ops.conv(
        x, densify(operands, settled.kernel), strides=settled.stride,
        padding="same" if None in settled.padding else "valid",
        data_format=layout, dilation_rate=settled.dilation,
    )  # fmt: skip


def densify(operands: dict[str, Any], kernel: ik.InterpolatedKernel) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`."""
    weights = operands["weights"]
    dtype = keras.backend.standardize_dtype(weights.dtype)
    if "positions" in operands or "widths" in operands:
        adapting.check_spreads(kernel)
        namespace = adapting.Namespace(
            _FUNCTIONS, ops.einsum, ops.reshape, lambda array: ops.convert_to_tensor(array, dtype)
        )
        positions = operands.get("positions", namespace.as_array(kernel.positions))
        own = adapting.fill_widths(kernel)
        widths = operands.get("widths", None if own is None else namespace.as_array(own))
        dense = adapting.spread(weights, positions, widths, kernel, namespace)
        return ops.transpose(dense, (*range(2, len(dense.shape)), 1, 0))
    bank = ops.expand_dims(weights, 1) if len(weights.shape) == 2 else weights
    matrix, window = kernel.matrix, kernel.window
    dense = ops.einsum(f"{'fc'[: matrix.ndim - 2]}ka,fca->fck", ops.convert_to_tensor(matrix, dtype), bank)
    if kernel.interpolates_channels:
        return ops.transpose(ops.reshape(dense, (-1, *window)), (*range(1, len(window) + 1), 0))
    return ops.transpose(ops.reshape(dense, (*bank.shape[:2], *window)), (*range(2, len(window) + 2), 1, 0))


def _move_channels(x: Any, source: str, target: str, d: int) -> Any:
    return x if source == target else ops.transpose(x, adapting.reorder(range(d + 2), source, target, d))


def _sum_groups(x: Any, settled: adapting.Settled, layout: str) -> Any:
    """Return x with one channel a group: the sum of the group's."""
    axis = find_channel_axis(layout)
    parts = ops.split(x, settled.groups, axis=axis)
    return ops.concatenate([ops.sum(part, axis=axis, keepdims=True) for part in parts], axis=axis)
