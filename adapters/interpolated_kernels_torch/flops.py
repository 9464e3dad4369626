"""What `torch.utils.flop_counter` counts for this project's operators.

It counts the dense convolution of equal result, as it does for torch's own, whatever a path saves of that; so the ratio
of two models' counts says the same with both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

import interpolated_kernels_torch.moving_engine  # noqa: F401 # it defines operators, as does numba_engine
from interpolated_kernels_torch.constants import read_call

_OPERATORS = torch.ops.interpolated_kernels


@register_flop_formula([_OPERATORS.conv, _OPERATORS.conv_moving])
def count_forward(x_shape: Any, weights_shape: Any, *rest: Any, out_shape: Any, **_: Any) -> int:
    """Return twice the multiply-adds of y."""
    return _count(x_shape, weights_shape, out_shape, rest[-1])


@register_flop_formula(_OPERATORS.conv_grads)
def count_grads(grad_shape: Any, x: Any, weights: Any, x_shape: Any, weights_shape: Any, call: str, **_: Any) -> int:
    """Return as much for each gradient: there are two where both operands are given."""
    n_grads = (x is not None) + (weights is not None)
    return n_grads * _count(x_shape, weights_shape, grad_shape, call)


@register_flop_formula(_OPERATORS.conv_moving_grads)
def count_moving_grads(grad_shape: Any, x: Any, weights_shape: Any, *rest: Any, **_: Any) -> int:
    """Return as much for the gradient by x, and for those by all of the anchors together."""
    x_shape, wrt, call = rest[-3:]
    n_grads = ("x" in wrt) + (x is not None)
    return n_grads * _count(x_shape, weights_shape, grad_shape, call)


def _count(x_shape: Sequence[int], weights_shape: Sequence[int], y_shape: Sequence[int], call: str) -> int:
    """Return twice the products of a dense convolution."""
    options = read_call(call)
    kernel = options["kernel"]
    channels = x_shape[-kernel.n_dims - 1] // options["groups"] if len(weights_shape) > 1 else 1
    return 2 * math.prod(y_shape) * channels * math.prod(kernel.spatial_window)
