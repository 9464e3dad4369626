"""Plain convolutions by the operation of TensorFlow that serves them best."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from interpolated_kernels_tensorflow.engines import is_inside_xla

_DATA_FORMATS = ("NWC", "NHWC", "NDHWC")


def convolve(x: Any, taps: Any, stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Any:
    """Return y of padded x `(batch, *spatial, channels)` for taps `(*window, channels_per_group, filters)`.

    On the CPU TensorFlow's grouped convolutions have no gradient: then there is one call a group.
    """
    d, is_uniform = len(stride), len({*stride}) == 1 and 1 in (max(stride), max(dilation))
    if groups > 1 and taps.shape[-2] == 1 and d < 3 and is_uniform and not is_inside_xla():
        extended = tf.expand_dims(x, 1) if d == 1 else x
        filters = tf.reshape(taps, [*((1,) * (2 - d)), *taps.shape[:d], groups, -1])
        y = tf.nn.depthwise_conv2d(
            extended, filters, (1, stride[0], stride[0], 1), "VALID", dilations=(*((1,) * (2 - d)), *dilation)
        )
        return tf.squeeze(y, 1) if d == 1 else y
    n_calls = 1 if is_inside_xla() else groups
    parts = [
        tf.nn.convolution(part, own, stride, "VALID", data_format=_DATA_FORMATS[d - 1], dilations=dilation)
        for part, own in zip(tf.split(x, n_calls, -1), tf.split(taps, n_calls, -1), strict=True)
    ]
    return tf.concat(parts, -1)
