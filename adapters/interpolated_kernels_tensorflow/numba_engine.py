"""Engine "numba": the core behind `tf.py_function`, differentiable to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_tensorflow.edge import result_dtype

LAYOUT = "channels_first"


def check(x: Any, weights: Any, path: str) -> None:
    """Raise where a host function cannot run: under XLA, or on tensors of a GPU.

    Raises
    ------
    ValueError
        Saying which engine serves instead.
    """
    if tf.executing_eagerly():
        for tensor in (x, weights):
            if "CPU" not in tensor.device.upper():
                raise ValueError(
                    f"`engine`='numba' needs tensors on the CPU, got one on {tensor.device}. Use engine='native'."
                )
    elif _inside_xla(tf.compat.v1.get_default_graph()):
        raise ValueError(
            "`engine`='numba' cannot run under XLA (jit_compile=True): it has no host functions. Use engine='native'."
        )


def conv(x: Any, weights: Any, settled: adapting.Settled, options: dict[str, Any]) -> Any:
    """Return y, an operation that is linear in x and in the weights, as all of its derivatives are in their inputs."""
    kernel, x_like, weights_like = settled.kernel, tf.stop_gradient(x), tf.stop_gradient(weights)

    @tf.custom_gradient
    def forward(x: Any, weights: Any) -> Any:
        y = _run(lambda x, w: ik.conv(x, w, kernel, **options), (x, weights), y_dtype, settled.y_shape)
        return y, lambda grad_y: (to_x(grad_y, weights), to_weights(grad_y, x))

    @tf.custom_gradient
    def to_x(grad_y: Any, weights: Any) -> Any:
        def run(g: Any, x: Any, w: Any) -> Any:
            return ik.conv_backward(g, x, w, kernel, wrt=("x",), **options).x

        grad_x = _run(run, (grad_y, x_like, weights), x_like.dtype, x_like.shape)
        return grad_x, lambda again: (forward(again, weights), to_weights(grad_y, again))

    @tf.custom_gradient
    def to_weights(grad_y: Any, x: Any) -> Any:
        def run(g: Any, x: Any, w: Any) -> Any:
            return ik.conv_backward(g, x, w, kernel, wrt=("weights",), **options).weights

        grad = _run(run, (grad_y, x, weights_like), weights_like.dtype, weights_like.shape)
        return grad, lambda again: (forward(x, again), to_x(grad_y, again))

    y_dtype = result_dtype(x, weights)
    return forward(x, weights)


def _run(function: Callable[..., Any], inputs: tuple[Any, ...], dtype: Any, shape: Any) -> Any:
    """Call a function of arrays now, or when the graph runs."""

    def on_arrays(*tensors: Any) -> Any:
        return tf.convert_to_tensor(function(*(tensor.numpy() for tensor in tensors)))

    if tf.executing_eagerly():
        return on_arrays(*inputs)
    result = tf.py_function(on_arrays, inputs, dtype)
    result.set_shape(shape)
    return result


def _inside_xla(graph: Any) -> bool:
    """Return whether a graph, or one around it, is being traced for XLA; TensorFlow has no public word for it."""
    while graph is not None:
        context = getattr(graph, "_get_control_flow_context", lambda: None)()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False
