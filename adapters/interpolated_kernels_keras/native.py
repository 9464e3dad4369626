"""Engine "native": the backend's own convolution of the dense kernel, in `keras.ops`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

import interpolated_kernels as ik


def compute_dtype(dtype: Any, kernel: ik.InterpolatedKernel) -> str:
    """Return what inputs of `dtype` are computed in: float32 for narrower floats; what is no float raises."""
    name: str = keras.backend.standardize_dtype(dtype)
    if "float" not in name:
        ik.conv(np.zeros(0, name), np.zeros(0), kernel)
    return "float64" if name == "float64" else "float32"


def conv(x: Any, weights: Any, plan: ik.Plan, padding: str) -> Any:
    """Return y `(batch, *out_spatial, filters)` for x `(batch, *spatial, channels)`.

    TensorFlow's own "same" serves where the sizes that it depends on are not known while tracing.
    """
    problem, kernel, d = plan.problem, plan.problem.kernel, plan.problem.kernel.n_dims
    padding = "same" if padding == "same" and None in x.shape[1:-1] else "valid"
    n_samples = ops.shape(x)[0]
    if x.shape[0] is None or x.shape[0] == 0:
        # A backend's own convolution of no samples may have wrong shapes: one of zeros stands for them.
        x = ops.pad(x, [(0, ops.maximum(1 - n_samples, 0)), *((0, 0),) * (d + 1)])
    if padding == "valid":
        x = ops.pad(x, [(0, 0), *problem.padding, (0, 0)])
    groups = problem.groups
    if problem.sums_channels:
        x = ops.sum(ops.reshape(x, (*ops.shape(x)[:-1], groups, problem.channels_per_group)), axis=-1)
    # With both, TensorFlow refuses: then the zeros of the dilation stand in the kernel.
    stuffed = max(problem.stride) > 1 and max(problem.dilation) > 1
    dense = dense_kernel(weights, kernel, problem.dilation if stuffed else (1,) * d)
    # TensorFlow has no gradient of grouped convolutions on the CPU; elsewhere one call does them all.
    n_calls = groups if keras.backend.backend() == "tensorflow" else 1
    y = [
        ops.conv(
            part, part_kernel, strides=problem.stride, padding=padding,
            data_format="channels_last", dilation_rate=1 if stuffed else problem.dilation,
        )
        for part, part_kernel in zip(ops.split(x, n_calls, axis=-1), ops.split(dense, n_calls, axis=-1), strict=True)
    ]  # fmt: skip
    return ops.concatenate(y, axis=-1)[:n_samples]


def dense_kernel(weights: Any, kernel: ik.InterpolatedKernel, dilation: tuple[int, ...]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, with a dilation's zeros between its cells."""
    bank = ops.expand_dims(weights, 1) if len(weights.shape) == 2 else weights
    steps = (*dilation, 1)[: len(kernel.window)]
    window = tuple((cells - 1) * step + 1 for cells, step in zip(kernel.window, steps, strict=True))
    lead, n = kernel.matrix.shape[:-2], kernel.n_anchors
    matrix = np.zeros((*lead, *window, n))
    cells: Any = (..., *(slice(None, None, step) for step in steps), slice(None))
    matrix[cells] = kernel.matrix.reshape(*lead, *kernel.window, n)
    matrix = ops.convert_to_tensor(matrix.reshape(*lead, -1, n), dtype=keras.backend.standardize_dtype(bank.dtype))
    dense = ops.einsum(f"{'fc'[: len(lead)]}ka,fca->fck", matrix, bank)
    if kernel.interpolates_channels:
        return ops.transpose(ops.reshape(dense, (-1, *window)), (*range(1, len(window) + 1), 0))
    return ops.transpose(ops.reshape(dense, (*bank.shape[:2], *window)), (*range(2, len(window) + 2), 1, 0))
