"""Engine "native": TensorFlow's own operations, so that XLA, export and accelerators work."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from interpolated_kernels import adapting
from interpolated_kernels_tensorflow import native_lattice
from interpolated_kernels_tensorflow.convolving import convolve
from interpolated_kernels_tensorflow.densifying import densify

LAYOUT = "channels_last"
_PAD_MODES = {"zeros": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}


def conv(operands: dict[str, Any], settled: adapting.Settled, options: dict[str, Any]) -> Any:
    """Return y `(batch, *out_spatial, filters)`, or without what x lacks: the batch, or plain weights' channels.

    Operands are tensors by name: x and weights of one dtype, and bias, positions and widths where they are given.
    """
    del options  # what of them is not settled chooses among the core's algorithms
    if "positions" in operands or "widths" in operands:
        adapting.check_spreads(settled.kernel)
    kernel, d, x, weights = settled.kernel, settled.kernel.n_dims, operands["x"], operands["weights"]
    shape, plain = tf.shape(x), weights.shape.rank == 1
    lead = shape[:-d] if plain else shape[: -d - 1]
    spatial = shape[-d:] if plain else shape[-d - 1 : -1]
    static = x.shape[-d:] if plain else x.shape[-d - 1 : -1]
    n_samples = tf.reduce_prod(lead)
    x = tf.reshape(x, tf.concat([[n_samples], spatial, [settled.channels]], 0))
    x = tf.ensure_shape(x, [None, *static, settled.channels])
    if x.shape[0] is None or x.shape[0] == 0:
        # TensorFlow's own convolution of no samples has wrong shapes on some processors: one of zeros stands for them.
        x = tf.pad(x, [(0, tf.maximum(1 - n_samples, 0)), *((0, 0),) * (d + 1)])
    x = _pad(x, _find_padding(settled, spatial), settled)
    if kernel.channel_mode == "tied":
        x = tf.concat([tf.reduce_sum(part, -1, keepdims=True) for part in tf.split(x, settled.groups, -1)], -1)
    lattice = native_lattice.choose(operands, settled)
    y = _conv_dense(x, operands, settled) if lattice is None else native_lattice.conv(x, operands, settled, lattice)
    y = y[:n_samples]
    if "bias" in operands:
        y += operands["bias"]
    tail = tf.shape(y)[1 : -1 if plain else None]
    return tf.reshape(y, tf.concat([lead, tail], 0))


def _conv_dense(x: Any, operands: dict[str, Any], settled: adapting.Settled) -> Any:
    """Return y of padded x `(batch, *spatial, channels)`, tied channels summed, by the dense kernel."""
    # With both, TensorFlow refuses: then the zeros of the dilation stand in the kernel.
    stuffed, once = max(settled.stride) > 1 and max(settled.dilation) > 1, (1,) * settled.kernel.n_dims
    dense = densify(operands, settled.kernel, settled.dilation if stuffed else once)
    return convolve(x, dense, settled.stride, once if stuffed else settled.dilation, settled.groups)


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
