"""The core's `conv` as operators of torch: it and its two transposes, each other's derivatives to any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels_torch.constants import PlainOptions, keep_whole_kernel, read_key, write_key
from interpolated_kernels_torch.engines import refuse_tangent

OPTIONS = (
    "str kernel, int[] stride, int[] padding, str[] padding_mode, int[] dilation, int groups, str path, str accuracy"
)
N_OPTIONS = OPTIONS.count(",") + 1


def conv(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    path: str,
    accuracy: str,
) -> torch.Tensor:
    """Return y, without bias, for x and weights of one dtype, float32 or float64."""
    y: torch.Tensor = conv_op(x, weights, **pack_options(kernel, settled, path, accuracy))
    return y


def conv_dense(x: torch.Tensor, dense: torch.Tensor, kernel: ik.InterpolatedKernel, options: Any) -> torch.Tensor:
    """Return y of a dense kernel in the place of `kernel`'s own, for an operator's `options`."""
    whole = keep_whole_kernel(kernel.spatial_window, kernel.channel_mode)
    weights = dense.flatten(1) if whole.channel_mode == "tied" else dense.flatten(-kernel.n_dims)
    _, *others, _, accuracy = options
    y: torch.Tensor = conv_op(x, weights, write_key(whole), *others, "auto", accuracy)
    return y


def pack_options(kernel: ik.InterpolatedKernel, settled: PlainOptions, path: str, accuracy: str) -> dict[str, Any]:
    """Return a kernel and options as the operators take them."""
    stride, padding, modes, dilation, groups = settled
    return {
        "kernel": write_key(kernel), "stride": list(stride), "padding": [cells for pair in padding for cells in pair],
        "padding_mode": list(modes), "dilation": list(dilation), "groups": groups, "path": path, "accuracy": accuracy,
    }  # fmt: skip


@torch.library.custom_op(
    "interpolated_kernels::conv",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, Tensor weights, {OPTIONS}) -> Tensor",
)
def conv_op(x: torch.Tensor, weights: torch.Tensor, *options: Any) -> torch.Tensor:
    """Return `ik.conv` of the tensors' own memory."""
    return as_tensor(ik.conv(as_array(x), as_array(weights), **as_keywords(*options)))


@torch.library.custom_op(
    "interpolated_kernels::conv_grad_x", mutates_args=(), device_types="cpu",
    schema=f"(Tensor grad_y, Tensor weights, SymInt[] x_shape, {OPTIONS}) -> Tensor",
)  # fmt: skip
def grad_x_op(grad_y: torch.Tensor, weights: torch.Tensor, x_shape: Sequence[int], *options: Any) -> torch.Tensor:
    """Return the gradient by x; of x itself it takes the shape alone."""
    grad = as_array(grad_y)
    x = np.empty(tuple(x_shape), grad.dtype)
    return as_tensor(ik.conv_backward(grad, x, as_array(weights), **as_keywords(*options), wrt=("x",)).x)


@torch.library.custom_op(
    "interpolated_kernels::conv_grad_weights", mutates_args=(), device_types="cpu",
    schema=f"(Tensor grad_y, Tensor x, SymInt[] weights_shape, {OPTIONS}) -> Tensor",
)  # fmt: skip
def grad_weights_op(grad_y: torch.Tensor, x: torch.Tensor, weights_shape: Sequence[int], *options: Any) -> torch.Tensor:
    """Return the gradient by the weights; of the weights themselves it takes the shape alone."""
    grad = as_array(grad_y)
    weights = np.empty(tuple(weights_shape), grad.dtype)
    return as_tensor(ik.conv_backward(grad, as_array(x), weights, **as_keywords(*options), wrt=("weights",)).weights)


def as_array(tensor: torch.Tensor) -> Any:
    """Return the tensor's own memory."""
    refuse_tangent(tensor)
    return tensor.numpy(force=True)


def as_tensor(array: Any) -> torch.Tensor:
    """Return a new array's own memory, as a contiguous tensor."""
    return torch.from_numpy(np.ascontiguousarray(array))


def as_keywords(
    key: str,
    stride: list[int],
    padding: list[int],
    padding_mode: list[str],
    dilation: list[int],
    groups: int,
    path: str,
    accuracy: str,
) -> dict[str, Any]:
    """Return an operator's options as the core's keywords."""
    pairs = tuple(zip(padding[::2], padding[1::2], strict=True))
    return {
        "kernel": read_key(key), "stride": tuple(stride), "padding": pairs, "padding_mode": tuple(padding_mode),
        "dilation": tuple(dilation), "groups": groups, "path": path, "accuracy": accuracy,
    }  # fmt: skip


@conv_op.register_fake
def infer_y(x: torch.Tensor, weights: torch.Tensor, *options: Any) -> torch.Tensor:
    """Return a tensor without values in y's shape and dtype."""
    chosen = as_keywords(*options)
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
    ctx.options = inputs[-N_OPTIONS:]
    ctx.save_for_backward(first if ctx.needs_input_grad[1] else None, second if ctx.needs_input_grad[0] else None)


def _conv_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, weights = ctx.saved_tensors
    grad_x = grad_x_op(grad, weights, ctx.shapes[0], *ctx.options) if ctx.needs_input_grad[0] else None
    grad_weights = grad_weights_op(grad, x, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return grad_x, grad_weights, *(None,) * N_OPTIONS


def _grad_x_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    grad_y, weights = ctx.saved_tensors
    by_grad_y = conv_op(grad, weights, *ctx.options) if ctx.needs_input_grad[0] else None
    by_weights = grad_weights_op(grad_y, grad, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return by_grad_y, by_weights, None, *(None,) * N_OPTIONS


def _grad_weights_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    grad_y, x = ctx.saved_tensors
    by_grad_y = conv_op(x, grad, *ctx.options) if ctx.needs_input_grad[0] else None
    by_x = grad_x_op(grad_y, grad, ctx.shapes[1], *ctx.options) if ctx.needs_input_grad[1] else None
    return by_grad_y, by_x, None, *(None,) * N_OPTIONS


conv_op.register_autograd(_conv_backward, setup_context=_keep)
grad_x_op.register_autograd(_grad_x_backward, setup_context=_keep)
grad_weights_op.register_autograd(_grad_weights_backward, setup_context=_keep)
