"""Engine "native": the backend's own convolution of the dense kernel, in `keras.ops`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting


def compute_dtype(dtype: Any) -> str:
    """Return what inputs of `dtype` are computed in: float32 for narrower floats; what is no float raises."""
    return adapting.choose_compute_dtype("x", keras.backend.standardize_dtype(dtype))


def conv(x: Any, weights: Any, settled: adapting.Settled) -> Any:
    """Return y `(batch, *out_spatial, filters)` for x `(batch, *spatial, channels)`.

    TensorFlow's own "same" serves where the sizes that it depends on are not known while tracing.
    """
    kernel, groups, d = settled.kernel, settled.groups, settled.kernel.n_dims
    padding = "same" if None in settled.padding else "valid"
    n_samples = ops.shape(x)[0]
    if x.shape[0] is None or x.shape[0] == 0:
        # A backend's own convolution of no samples may have wrong shapes: one of zeros stands for them.
        x = ops.pad(x, [(0, ops.maximum(1 - n_samples, 0)), *((0, 0),) * (d + 1)])
    if padding == "valid":
        x = ops.pad(x, [(0, 0), *settled.padding, (0, 0)])
    if kernel.channel_mode == "tied":
        x = ops.sum(ops.reshape(x, (*ops.shape(x)[:-1], groups, settled.channels_per_group)), axis=-1)
    # With both, TensorFlow refuses: then the zeros of the dilation stand in the kernel.
    stuffed = max(settled.stride) > 1 and max(settled.dilation) > 1
    dense = densify(weights, kernel, settled.dilation if stuffed else (1,) * d)
    # TensorFlow has no gradient of grouped convolutions on the CPU; elsewhere one call does them all.
    n_calls = groups if keras.backend.backend() == "tensorflow" else 1
    y = [
        ops.conv(
            part, part_kernel, strides=settled.stride, padding=padding,
            data_format="channels_last", dilation_rate=1 if stuffed else settled.dilation,
        )
        for part, part_kernel in zip(ops.split(x, n_calls, axis=-1), ops.split(dense, n_calls, axis=-1), strict=True)
    ]  # fmt: skip
    return ops.concatenate(y, axis=-1)[:n_samples]


def densify(weights: Any, kernel: ik.InterpolatedKernel, dilation: tuple[int, ...]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, with a dilation's zeros between its cells."""
    bank = ops.expand_dims(weights, 1) if len(weights.shape) == 2 else weights
    matrix, window = adapting.dilate_matrix(kernel, dilation)
    A = ops.convert_to_tensor(matrix, dtype=keras.backend.standardize_dtype(bank.dtype))
    dense = ops.einsum(f"{'fc'[: matrix.ndim - 2]}ka,fca->fck", A, bank)
    if kernel.interpolates_channels:
        return ops.transpose(ops.reshape(dense, (-1, *window)), (*range(1, len(window) + 1), 0))
    return ops.transpose(ops.reshape(dense, (*bank.shape[:2], *window)), (*range(2, len(window) + 2), 1, 0))
