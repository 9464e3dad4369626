"""The public edge: tensors of a dtype that the core takes, the core's own checks on static shapes, and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting


def as_tensors(**given: Any) -> dict[str, Any]:
    """Return what is not None as tensors; what the core would refuse raises the core's own error."""
    return {name: _as_tensor(name, value) for name, value in given.items() if value is not None}


def _as_tensor(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = adapting.as_floats(name, value)
        value = np.asarray(value, value.dtype.newbyteorder("="))  # TensorFlow knows the native byte order alone
    tensor = tf.convert_to_tensor(value)
    adapting.choose_compute_dtype(name, tensor.dtype.as_numpy_dtype)
    if tensor.shape.rank is None:
        raise ValueError(
            f"`{name}` must have a known rank, got a tensor of shape {tensor.shape}: set it with `tf.ensure_shape`."
        )
    return tensor


def result_dtype(*tensors: Any) -> Any:
    """Return the dtype of tensors together, as NumPy promotes."""
    return tf.as_dtype(np.result_type(*(tensor.dtype.as_numpy_dtype for tensor in tensors)))


def check_anchors(kernel: ik.InterpolatedKernel, tensors: dict[str, Any]) -> None:
    """Raise unless positions and widths that are given have a derivative and the shapes of the kernel's own."""
    given = (name for name in ("positions", "widths") if name in tensors)
    adapting.check_anchors(kernel, **{name: tuple(tensors[name].shape) for name in given})


def settle_static(
    x: Any, weights: Any, kernel: ik.InterpolatedKernel, layout: str, dtype: str, options: dict[str, Any]
) -> adapting.Settled:
    """Return what the options come to by the static shapes; sizes that tracing does not know are open.

    Raises
    ------
    TypeError, ValueError
        The core's own, for every mistake that shows in what is known.
    """
    if not weights.shape.is_fully_defined():
        raise ValueError(f"`weights` must have a known shape, got {weights.shape}: set it with `tf.ensure_shape`.")
    x_shape = adapting.reorder(x.shape.as_list(), layout, "channels_first", kernel.n_dims)
    n_lead = len(x_shape) - kernel.n_dims
    if weights.shape.rank > 1 and n_lead > 0 and x_shape[n_lead - 1] is None:
        raise ValueError(
            f"`x` must have a known number of channels, got shape {x.shape}: set it with `tf.ensure_shape`."
        )
    return adapting.settle(x_shape, weights.shape.as_list(), kernel, dtype, **options)


def move_channels(x: Any, source: str, target: str, d: int) -> Any:
    """Return x in another data format; a transpose that would move nothing but one channel is a change of shape."""
    if source == target:
        return x
    order = adapting.reorder(range(x.shape.rank), source, target, d)
    axis = -1 if source == "channels_last" else x.shape.rank - d - 1
    if x.shape[axis] != 1:
        return tf.transpose(x, order)
    return tf.reshape(x, [x.shape[old] if x.shape[old] is not None else tf.shape(x)[old] for old in order])
