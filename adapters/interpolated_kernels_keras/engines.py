"""Which engine runs a layer, and the call of the core by TensorFlow's adapter."""

from __future__ import annotations

from typing import Any

import keras

import interpolated_kernels as ik

ENGINES = ("auto", "native", "numba")


def check_engine(engine: str, path: str) -> None:
    """Raise unless the engine that was named can serve on Keras' backend.

    Raises
    ------
    ValueError
        Naming the argument and what serves instead.
    """
    if engine == "numba" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"`engine`='numba' needs Keras' TensorFlow backend, got {keras.backend.backend()!r}. "
            "Use engine='native', or the adapter of that framework."
        )
    if engine == "native" and path != "auto":
        raise ValueError(
            f"`path`={path!r} is this project's own and needs engine='numba'; engine='native' takes path='auto'."
        )


def runs_numba(engine: str, x: Any) -> bool:
    """Return whether the core serves: asked for by name, or on eager TensorFlow tensors of the CPU."""
    if engine != "auto" or keras.backend.backend() != "tensorflow":
        return engine == "numba"
    import tensorflow as tf

    return tf.executing_eagerly() and "CPU" in x.device.upper()


def numba_conv(x: Any, weights: Any, plan: ik.Plan, padding: str, data_format: str, path: str) -> Any:
    """Return y by the core's loops."""
    from interpolated_kernels_tensorflow import interpolated_conv

    problem = plan.problem
    return interpolated_conv(
        x, weights, problem.kernel, stride=problem.stride, padding=padding, dilation=problem.dilation,
        groups=problem.groups, data_format=data_format, path=path, accuracy=problem.accuracy, engine="numba",
    )  # fmt: skip
