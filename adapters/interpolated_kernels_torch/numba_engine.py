"""The core's `conv` as two operators of torch: it and its gradients, each other's derivatives to any order."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch.constants import PLAIN_NAMES, PlainOptions, read_call, write_call
from interpolated_kernels_torch.sharing import as_array, as_tensor, hold_device, is_on_cuda

DEVICES = ("cpu", "cuda")
"""Where the core has loops."""


def conv(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    path: str,
    accuracy: str,
) -> torch.Tensor:
    """Return y, without bias, for x and weights of one dtype, float32 or float64."""
    y: torch.Tensor = conv_op(x, weights, write_call(kernel, settled, path, accuracy))
    return y


def conv_dense(x: torch.Tensor, dense: torch.Tensor, call: str) -> torch.Tensor:
    """Return y of a dense kernel in the place of a call's own."""
    options = read_call(call)
    kernel: ik.InterpolatedKernel = options["kernel"]
    whole = adapting.keep_whole_kernel(kernel.spatial_window, kernel.channel_mode)
    weights = dense.flatten(1) if whole.channel_mode == "tied" else dense.flatten(-kernel.n_dims)
    settled: Any = tuple(options[name] for name in PLAIN_NAMES)
    return conv(x, weights, whole, settled, "auto", options["accuracy"])


@torch.library.custom_op(
    "interpolated_kernels::conv",
    mutates_args=(),
    device_types=DEVICES,
    schema="(Tensor x, Tensor weights, str call) -> Tensor",
)
def conv_op(x: torch.Tensor, weights: torch.Tensor, call: str) -> torch.Tensor:
    """Return `ik.conv` of the tensors' own memory."""
    return run_conv(x, weights, call, read_call(call))


def run_conv(x: torch.Tensor, weights: torch.Tensor, call: str, keywords: dict[str, Any]) -> torch.Tensor:
    """Return `ik.conv` of keywords; `call` says y's shape: on a GPU torch makes it, from memory that it keeps."""
    with hold_device(x):
        if not is_on_cuda(x):
            return as_tensor(ik.conv(as_array(x), as_array(weights), **keywords))
        y = infer_y(x, weights, call)
        ik.conv(as_array(x), as_array(weights), **keywords, out=as_array(y))
        return y


@torch.library.custom_op(
    "interpolated_kernels::conv_grads", mutates_args=(), device_types=DEVICES,
    schema="(Tensor grad_y, Tensor? x, Tensor? weights, SymInt[] x_shape, SymInt[] weights_shape, str call)"
    " -> (Tensor grad_x, Tensor grad_weights)",
)  # fmt: skip
def grads_op(
    grad_y: torch.Tensor,
    x: torch.Tensor | None,
    weights: torch.Tensor | None,
    x_shape: Sequence[int],
    weights_shape: Sequence[int],
    call: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient by x where weights are given, and that by weights where x is; each takes the other alone.

    An empty tensor stands for one that is not asked for: lists of tensors have no batched gradients in torch.
    """
    wrt = tuple(name for name, needed in (("x", weights), ("weights", x)) if needed is not None)
    with hold_device(grad_y):
        x_place, weights_place = (
            as_array(grad_y.new_empty(tuple(shape)) if tensor is None else tensor)
            for tensor, shape in ((x, x_shape), (weights, weights_shape))
        )
        grads = ik.conv_backward(as_array(grad_y), x_place, weights_place, **read_call(call), wrt=wrt)
        by_x, by_weights = (
            grad_y.new_empty(0) if value is None else as_tensor(value) for value in (grads.x, grads.weights)
        )
    return by_x, by_weights


def add_given(*tensors: torch.Tensor | None) -> torch.Tensor | None:
    """Return the sum of those that are there, None where none is."""
    given = [tensor for tensor in tensors if tensor is not None]
    return functools.reduce(torch.add, given) if given else None


@conv_op.register_fake
def infer_y(x: torch.Tensor, weights: torch.Tensor, call: str) -> torch.Tensor:
    """Return a tensor without values in y's shape and dtype."""
    chosen = read_call(call)
    window, d = chosen["kernel"].spatial_window, chosen["kernel"].n_dims
    axes = zip(x.shape[-d:], chosen["padding"], window, chosen["dilation"], chosen["stride"], strict=True)
    out = [(size + sum(pair) - (cells - 1) * apart - 1) // step + 1 for size, pair, cells, apart, step in axes]
    lead = x.shape[:-d] if weights.ndim == 1 else (*x.shape[: -d - 1], weights.shape[0])
    return x.new_empty((*lead, *out))


@grads_op.register_fake
def _(grad_y: torch.Tensor, x: Any, weights: Any, x_shape: Any, weights_shape: Any, call: str) -> Any:
    return tuple(grad_y.new_empty(0 if x is None else shape) for x, shape in ((weights, x_shape), (x, weights_shape)))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    """Keep, of the two tensors that the operator is linear in, only what the wanted gradients need."""
    x, weights, ctx.call = inputs
    ctx.shapes = x.shape, weights.shape
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weights if ctx.needs_input_grad[0] else None)


def _conv_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return *_find_grads(ctx, grad, *ctx.saved_tensors), None


def _find_grads(
    ctx: Any, grad_y: torch.Tensor, x: torch.Tensor | None, weights: torch.Tensor | None
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Return the gradients by x and by weights, each where the other is given."""
    if x is None and weights is None:
        return None, None
    by_x, by_weights = grads_op(grad_y, x, weights, *ctx.shapes, ctx.call)
    return None if weights is None else by_x, None if x is None else by_weights


def _keep_grads(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    *operands, x_shape, weights_shape, ctx.call = inputs
    ctx.shapes = x_shape, weights_shape
    ctx.save_for_backward(*operands)
    ctx.set_materialize_grads(False)


def _grads_backward(
    ctx: Any, along_x: torch.Tensor | None, along_weights: torch.Tensor | None
) -> tuple[torch.Tensor | None, ...]:
    """Return the second derivatives: by y's gradient it is `conv` again, by x and weights these gradients."""
    grad_y, x, weights = ctx.saved_tensors
    needs_grad_y, needs_x, needs_weights, *_ = ctx.needs_input_grad
    pairs = ((along_x, weights), (x, along_weights)) if needs_grad_y else ()
    by_grad_y = add_given(*(conv_op(*pair, ctx.call) for pair in pairs if all(one is not None for one in pair)))
    by_x, by_weights = _find_grads(ctx, grad_y, along_x if needs_weights else None, along_weights if needs_x else None)
    return by_grad_y, by_x, by_weights, None, None, None


conv_op.register_autograd(_conv_backward, setup_context=_keep)
grads_op.register_autograd(_grads_backward, setup_context=_keep_grads)
