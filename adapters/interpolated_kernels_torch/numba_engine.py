"""The core's `conv` as operators of torch: it and its two transposes, each other's derivatives to any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels_torch.constants import PlainOptions, read_key, write_key
from interpolated_kernels_torch.engines import refuse_tangent

_OPTIONS = (
    "str kernel, int[] stride, int[] padding, str[] padding_mode, int[] dilation, int groups, str path, str accuracy"
)
_N_OPTIONS = _OPTIONS.count(",") + 1


def conv(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    path: str,
    accuracy: str,
) -> torch.Tensor:
    """Return y, without bias, for x and weights of one dtype, float32 or float64."""
    stride, padding, modes, dilation, groups = settled
    options = {
        "kernel": write_key(kernel), "stride": list(stride), "padding": [cells for pair in padding for cells in pair],
        "padding_mode": list(modes), "dilation": list(dilation), "groups": groups, "path": path, "accuracy": accuracy,
    }  # fmt: skip
    y: torch.Tensor = conv_op(x, weights, **options)
    return y


@torch.library.custom_op(
    "interpolated_kernels::conv",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weights, {_OPTIONS}) -> Tensor",
)
def conv_op(x: torch.Tensor, weights: torch.Tensor, *options: Any) -> torch.Tensor:
    """Return `ik.conv` of the tensors' own memory."""
    return _as_tensor(ik.conv(_as_array(x), _as_array(weights), **_as_keywords(*options)))


@torch.library.custom_op(
    "interpolated_kernels::conv_grad_x", mutates_args=(), device_types="cpu",
    schema=f"(Tensor grad_y, Tensor weights, SymInt[] x_shape, {_OPTIONS}) -> Tensor",
)  # fmt: skip
def grad_x_op(grad_y: torch.Tensor, weights: torch.Tensor, x_shape: Sequence[int], *options: Any) -> torch.Tensor:
    """Return the gradient by x; of x itself it takes the shape alone."""
    grad = _as_array(grad_y)
    x = np.empty(tuple(x_shape), grad.dtype)
    return _as_tensor(ik.conv_backward(grad, x, _as_array(weights), **_as_keywords(*options), wrt=("x",)).x)


@torch.library.custom_op(
    "interpolated_kernels::conv_grad_weights", mutates_args=(), device_types="cpu",
    schema=f"(Tensor grad_y, Tensor x, SymInt[] weights_shape, {_OPTIONS}) -> Tensor",
)  # fmt: skip
def grad_weights_op(grad_y: torch.Tensor, x: torch.Tensor, weights_shape: Sequence[int], *options: Any) -> torch.Tensor:
    """Return the gradient by the weights; of the weights themselves it takes the shape alone."""
    grad = _as_array(grad_y)
    weights = np.empty(tuple(weights_shape), grad.dtype)
    return _as_tensor(ik.conv_backward(grad, _as_array(x), weights, **_as_keywords(*options), wrt=("weights",)).weights)


def _as_array(tensor: torch.Tensor) -> Any:
    refuse_tangent(tensor)
    return tensor.numpy(force=True)


def _as_tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _as_keywords(
    key: str,
    stride: list[int],
    padding: list[int],
    padding_mode: list[str],
    dilation: list[int],
    groups: int,
    path: str,
    accuracy: str,
) -> dict[str, Any]:
    pairs = tuple(zip(padding[::2], padding[1::2], strict=True))
    return {
        "kernel": read_key(key), "stride": tuple(stride), "padding": pairs, "padding_mode": tuple(padding_mode),
        "dilation": tuple(dilation), "groups": groups, "path": path, "accuracy": accuracy,
    }  # fmt: skip


@conv_op.register_fake
def _(x: torch.Tensor, weights: torch.Tensor, *options: Any) -> torch.Tensor:
    chosen = _as_keywords(*options)
    window, d = chosen["kernel"].spatial_window, chosen["kernel"].n_dims
    axes = zip(x.shape[-d:], chosen["padding"], window, chosen["dilation"], chosen["stride"], strict=True)
    out = [(size + sum(pair) - (cells - 1) * apart - 1) // step + 1 for size, pair, cells, apart, step in axes]
    lead = x.shape[:-d] if weights.ndim == 1 else (*x.shape[: -d - 1], weights.shape[0])
    return x.new_empty((*lead, *out))


@grad_x_op.register_fake
@grad_weights_op.register_fake
def _(grad_y: torch.Tensor, other: torch.Tensor, shape: Sequence[int], *options: Any) -> torch.Tensor:
    return grad_y.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    """Keep, of the two tensors that the operator is linear in, only what the wanted gradients need."""
    first, second = inputs[:2]
    ctx.shapes = first.shape, second.shape
    ctx.options = inputs[-_N_OPTIONS:]
    ctx.save_for_backward(first if ctx.needs_input_grad[1] else None, second if ctx.needs_input_grad[0] else None)


def _conv_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, weights = ctx.saved_tensors
    grad_x = grad_x_op(grad, weights, ctx.shapes[0], *ctx.options) if ctx.needs_input_grad[0] else None
    grad_weights = grad_weights_op(grad, x, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return grad_x, grad_weights, *(None,) * _N_OPTIONS


def _grad_x_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    grad_y, weights = ctx.saved_tensors
    by_grad_y = conv_op(grad, weights, *ctx.options) if ctx.needs_input_grad[0] else None
    by_weights = grad_weights_op(grad_y, grad, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return by_grad_y, by_weights, None, *(None,) * _N_OPTIONS


def _grad_weights_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    grad_y, x = ctx.saved_tensors
    by_grad_y = conv_op(x, grad, *ctx.options) if ctx.needs_input_grad[0] else None
    by_x = grad_x_op(grad_y, grad, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return by_grad_y, by_x, None, *(None,) * _N_OPTIONS


conv_op.register_autograd(_conv_backward, setup_context=_keep)
grad_x_op.register_autograd(_grad_x_backward, setup_context=_keep)
grad_weights_op.register_autograd(_grad_weights_backward, setup_context=_keep)
