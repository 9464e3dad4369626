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
    kernel, x, is_plain = settled.kernel, operands["x"], operands["weights"].shape.rank == 1
    has_all_axes = not is_plain and x.shape.rank == kernel.n_dims + 2
    samples = x if has_all_axes else _merge_lead(x, settled, is_plain)
    n_samples = tf.shape(samples)[0]
    y = _pad(_fill_batch(samples, n_samples), _find_padding(settled, tf.shape(samples)[1:-1]), settled)
    if kernel.channel_mode == "tied":
        y = tf.concat([tf.reduce_sum(part, -1, keepdims=True) for part in tf.split(y, settled.groups, -1)], -1)
    lattice = native_lattice.choose(operands, settled)
    y = _conv_dense(y, operands, settled) if lattice is None else native_lattice.conv(y, operands, settled, lattice)
    y = y if samples.shape[0] else y[:n_samples]
    if "bias" in operands:
        y += operands["bias"]
    if has_all_axes:
        return y
    lead = tf.shape(x)[: -kernel.n_dims - (not is_plain)]
    return tf.reshape(y, tf.concat([lead, tf.shape(y)[1 : -1 if is_plain else None]], 0))


def _merge_lead(x: Any, settled: adapting.Settled, is_plain: bool) -> Any:
    """Return x `(batch, *spatial, channels)`, whatever axes it came with."""
    first = x.shape.rank - settled.kernel.n_dims - (not is_plain)
    spatial = slice(first, None if is_plain else -1)
    shape = tf.shape(x)
    batch = tf.reduce_prod(shape[:first])
    merged = tf.reshape(x, tf.concat([[batch], shape[spatial], [settled.channels]], 0))
    merged.set_shape([merged.shape[0], *x.shape[spatial], settled.channels])
    return merged


def _fill_batch(x: Any, n_samples: Any) -> Any:
    """Return x with a sample of zeros where there may be none: for no samples a convolution may have wrong shapes."""
    if x.shape[0]:
        return x
    sizes = [tf.shape(x)[axis] if size is None else size for axis, size in enumerate(x.shape)]
    return tf.concat([x, tf.zeros([tf.maximum(1 - n_samples, 0), *sizes[1:]], x.dtype)], 0)


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
