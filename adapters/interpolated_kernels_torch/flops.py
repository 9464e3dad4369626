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
from interpolated_kernels_torch.constants import read_key
from interpolated_kernels_torch.numba_engine import N_OPTIONS

_OPERATORS = torch.ops.interpolated_kernels
_FORWARD = [_OPERATORS.conv, _OPERATORS.conv_moving]
_BY_X = [_OPERATORS.conv_grad_x, _OPERATORS.conv_moving_grad_x]
_BY_ANCHORS = [_OPERATORS.conv_grad_weights, _OPERATORS.conv_moving_grad_anchors]


@register_flop_formula(_FORWARD)
def count_forward(x_shape: Any, weights_shape: Any, *rest: Any, out_shape: Any, **_: Any) -> int:
    """Return twice the multiply-adds of y."""
    return _count(x_shape, weights_shape, out_shape, rest[-N_OPTIONS:])


@register_flop_formula(_BY_X)
def count_by_x(grad_shape: Any, weights_shape: Any, *rest: Any, **_: Any) -> int:
    """Return the same for the gradient by x, whose shape is the last argument before the options."""
    return _count(rest[-N_OPTIONS - 1], weights_shape, grad_shape, rest[-N_OPTIONS:])


@register_flop_formula(_BY_ANCHORS)
def count_by_anchors(grad_shape: Any, x_shape: Any, weights_shape: Any, *rest: Any, **_: Any) -> int:
    """Return the same for the gradient by weights, or by all of the anchors."""
    return _count(x_shape, weights_shape, grad_shape, rest[-N_OPTIONS:])


def _count(x_shape: Sequence[int], weights_shape: Sequence[int], y_shape: Sequence[int], options: Any) -> int:
    """Return twice the products of a dense convolution."""
    key, *_, groups, _, _ = options
    kernel = read_key(key)
    channels = x_shape[-kernel.n_dims - 1] // groups if len(weights_shape) > 1 else 1
    return 2 * math.prod(y_shape) * channels * math.prod(kernel.spatial_window)
