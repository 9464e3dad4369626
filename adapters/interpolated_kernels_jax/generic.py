"""`push` and `pull` by JAX's own transformations of whatever function gives y of x and anchors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from interpolated_kernels import adapting
from interpolated_kernels_jax import native_engine, operations
from interpolated_kernels_jax.convolution import Convolution

Conv = Callable[[Any, dict[str, Any], Convolution], Any]


def push(conv: Conv, values: dict[str, Any], directions: dict[str, Any], convolution: Convolution) -> Any:
    """Return y's derivative along directions in x and in anchors, as `operations.push` does."""
    anchors, along = _take_anchors(values, convolution), _take_anchors(directions, convolution)
    shares = [conv(directions["x"], anchors, convolution)] if "x" in directions else []
    if along and convolution.moves:
        by_anchors = functools.partial(_conv_anchors, conv, values["x"], anchors, convolution)
        shares.append(jax.jvp(by_anchors, ({name: anchors[name] for name in along},), (along,))[1])
    elif along:
        shares.append(conv(values["x"], along, convolution))
    return sum(shares[1:], start=shares[0])


def pull(
    conv: Conv, values: dict[str, Any], grad_y: Any, likes: dict[str, Any], convolution: Convolution
) -> dict[str, Any]:
    """Return gradients by name, as `operations.pull` does."""
    grads, anchors, wanted = {}, _take_anchors(values, convolution), _take_anchors(likes, convolution)
    if "x" in likes:
        (grads["x"],) = jax.linear_transpose(lambda x: conv(x, anchors, convolution), likes["x"])(grad_y)
    if wanted:
        by_anchors = functools.partial(_conv_anchors, conv, values["x"], anchors, convolution)
        if convolution.moves:
            transpose = jax.vjp(by_anchors, {name: anchors[name] for name in wanted})[1]
        else:
            transpose = jax.linear_transpose(by_anchors, wanted)
        grads |= transpose(grad_y)[0]
    return grads


def _take_anchors(values: dict[str, Any], convolution: Convolution) -> dict[str, Any]:
    return {name: values[name] for name in convolution.anchors if name in values}


def _conv_anchors(conv: Conv, x: Any, anchors: dict[str, Any], convolution: Convolution, moved: dict[str, Any]) -> Any:
    return conv(x, {**anchors, **moved}, convolution)


def conv_dense(x: Any, anchors: dict[str, Any], convolution: Convolution) -> Any:
    """Return y by the formulas of the dense kernel, which are JAX's, and the core's `conv` of it.

    Raises
    ------
    NotImplementedError
        For interpolators without such formulas.
    """
    if not adapting.can_spread(convolution.kernel):
        raise NotImplementedError(
            f"`positions` of {convolution.kernel.interpolator} have a first derivative alone: there is no second one "
            "by them, and no forward mode (jvp)."
        )
    dense, whole = native_engine.densify(convolution, **anchors).astype(x.dtype), convolution.replace_by_dense()
    return operations.conv({"x": x, "weights": dense.reshape(whole.weights_shape)}, whole)
