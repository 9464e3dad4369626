"""Which engine runs a layer: TensorFlow's adapter on Keras' TensorFlow backend, `keras.ops` on the others."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from interpolated_kernels import adapting
from interpolated_kernels_keras import native
from interpolated_kernels_keras.shapes import settle_layer


def is_on_tensorflow() -> bool:
    """Return whether TensorFlow is Keras' backend."""
    return bool(keras.backend.backend() == "tensorflow")


def check_engine(engine: str, path: str) -> None:
    """Raise unless the engine that was named can serve on Keras' backend.

    Raises
    ------
    ValueError
        Naming the argument and what serves instead.
    """
    adapting.check_engine(engine, path)
    if engine == "numba" and not is_on_tensorflow():
        raise ValueError(
            f"`engine`='numba' needs Keras' TensorFlow backend, got {keras.backend.backend()!r}. "
            "Use engine='native', or the adapter of that framework."
        )


def choose_engine(layer: Any, inputs: Any, operands: dict[str, Any]) -> str:
    """Return "numba" or "native", whichever serves a call of a layer."""
    if not is_on_tensorflow():
        adapting.check_engine("native", layer.engine_path)
        return "native"
    import interpolated_kernels_tensorflow.engines  # here: with another backend TensorFlow need not be installed

    tensors = map(ops.convert_to_tensor, (inputs, *operands.values()))
    return interpolated_kernels_tensorflow.engines.choose_engine(layer.engine, layer.engine_path, *tensors)


def conv(layer: Any, inputs: Any, operands: dict[str, Any]) -> Any:
    """Return y, without activation, for inputs and tensors by name: weights, and bias, positions and widths if any."""
    if not is_on_tensorflow():
        adapting.check_engine("native", layer.engine_path)
        known = (size if isinstance(size, int) else None for size in inputs.shape)
        settled = settle_layer(layer, tuple(known), native.compute_dtype(inputs.dtype))
        return native.conv(inputs, operands, settled, layer.data_format)
    from interpolated_kernels_tensorflow import interpolated_conv  # here: as above

    return interpolated_conv(
        inputs, kernel=layer.interpolated_kernel, **operands, stride=layer.strides, padding=layer.padding,
        dilation=layer.dilation_rate, groups=layer.groups, data_format=layer.data_format,
        path=layer.engine_path, accuracy=layer.accuracy, engine=layer.engine,
    )  # fmt: skip


def densify(layer: Any, operands: dict[str, Any]) -> Any:
    """Return the dense kernel `(*window, channels_per_group, filters)`, differentiable by all that is given."""
    kernel, moves = layer.interpolated_kernel, "positions" in operands or "widths" in operands
    if not is_on_tensorflow():
        return native.densify(operands, kernel)
    if moves and not adapting.can_spread(kernel):
        return _probe(layer, operands)
    from interpolated_kernels_tensorflow import densifying  # here: as above

    return densifying.densify(operands, kernel, (1,) * kernel.n_dims)


def _probe(layer: Any, operands: dict[str, Any]) -> Any:
    """Return the dense kernel as the answer to one cell in every channel, for formulas that the core alone has."""
    from interpolated_kernels_tensorflow import interpolated_conv  # here: as above

    kernel, d = layer.interpolated_kernel, layer.interpolated_kernel.n_dims
    weights = operands["weights"]
    channels = {"separate": weights.shape[1], "interpolated": kernel.window[-1]}.get(kernel.channel_mode, 1)
    window = kernel.spatial_window
    one_cell = functools.reduce(np.multiply.outer, [np.eye(1, 2 * cells - 1, cells - 1)[0] for cells in window])
    x = np.multiply.outer(np.eye(channels), one_cell)  # (batch, channels, *spatial): a sample a channel
    probe = ops.convert_to_tensor(x, keras.backend.standardize_dtype(weights.dtype))
    anchors = {name: value for name, value in operands.items() if name != "bias"}
    flipped = interpolated_conv(probe, kernel=kernel, **anchors, path=layer.engine_path, accuracy=layer.accuracy)
    return ops.flip(ops.transpose(flipped, (*range(2, d + 2), 0, 1)), axis=tuple(range(d)))
