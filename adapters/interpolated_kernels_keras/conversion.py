"""From one of Keras' own convolutions to an interpolated one and back, and to files and back."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
from keras import ops

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_keras.shapes import find_channel_axis

_CONVS: dict[int, Any] = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}
_DEPTHWISE: dict[int, Any] = {1: keras.layers.DepthwiseConv1D, 2: keras.layers.DepthwiseConv2D}
_SHARED = (
    "strides", "padding", "data_format", "dilation_rate", "groups", "activation", "use_bias", "bias_initializer",
    "bias_regularizer", "activity_regularizer", "bias_constraint",
)  # fmt: skip


def check_built(layer: Any) -> None:
    """Raise `ValueError` unless a layer has its variables."""
    if not layer.built:
        raise ValueError(f"`{type(layer).__name__}` must be built before, as by a call on an input: {layer!r} is not.")


def to_conv(layer: Any) -> Any:
    """Return the plain convolution of a layer; see `InterpolatedConv.to_conv`."""
    dense = layer.dense_kernel()
    d, channels = layer.interpolated_kernel.n_dims, layer.input_spec.axes[find_channel_axis(layer.data_format)]
    dense = np.asarray(ops.convert_to_numpy(dense))
    dense = np.broadcast_to(dense, (*dense.shape[:d], channels // layer.groups, dense.shape[-1]))
    conv = _CONVS[d](
        layer.filters, dense.shape[:d], dtype=layer.dtype_policy, trainable=layer.trainable,
        **{name: getattr(layer, name) for name in _SHARED},
    )  # fmt: skip
    conv.build(_shape_input(layer, channels))
    conv.set_weights([dense, *([] if layer.bias is None else [ops.convert_to_numpy(layer.bias)])])
    return conv


def from_conv(cls: Any, conv: Any, kernel: ik.InterpolatedKernel, **options: Any) -> Any:
    """Return the layer of `cls` nearest to a plain convolution; see `InterpolatedConv.from_conv`."""
    _check_class(cls)
    adapting.check_kernel(kernel, cls.rank, cls.__name__)
    plain = tuple(kinds[cls.rank] for kinds in (_CONVS, _DEPTHWISE) if cls.rank in kinds)
    if not isinstance(conv, plain):
        names = " or ".join(f"keras.layers.{kind.__name__}" for kind in plain)
        raise TypeError(f"`conv` must be a {names} for {cls.__name__}, got {type(conv).__name__}.")
    check_built(conv)
    if kernel.spatial_window != tuple(conv.kernel_size):
        raise ValueError(f"`kernel` must have the window of `conv`, {tuple(conv.kernel_size)}, got {kernel!r}.")
    dense = np.asarray(ops.convert_to_numpy(conv.kernel), np.float64)
    taken = {name: getattr(conv, name) for name in _SHARED if name != "groups"}
    if isinstance(conv, tuple(_DEPTHWISE.values())):
        groups = dense.shape[-2]
        dense = dense.reshape(*dense.shape[:-2], 1, -1)
    else:
        groups = conv.groups
    layer = cls(
        dense.shape[-1], kernel,
        **{**taken, "groups": groups, "dtype": conv.dtype_policy, "trainable": conv.trainable, **options},
    )  # fmt: skip
    layer.build(_shape_input(layer, dense.shape[-2] * layer.groups))
    weights = ik.from_dense(np.moveaxis(dense, (-1, -2), (0, 1)), kernel).weights
    layer.kernel.assign(weights)
    if conv.bias is not None and layer.bias is not None:
        layer.bias.assign(conv.bias)
    return layer


def to_file(layer: Any, path: str | os.PathLike[str]) -> None:
    """Write a layer as the core does; see `InterpolatedConv.to_file`."""
    check_built(layer)
    arrays = {"weights": ops.reshape(layer.kernel, layer.weights_shape)}
    if layer.bias is not None:
        arrays["bias"] = ops.convert_to_tensor(layer.bias)
    ik.save(path, layer.current_kernel, **{name: _as_array(tensor) for name, tensor in arrays.items()})


def _as_array(tensor: Any) -> Any:
    is_narrow = keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32") if is_narrow else tensor))


def from_file(cls: Any, path: str | os.PathLike[str], **options: Any) -> Any:
    """Return the layer of a file; see `InterpolatedConv.from_file`."""
    _check_class(cls)
    saved = ik.load(path)
    kernel, bias, in_channels = saved.kernel, saved.arrays.get("bias"), options.pop("in_channels", None)
    weights, channels = adapting.read_bank(kernel, saved.weights, options.get("groups", 1), in_channels)
    dtype = np.result_type(weights, np.float32).name
    layer = cls(len(weights), kernel, **{"use_bias": bias is not None, "dtype": dtype, **options})
    layer.build(_shape_input(layer, channels))
    layer.kernel.assign(weights)
    if layer.bias is not None and bias is not None:
        layer.bias.assign(np.asarray(bias))
    return layer


def _check_class(cls: Any) -> None:
    """Raise `TypeError` for the layer that takes no kernel but positions."""
    if not cls.has_kernel_argument:
        raise TypeError(f"`{cls.__name__}` has no kernel argument: use `InterpolatedConv2D`, which has one.")


def _shape_input(layer: Any, channels: int) -> tuple[int | None, ...]:
    """Return an input's shape of which the channels alone are known."""
    shape = (None, channels, *(None,) * layer.rank)
    return tuple(adapting.reorder(shape, "channels_first", layer.data_format, layer.rank))
