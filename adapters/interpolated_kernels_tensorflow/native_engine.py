"""Engine "native": TensorFlow's own convolution of the dense kernel, so that XLA, export and accelerators work."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_tensorflow.edge import compute_dtype, result_dtype

LAYOUT = "channels_last"
_DATA_FORMATS = ("NWC", "NHWC", "NDHWC")
_PAD_MODES = {"zeros": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}


def check(x: Any, weights: Any, path: str) -> None:
    """Raise where a path of the core was asked for by name.

    Raises
    ------
    ValueError
        Saying which engine serves instead.
    """
    adapting.check_engine("native", path)


def conv(x: Any, weights: Any, settled: adapting.Settled, options: dict[str, Any]) -> Any:
    """Return y `(batch, *out_spatial, filters)`, or without what x lacks: the batch, or plain weights' channels."""
    d, dtype, computed = settled.kernel.n_dims, result_dtype(x, weights), compute_dtype(x, weights)
    x, weights = tf.cast(x, computed), tf.cast(weights, computed)
    shape, plain = tf.shape(x), weights.shape.rank == 1
    lead = shape[:-d] if plain else shape[: -d - 1]
    spatial = shape[-d:] if plain else shape[-d - 1 : -1]
    n_samples = tf.reduce_prod(lead)
    x = tf.reshape(x, tf.concat([[n_samples], spatial, [settled.channels]], 0))
    if x.shape[0] is None or x.shape[0] == 0:
        # TensorFlow's own convolution of no samples has wrong shapes on some processors: one of zeros stands for them.
        x = tf.pad(x, [(0, tf.maximum(1 - n_samples, 0)), *((0, 0),) * (d + 1)])
    x = _pad(x, _find_padding(settled, spatial), settled)
    parts = tf.split(x, settled.groups, -1)
    if settled.kernel.channel_mode == "tied":
        parts = [tf.reduce_sum(part, -1, keepdims=True) for part in parts]
    # With both, TensorFlow refuses: then the zeros of the dilation stand in the kernel.
    stuffed = max(settled.stride) > 1 and max(settled.dilation) > 1
    dense = densify(weights, settled.kernel, settled.dilation if stuffed else (1,) * d)
    kernels = tf.split(dense, settled.groups, -1)
    how = {
        "strides": settled.stride,
        "dilations": (1,) * d if stuffed else settled.dilation,
        "data_format": _DATA_FORMATS[d - 1],
    }
    # One convolution a group: on the CPU, grouped ones have no gradient.
    y = tf.concat(
        [tf.nn.convolution(part, k, padding="VALID", **how) for part, k in zip(parts, kernels, strict=True)], -1
    )[:n_samples]
    tail = tf.shape(y)[1 : -1 if plain else None]
    return tf.cast(tf.reshape(y, tf.concat([lead, tail], 0)), dtype)


def densify(weights: Any, kernel: ik.InterpolatedKernel, dilation: tuple[int, ...]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, with a dilation's zeros between its cells."""
    bank = tf.reshape(weights, (1, 1, -1)) if weights.shape.rank == 1 else weights
    bank = bank[:, None] if bank.shape.rank == 2 else bank
    matrix, window = adapting.dilate_matrix(kernel, dilation)
    dense = tf.einsum(f"{'fc'[: matrix.ndim - 2]}ka,fca->fck", tf.constant(matrix, weights.dtype), bank)
    if kernel.interpolates_channels:
        dense = tf.reshape(dense, (-1, *window))
        return tf.transpose(dense, (*range(1, len(window) + 1), 0))
    dense = tf.reshape(dense, (*bank.shape[:2], *window))
    return tf.transpose(dense, (*range(2, len(window) + 2), 1, 0))


def _find_padding(settled: adapting.Settled, spatial: Any) -> Any:
    """Return `(before, after)` an axis; as tensors where a size that tracing does not know decides it."""
    if None not in settled.padding:
        return settled.padding
    step, extent = tf.constant(settled.stride), tf.constant(settled.extent)
    totals = tf.unstack(tf.maximum((-(-spatial // step) - 1) * step + extent - spatial, 0))
    pairs = ((total // 2, total - total // 2) for total in totals)
    return [same if pair is None else pair for pair, same in zip(settled.padding, pairs, strict=True)]


def _pad(x: Any, pairs: Any, settled: adapting.Settled) -> Any:
    """Return x `(batch, *spatial, channels)` with its padding, all axes of a mode at once."""
    axes = [axis for axis, pair in enumerate(settled.padding) if pair != (0, 0)]
    for mode in sorted({settled.padding_modes[axis] for axis in axes}):
        x = _pad_alike(x, pairs, [axis for axis in axes if settled.padding_modes[axis] == mode], mode)
    return x


def _pad_alike(x: Any, pairs: Any, axes: list[int], mode: str) -> Any:
    """Return x with padding on some spatial axes: TensorFlow's own where it serves, else by the cells that it shows."""
    if all(_is_within(pairs[axis], x.shape[axis + 1], mode) for axis in axes):
        alike = (pair if axis in axes else (0, 0) for axis, pair in enumerate(pairs))
        return tf.pad(x, [(0, 0), *alike, (0, 0)], _PAD_MODES[mode])
    for axis in axes:
        (before, after), size = pairs[axis], tf.shape(x)[axis + 1]
        x = tf.gather(x, adapting.show_cells(tf.range(-before, size + after), size, mode), axis=axis + 1)
    return x


def _is_within(pair: Any, size: int | None, mode: str) -> bool:
    """Return whether TensorFlow itself pads an axis so far: it mirrors once, and a size must be known to tell."""
    if mode in ("reflect", "symmetric"):
        return size is not None and max(pair) <= size - (mode == "reflect")
    return mode in _PAD_MODES
