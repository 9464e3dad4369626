"""The core's `conv` by its anchors too, as operators of torch: positions and widths are operands beside x and weights.

`conv_moving` has its gradients for a second operator. That by x is linear in y's gradient, as `conv_moving` in x, so
that the two give each other's derivatives. Those by the anchors are not linear in these: their own derivatives come
from torch's formulas of the dense kernel, for the interpolators that have them, and raise for the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import native_engine, numba_engine
from interpolated_kernels_torch.constants import PlainOptions, read_call, write_call
from interpolated_kernels_torch.numba_engine import DEVICES, add_given
from interpolated_kernels_torch.sharing import as_array, as_tensor, hold_device

ANCHORS = "Tensor weights, Tensor? positions, Tensor? widths"
NAMES = ("weights", "positions", "widths")
_ALL = ("x", *NAMES)


def conv(
    x: torch.Tensor,
    anchors: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None],
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    path: str,
    accuracy: str,
) -> torch.Tensor:
    """Return y, without bias; `anchors` are weights, of x's dtype, positions and widths, which may have another."""
    y: torch.Tensor = conv_op(x, *anchors, write_call(kernel, settled, path, accuracy))
    return y


def replace_anchors(
    kernel: ik.InterpolatedKernel, positions: torch.Tensor | None, widths: torch.Tensor | None
) -> ik.InterpolatedKernel:
    """Return the kernel with those of positions and widths that are given; a kernel has them on the CPU."""
    moved = {"positions": positions, "widths": widths}
    given = {name: as_array(value.detach().double().cpu()) for name, value in moved.items() if value is not None}
    with adapting.ignore_anchor_warnings():
        return kernel.replace(**given)


def _read_call(call: str, positions: torch.Tensor | None, widths: torch.Tensor | None) -> dict[str, Any]:
    """Return keywords for the core with the kernel at these positions, of these widths."""
    keywords = read_call(call)
    return {**keywords, "kernel": replace_anchors(keywords["kernel"], positions, widths)}


def cast_gradients(grads: ik.Gradients, wrt: Sequence[str], **operands: Any) -> list[torch.Tensor]:
    """Return the gradients that `wrt` names, each in the dtype of its operand, and where that lives."""
    return [as_tensor(getattr(grads, name)).to(operands[name]) for name in wrt]


def make_empty_gradients(wrt: Sequence[str], **operands: Any) -> list[torch.Tensor]:
    """Return tensors without values in the place of the gradients that `wrt` names."""
    return [torch.empty_like(operands[name], memory_format=torch.contiguous_format) for name in wrt]


@torch.library.custom_op(
    "interpolated_kernels::conv_moving",
    mutates_args=(),
    device_types=DEVICES,
    schema=f"(Tensor x, {ANCHORS}, str call) -> Tensor",
)
def conv_op(x: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, call: str) -> torch.Tensor:
    """Return `ik.conv` of the tensors' own memory."""
    return numba_engine.run_conv(x, weights, call, _read_call(call, positions, widths))


@torch.library.custom_op(
    "interpolated_kernels::conv_moving_grads", mutates_args=(), device_types=DEVICES,
    schema=f"(Tensor grad_y, Tensor? x, {ANCHORS}, SymInt[] x_shape, str[] wrt, str call)"
    " -> (Tensor grad_x, Tensor grad_weights, Tensor grad_positions, Tensor grad_widths)",
)  # fmt: skip
def grads_op(
    grad_y: torch.Tensor,
    x: torch.Tensor | None,
    weights: torch.Tensor,
    positions: Any,
    widths: Any,
    x_shape: Sequence[int],
    wrt: Sequence[str],
    call: str,
) -> tuple[torch.Tensor, ...]:
    """Return the gradients that `wrt` names, each in its operand's dtype, and empty tensors for the others.

    x may be absent where only its own is asked for.
    """
    keywords = _read_call(call, positions, widths)
    with hold_device(grad_y):
        place = as_array(grad_y.new_empty(tuple(x_shape)) if x is None else x)
        grads = ik.conv_backward(as_array(grad_y), place, as_array(weights), **keywords, wrt=tuple(wrt))
        found = cast_gradients(grads, wrt, x=grad_y, weights=weights, positions=positions, widths=widths)
    return _fill_places(grad_y, wrt, found)


def _fill_places(grad_y: torch.Tensor, wrt: Sequence[str], grads: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return all four gradients, an empty tensor for each that `wrt` does not name."""
    named = dict(zip(wrt, grads, strict=True))
    return tuple(named[name] if name in named else grad_y.new_empty(0) for name in _ALL)


@conv_op.register_fake
def _(x: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, call: str) -> torch.Tensor:
    return numba_engine.infer_y(x, weights, call)


@grads_op.register_fake
def _(grad_y: torch.Tensor, x: Any, *rest: Any) -> tuple[torch.Tensor, ...]:
    *anchors, x_shape, wrt, _ = rest
    places = dict(zip(_ALL, (grad_y.new_empty(x_shape), *anchors), strict=True))
    return _fill_places(grad_y, wrt, make_empty_gradients(wrt, **places))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    x, *anchors, ctx.call = inputs
    ctx.x_shape = x.shape
    ctx.save_for_backward(x if any(ctx.needs_input_grad[1:4]) else None, *anchors)


def _conv_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return *_find_grads(ctx, grad, *ctx.saved_tensors, needs=ctx.needs_input_grad[:4]), None


def _find_grads(
    ctx: Any, grad_y: torch.Tensor, x: torch.Tensor | None, *anchors: torch.Tensor, needs: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return the gradients by x, weights, positions and widths; None where none is needed."""
    wrt = list(itertools.compress(_ALL, needs))
    found = grads_op(grad_y, x, *anchors, ctx.x_shape, wrt, ctx.call) if wrt else needs
    return [grad if needed else None for grad, needed in zip(found, needs, strict=True)]


def _keep_grads(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
    *operands, ctx.x_shape, ctx.wrt, ctx.call = inputs
    ctx.save_for_backward(*operands)
    ctx.set_materialize_grads(False)


def _grads_backward(ctx: Any, *grads: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
    """Return the second derivatives, along the gradient by x and along those by the anchors."""
    named = zip(_ALL, grads, strict=True)
    along = {name: grad for name, grad in named if grad is not None and name in ctx.wrt}
    along_x = along.pop("x", None)
    none: list[torch.Tensor | None] = [None] * 5
    by_x = none if along_x is None else _pull_back_by_x(ctx, along_x)
    by_anchors = _pull_back_by_anchors(ctx, along) if along else none
    return *map(add_given, by_x, by_anchors), None, None, None


def _pull_back_by_x(ctx: Any, along_x: torch.Tensor) -> list[torch.Tensor | None]:
    """Return the share of the gradient by x: it is `conv_moving`'s transpose."""
    grad_y, _, *anchors = ctx.saved_tensors
    by_grad_y = conv_op(along_x, *anchors, ctx.call) if ctx.needs_input_grad[0] else None
    _, *by_anchors = _find_grads(ctx, grad_y, along_x, *anchors, needs=(False, *ctx.needs_input_grad[2:5]))
    return [by_grad_y, None, *by_anchors]


def _pull_back_by_anchors(ctx: Any, along: dict[str, torch.Tensor]) -> list[torch.Tensor | None]:
    """Return the share of the other gradients, through the dense kernel by torch's formulas and `conv` of it."""
    kernel, goes_on = read_call(ctx.call)["kernel"], torch.is_grad_enabled()
    if not adapting.can_spread(kernel):
        raise NotImplementedError(
            f"`positions` of {kernel.interpolator} have a first derivative alone: there is no second one by them."
        )
    with torch.enable_grad():
        # Views stand for the operands, so that a derivative by one does not run through what made another.
        operands: list[Any] = [None if value is None else value.view_as(value) for value in ctx.saved_tensors]
        grad_y, x, weights, positions, widths = operands
        y = numba_engine.conv_dense(x, native_engine.densify(weights, kernel, positions, widths), ctx.call)
        named = dict(zip(NAMES, operands[2:], strict=True))
        first = torch.autograd.grad(y, [named[name] for name in along], grad_y, create_graph=True)
        wanted = [value for value, needs in zip(operands, ctx.needs_input_grad, strict=False) if needs]
        found = iter(torch.autograd.grad(first, wanted, list(along.values()), create_graph=goes_on, allow_unused=True))
    return [next(found) if needs else None for needs in ctx.needs_input_grad[:5]]


conv_op.register_autograd(_conv_backward, setup_context=_keep)
grads_op.register_autograd(_grads_backward, setup_context=_keep_grads)
