"""Which engine runs a layer, and the call of the core by TensorFlow's adapter."""

from __future__ import annotations

from typing import Any

import keras

from interpolated_kernels import adapting


def check_engine(engine: str, path: str) -> None:
    """Raise unless the engine that was named can serve on Keras' backend.

    Raises
    ------
    ValueError
        Naming the argument and what serves instead.
    """
    adapting.check_engine(engine, path)
    if engine == "numba" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"`engine`='numba' needs Keras' TensorFlow backend, got {keras.backend.backend()!r}. "
            "Use engine='native', or the adapter of that framework."
        )


def runs_numba(engine: str, x: Any) -> bool:
    """Return whether the core serves: asked for by name, or on eager TensorFlow tensors of the CPU."""
    if engine != "auto" or keras.backend.backend() != "tensorflow":
        return engine == "numba"
    import tensorflow as tf  # here: with another backend it need not be installed

    return tf.executing_eagerly() and "CPU" in x.device.upper()


def conv_by_numba(x: Any, weights: Any, kernel: Any, **options: Any) -> Any:
    """Return y by the core's loops."""
    from interpolated_kernels_tensorflow import interpolated_conv  # here: it loads TensorFlow

    return interpolated_conv(x, weights, kernel, engine="numba", **options)
