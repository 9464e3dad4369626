"""Engine "native": TensorFlow's own convolution of the dense kernel, so that XLA, export and accelerators work."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels_tensorflow.edge import compute_dtype, result_dtype

LAYOUT = "channels_last"
_DATA_FORMATS = ("NWC", "NHWC", "NDHWC")
_PAD_MODES = {"zeros": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}
_CELL_SHOWN = {"replicate": lambda index, size: tf.clip_by_value(index, 0, size - 1), "circular": tf.math.floormod}


def check(x: Any, weights: Any, path: str) -> None:
    """Raise where a path of the core was asked for by name.

    Raises
    ------
    ValueError
        Saying which engine serves instead.
    """
    if path != "auto":
        raise ValueError(
            f"`path`={path!r} is this project's own and needs engine='numba'; engine='native' takes path='auto'."
        )


def conv(x: Any, weights: Any, plan: ik.Plan, options: dict[str, Any], y_shape: Any) -> Any:
    """Return y `(batch, *out_spatial, filters)`, or without what x lacks: the batch, or plain weights' channels."""
    problem, d = plan.problem, plan.problem.kernel.n_dims
    dtype = result_dtype(x, weights)
    x, weights = (tf.cast(tensor, compute_dtype(dtype)) for tensor in (x, weights))
    shape, plain = tf.shape(x), weights.shape.rank == 1
    lead = shape[:-d] if plain else shape[: -d - 1]
    spatial = shape[-d:] if plain else shape[-d - 1 : -1]
    n_samples = tf.reduce_prod(lead)
    x = tf.reshape(x, tf.concat([[n_samples], spatial, [problem.channels]], 0))
    if x.shape[0] is None or x.shape[0] == 0:
        # TensorFlow's own convolution of no samples has wrong shapes on some processors: one of zeros stands for them.
        x = tf.pad(x, [(0, tf.maximum(1 - n_samples, 0)), *((0, 0),) * (d + 1)])
    x = _pad(x, _padding(x, plan, options, spatial), problem.padding_mode)
    parts = tf.split(x, problem.groups, -1)
    if problem.sums_channels:
        parts = [tf.reduce_sum(part, -1, keepdims=True) for part in parts]
    # With both, TensorFlow refuses: then the zeros of the dilation stand in the kernel.
    stuffed = max(problem.stride) > 1 and max(problem.dilation) > 1
    kernels = tf.split(_dense(weights, problem.kernel, problem.dilation if stuffed else (1,) * d), problem.groups, -1)
    how = {
        "strides": problem.stride,
        "dilations": (1,) * d if stuffed else problem.dilation,
        "data_format": _DATA_FORMATS[d - 1],
    }
    # One convolution a group: on the CPU, grouped ones have no gradient.
    y = tf.concat(
        [tf.nn.convolution(part, k, padding="VALID", **how) for part, k in zip(parts, kernels, strict=True)], -1
    )[:n_samples]
    tail = tf.shape(y)[1 : -1 if plain else None]
    return tf.cast(tf.reshape(y, tf.concat([lead, tail], 0)), dtype)


def _dense(weights: Any, kernel: ik.InterpolatedKernel, dilation: tuple[int, ...]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, with a dilation's zeros between its cells."""
    bank = tf.reshape(weights, (1, 1, -1)) if weights.shape.rank == 1 else weights
    bank = bank[:, None] if bank.shape.rank == 2 else bank
    steps = (*dilation, 1)[: len(kernel.window)]
    window = tuple((cells - 1) * step + 1 for cells, step in zip(kernel.window, steps, strict=True))
    lead, n = kernel.matrix.shape[:-2], kernel.n_anchors
    matrix = np.zeros((*lead, *window, n))
    cells: Any = (..., *(slice(None, None, step) for step in steps), slice(None))
    matrix[cells] = kernel.matrix.reshape(*lead, *kernel.window, n)
    matrix = tf.constant(matrix.reshape(*lead, -1, n), weights.dtype)
    dense = tf.einsum(f"{'fc'[: len(lead)]}ka,fca->fck", matrix, bank)
    if kernel.interpolates_channels:
        dense = tf.reshape(dense, (-1, *window))
        return tf.transpose(dense, (*range(1, len(window) + 1), 0))
    dense = tf.reshape(dense, (*bank.shape[:2], *window))
    return tf.transpose(dense, (*range(2, len(window) + 2), 1, 0))


def _padding(x: Any, plan: ik.Plan, options: dict[str, Any], spatial: Any) -> Any:
    """Return `(before, after)` an axis; of "same" on sizes that tracing does not know, as tensors."""
    problem = plan.problem
    if options["padding"] != "same" or x.shape[1:-1].is_fully_defined():
        return problem.padding
    step, extent = tf.constant(problem.stride), tf.constant(problem.extent)
    totals = tf.maximum((-(-spatial // step) - 1) * step + extent - spatial, 0)
    return [(total // 2, total - total // 2) for total in tf.unstack(totals)]


def _pad(x: Any, pairs: Any, mode: str) -> Any:
    if mode in _PAD_MODES:
        return tf.pad(x, [(0, 0), *pairs, (0, 0)], _PAD_MODES[mode])
    for axis, (before, after) in enumerate(pairs, 1):
        size = tf.shape(x)[axis]
        x = tf.gather(x, _CELL_SHOWN[mode](tf.range(-before, size + after), size), axis=axis)
    return x
