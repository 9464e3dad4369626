"""A row for each adapter: how its arrays are made and read, how it is called and how it is differentiated.

`python tests/adapters/rows.py torch` runs one of them where its extra alone is installed; `make extras` does so.
"""

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import interpolated_kernels as ik

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@dataclass(frozen=True)
class Adapter:
    """`differentiate(function, arrays, grad_y)` gives y and its gradients by the arrays."""

    conv: Callable[..., Any]
    make: Callable[[Any], Any]
    read: Callable[[Any], Any]
    differentiate: Callable[..., Any]


@contextlib.contextmanager
def open_torch() -> Iterator[Adapter]:
    import torch

    from interpolated_kernels_torch import interpolated_conv

    def make(array):
        if array.dtype != "bfloat16":
            return torch.tensor(array)
        return torch.tensor(array.astype("float32")).bfloat16()  # of NumPy's extensions torch knows none

    def read(tensor):
        if tensor.dtype != torch.bfloat16:
            return tensor.detach().numpy()
        return tensor.detach().float().numpy().astype("bfloat16")

    def differentiate(function, arrays, grad_y):
        leaves = [array.requires_grad_() for array in arrays]
        y = function(*leaves)
        return y, torch.autograd.grad(y, leaves, grad_y)

    yield Adapter(interpolated_conv, make, read, differentiate)


@contextlib.contextmanager
def open_tensorflow() -> Iterator[Adapter]:
    import tensorflow as tf

    from interpolated_kernels_tensorflow import interpolated_conv

    def differentiate(function, arrays, grad_y):
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            y = function(*arrays)
        return y, tape.gradient(y, arrays, grad_y)

    yield Adapter(interpolated_conv, tf.constant, np.asarray, differentiate)


@contextlib.contextmanager
def open_jax() -> Iterator[Adapter]:
    import jax

    from interpolated_kernels_jax import interpolated_conv

    def differentiate(function, arrays, grad_y):
        def both(arrays, grad_y):
            y, pull = jax.vjp(function, *arrays)
            return y, pull(grad_y)

        return jax.jit(both)(arrays, grad_y)  # one program compiles faster than its operations one by one

    with jax.enable_x64(True):
        yield Adapter(interpolated_conv, jax.numpy.asarray, np.asarray, differentiate)


@contextlib.contextmanager
def open_keras(data_format: str = "channels_last") -> Iterator[Adapter]:
    """Keras on TensorFlow: a layer, whose variables are operands of its `stateless_call`."""
    import keras

    import interpolated_kernels_keras as ikk

    assert keras.backend.backend() == "tensorflow"
    axis = 1 if data_format == "channels_first" else -1

    def conv(x, weights, kernel, bias=None, *, positions=None, widths=None, stride=1, dilation=1, **options):
        layer = getattr(ikk, f"InterpolatedConv{kernel.n_dims}D")(
            weights.shape[0], kernel, stride, dilation_rate=dilation, data_format=data_format, dtype=x.dtype.name,
            use_bias=bias is not None, learn_positions=positions is not None, learn_widths=widths is not None, **options
        )  # fmt: skip
        inputs = keras.ops.moveaxis(x, 1, axis)
        layer.build(inputs.shape)
        variables = [operand for operand in (weights, bias, positions, widths) if operand is not None]
        return keras.ops.moveaxis(layer.stateless_call(variables, [], inputs)[0], axis, 1)

    with open_tensorflow() as functions:
        yield replace(functions, conv=conv)


ADAPTERS = {
    "torch": open_torch,
    "tensorflow": open_tensorflow,
    "jax": open_jax,
    "keras": open_keras,
    "keras channels_first": functools.partial(open_keras, "channels_first"),
}
FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "dask"}


def check_alone(name: str) -> None:
    """Raise unless an adapter gives the core's y and gradients, and imports no framework that its own does not."""
    importlib.import_module(name)
    brought = FRAMEWORKS & set(sys.modules)
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    x, weights = np.random.default_rng(0).normal(size=(1, 2, 9, 8)), np.random.default_rng(1).normal(size=(3, 2, 9))
    y = ik.conv(x, weights, kernel)
    with ADAPTERS[name]() as adapter:
        operands = [adapter.make(array) for array in (x, weights)]
        results = adapter.differentiate(lambda *both: adapter.conv(*both, kernel), operands, adapter.make(y))
    grads = ik.conv_backward(y, x, weights, kernel)
    for own, expected in zip((results[0], *results[1]), (y, grads.x, grads.weights), strict=True):
        np.testing.assert_allclose(adapter.read(own), expected, rtol=0, atol=1e-11)
    assert FRAMEWORKS & set(sys.modules) == brought
    print(f"{name}: y and gradients as the core's; no other framework is imported")


if __name__ == "__main__":
    check_alone(*sys.argv[1:])
