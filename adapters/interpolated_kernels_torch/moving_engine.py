"""The core's `conv` by its anchors too, as operators of torch: positions and widths are operands beside x and weights.

`conv_moving` has two transposes. That by x is linear in the other operands, as `conv_moving` itself, so that the two
give each other's derivatives. That by the anchors is not linear in them: its own derivatives come from torch's formulas
of the dense kernel, for the interpolators that have them, and raise for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import native_engine, numba_engine
from interpolated_kernels_torch.constants import PlainOptions, read_key
from interpolated_kernels_torch.numba_engine import N_OPTIONS, OPTIONS, as_array, as_keywords, as_tensor, pack_options

ANCHORS = "Tensor weights, Tensor? positions, Tensor? widths"
NAMES = ("weights", "positions", "widths")


def conv(
    x: torch.Tensor,
    anchors: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None],
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    path: str,
    accuracy: str,
) -> torch.Tensor:
    """Return y, without bias; `anchors` are weights, of x's dtype, positions and widths, which may have another."""
    y: torch.Tensor = conv_op(x, *anchors, **pack_options(kernel, settled, path, accuracy))
    return y


def replace_anchors(
    kernel: ik.InterpolatedKernel, positions: torch.Tensor | None, widths: torch.Tensor | None
) -> ik.InterpolatedKernel:
    """Return the kernel with those of positions and widths that are given."""
    moved = {"positions": positions, "widths": widths}
    return kernel.replace(**{
        name: as_array(value.detach().double()) for name, value in moved.items() if value is not None
    })  # fmt: skip


def _read_options(options: Any, positions: torch.Tensor | None, widths: torch.Tensor | None) -> dict[str, Any]:
    """Return keywords for the core with the kernel at these positions, of these widths."""
    keywords = as_keywords(*options)
    return {**keywords, "kernel": replace_anchors(keywords["kernel"], positions, widths)}


def cast_gradients(
    grads: ik.Gradients, wrt: Sequence[str], anchors: Sequence[torch.Tensor | None]
) -> list[torch.Tensor]:
    """Return the gradients that `wrt` names, each in the dtype of its operand among weights, positions and widths."""
    dtypes = {name: value.dtype for name, value in zip(NAMES, anchors, strict=True) if value is not None}
    return [as_tensor(getattr(grads, name)).to(dtypes[name]) for name in wrt]


def make_empty_gradients(anchors: Sequence[Any], wrt: Sequence[str]) -> list[torch.Tensor]:
    """Return tensors without values in the place of the gradients that `wrt` names."""
    operands = dict(zip(NAMES, anchors, strict=True))
    return [torch.empty_like(operands[name], memory_format=torch.contiguous_format) for name in wrt]


def name_needed(needs: Sequence[bool]) -> list[str]:
    """Return the names of those among weights, positions and widths whose gradient is needed."""
    return [name for name, needed in zip(NAMES, needs, strict=True) if needed]


@torch.library.custom_op(
    "interpolated_kernels::conv_moving",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor x, {ANCHORS}, {OPTIONS}) -> Tensor",
)
def conv_op(
    x: torch.Tensor, weights: torch.Tensor, positions: Any = None, widths: Any = None, *options: Any
) -> torch.Tensor:
    """Return `ik.conv` of the tensors' own memory."""
    return as_tensor(ik.conv(as_array(x), as_array(weights), **_read_options(options, positions, widths)))


@torch.library.custom_op(
    "interpolated_kernels::conv_moving_grad_x",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_y, {ANCHORS}, SymInt[] x_shape, {OPTIONS}) -> Tensor",
)
def grad_x_op(
    grad_y: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, x_shape: Sequence[int], *options: Any
) -> torch.Tensor:
    """Return the gradient by x; of x itself it takes the shape alone."""
    grad, keywords = as_array(grad_y), _read_options(options, positions, widths)
    x = np.empty(tuple(x_shape), grad.dtype)
    return as_tensor(ik.conv_backward(grad, x, as_array(weights), **keywords, wrt=("x",)).x)


@torch.library.custom_op(
    "interpolated_kernels::conv_moving_grad_anchors",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_y, Tensor x, {ANCHORS}, str[] wrt, {OPTIONS}) -> Tensor[]",
)
def grad_anchors_op(
    grad_y: torch.Tensor,
    x: torch.Tensor,
    weights: torch.Tensor,
    positions: Any,
    widths: Any,
    wrt: Sequence[str],
    *options: Any,
) -> list[torch.Tensor]:
    """Return the gradients by those of weights, positions and widths that `wrt` names, each in its own dtype."""
    keywords = _read_options(options, positions, widths)
    grads = ik.conv_backward(as_array(grad_y), as_array(x), as_array(weights), **keywords, wrt=tuple(wrt))
    return cast_gradients(grads, wrt, (weights, positions, widths))


@conv_op.register_fake
def _(x: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, *options: Any) -> torch.Tensor:
    return numba_engine.infer_y(x, weights, *options)


@grad_x_op.register_fake
def _(
    grad_y: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, x_shape: Sequence[int], *options: Any
) -> torch.Tensor:
    return grad_y.new_empty(x_shape)


@grad_anchors_op.register_fake
def _(grad_y: torch.Tensor, x: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
    *anchors, wrt = rest[:-N_OPTIONS]
    return make_empty_gradients(anchors, wrt)


def _keep_conv(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, *anchors = inputs[:4]
    ctx.x_shape, ctx.options = x.shape, inputs[-N_OPTIONS:]
    ctx.save_for_backward(x if any(ctx.needs_input_grad[1:4]) else None, *anchors)


def _conv_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, *anchors = ctx.saved_tensors
    grad_x = grad_x_op(grad, *anchors, ctx.x_shape, *ctx.options) if ctx.needs_input_grad[0] else None
    return grad_x, *_find_grad_anchors(ctx, grad, x, anchors), *(None,) * N_OPTIONS


def _keep_grad_x(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    ctx.options = inputs[-N_OPTIONS:]
    ctx.save_for_backward(*inputs[:4])


def _grad_x_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    grad_y, *anchors = ctx.saved_tensors
    by_grad_y = conv_op(grad, *anchors, *ctx.options) if ctx.needs_input_grad[0] else None
    return by_grad_y, *_find_grad_anchors(ctx, grad_y, grad, anchors), None, *(None,) * N_OPTIONS


def _find_grad_anchors(
    ctx: Any, grad_y: torch.Tensor, x: torch.Tensor, anchors: list[torch.Tensor]
) -> list[torch.Tensor | None]:
    """Return the gradients by weights, positions and widths, inputs 1 to 3 of an operator; None where none is asked."""
    wrt = name_needed(ctx.needs_input_grad[1:4])
    grads = dict(zip(wrt, grad_anchors_op(grad_y, x, *anchors, wrt, *ctx.options) if wrt else (), strict=True))
    return [grads.get(name) for name in NAMES]


def _keep_grad_anchors(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    ctx.wrt, ctx.options = inputs[5], inputs[-N_OPTIONS:]
    ctx.save_for_backward(*inputs[:5])


def _grad_anchors_backward(ctx: Any, grads: list[torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
    """Return the second derivatives, through the dense kernel by torch's formulas and the core's `conv` of it."""
    kernel, goes_on = read_key(ctx.options[0]), torch.is_grad_enabled()
    if not adapting.can_spread(kernel):
        raise NotImplementedError(
            f"`positions` of {kernel.interpolator} have a first derivative alone: there is no second one by them."
        )
    with torch.enable_grad():
        # Views stand for the operands, so that a derivative by one does not run through what made another.
        operands: list[Any] = [None if value is None else value.view_as(value) for value in ctx.saved_tensors]
        grad_y, x, weights, positions, widths = operands
        y = numba_engine.conv_dense(x, native_engine.densify(weights, kernel, positions, widths), kernel, ctx.options)
        named = dict(zip(NAMES, operands[2:], strict=True))
        first = torch.autograd.grad(y, [named[name] for name in ctx.wrt], grad_y, create_graph=True)
        wanted = [value for value, needs in zip(operands, ctx.needs_input_grad, strict=False) if needs]
        found = iter(torch.autograd.grad(first, wanted, grads, create_graph=goes_on, allow_unused=True))
    seconds = [next(found) if needs else None for needs in ctx.needs_input_grad[:5]]
    return *seconds, None, *(None,) * N_OPTIONS


conv_op.register_autograd(_conv_backward, setup_context=_keep_conv)
grad_x_op.register_autograd(_grad_x_backward, setup_context=_keep_grad_x)
grad_anchors_op.register_autograd(_grad_anchors_backward, setup_context=_keep_grad_anchors)
