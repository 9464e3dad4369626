"""Where a layer's variables begin."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from keras import ops

import interpolated_kernels as ik


def draw_weights(layer: Any, channels_per_group: int) -> Any:
    """Return an initializer that draws `ik.initial_weights`, its seed from Python's generator as Keras' own."""

    def initialize(shape: Any, dtype: Any = None) -> Any:
        rng = np.random.default_rng(random.randint(1, 10**9))
        drawn = ik.initial_weights(layer.interpolated_kernel, layer.filters, channels_per_group, rng)
        return ops.convert_to_tensor(drawn.reshape(shape), dtype=dtype)

    return initialize


def start_at(array: Any) -> Any:
    """Return an initializer that gives an array."""

    def initialize(shape: Any, dtype: Any = None) -> Any:
        return ops.convert_to_tensor(array.reshape(shape), dtype=dtype)

    return initialize
