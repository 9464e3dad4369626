"""L: training steps of Keras models as they come, on TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import linear_grid
from timing import Run


def make_keras_depthwise(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """8x56x56x64, window 31, 49 anchors, "same": as it comes, and native."""
    import keras

    from interpolated_kernels_keras import InterpolatedConv2D

    def make(**options: Any) -> Any:
        return InterpolatedConv2D(64, linear_grid((31, 31), 5), groups=64, padding="same", **options)

    shape = (8, 56, 56, 64)
    plain = make_train_step(keras.layers.DepthwiseConv2D(31, padding="same"), shape)
    yield "L Keras depthwise", "DepthwiseConv2D", make_train_step(make(path=path), shape), plain
    yield "L Keras depthwise, native", "DepthwiseConv2D", make_train_step(make(engine="native"), shape), plain


def make_keras_original(path: str) -> Iterator[tuple[str, str, Run, Run]]:
    """The original's layer, 128x112x112x1, 32 filters, window 12, linear, 36 anchors."""
    import keras

    from interpolated_kernels_keras import InterpolatedConv2D

    shape = (128, 112, 112, 1)
    layer = InterpolatedConv2D(32, linear_grid((12, 12), 2), path=path)
    plain = keras.layers.Conv2D(32, 12)
    yield "L Keras original, linear", "Conv2D", make_train_step(layer, shape), make_train_step(plain, shape)


def make_train_step(layer: Any, shape: tuple[int, ...]) -> Run:
    """Return `train_on_batch` of a model of the layer and a mean over its outputs, which has run twice."""
    import keras

    model = keras.Sequential([keras.Input(shape[1:]), layer, keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = np.zeros((shape[0], layer.compute_output_shape(shape)[-1]), np.float32)

    def step() -> Any:
        return model.train_on_batch(x, y)

    step()
    step()
    return step
