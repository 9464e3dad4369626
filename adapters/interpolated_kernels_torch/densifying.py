"""The core's `densify` by its anchors as an operator of torch, for dense kernels whose formula torch does not have."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch import native_engine
from interpolated_kernels_torch.constants import read_key, write_key
from interpolated_kernels_torch.moving_engine import (
    ANCHORS,
    NAMES,
    cast_gradients,
    make_empty_gradients,
    replace_anchors,
)
from interpolated_kernels_torch.numba_engine import DEVICES
from interpolated_kernels_torch.sharing import as_array, as_tensor, hold_device


def densify(
    weights: torch.Tensor, kernel: ik.InterpolatedKernel, positions: torch.Tensor | None, widths: torch.Tensor | None
) -> torch.Tensor:
    """Return the dense kernel, differentiable by all that is given, once where torch has no formula of it."""
    if (positions is None and widths is None) or adapting.can_spread(kernel):
        return native_engine.densify(weights, kernel, positions, widths)
    dense: torch.Tensor = densify_op(weights, positions, widths, write_key(kernel))
    return dense


@torch.library.custom_op(
    "interpolated_kernels::densify", mutates_args=(), device_types=DEVICES, schema=f"({ANCHORS}, str kernel) -> Tensor"
)
def densify_op(weights: torch.Tensor, positions: Any, widths: Any, key: str) -> torch.Tensor:
    """Return `ik.densify`."""
    kernel = replace_anchors(read_key(key), positions, widths)
    with hold_device(weights):
        return as_tensor(ik.densify(as_array(weights), kernel))


@torch.library.custom_op(
    "interpolated_kernels::densify_grads", mutates_args=(), device_types=DEVICES,
    schema=f"(Tensor grad_dense, {ANCHORS}, str[] wrt, str kernel) -> Tensor[]",
)  # fmt: skip
def densify_grads_op(
    grad_dense: torch.Tensor, weights: torch.Tensor, positions: Any, widths: Any, wrt: Sequence[str], key: str
) -> list[torch.Tensor]:
    """Return the gradients by those that `wrt` names; they have no derivative themselves."""
    kernel = replace_anchors(read_key(key), positions, widths)
    with hold_device(weights):
        grads = ik.densify_backward(as_array(grad_dense), as_array(weights), kernel, wrt=tuple(wrt))
        return cast_gradients(grads, wrt, weights=weights, positions=positions, widths=widths)


@densify_op.register_fake
def _(weights: torch.Tensor, positions: Any, widths: Any, key: str) -> torch.Tensor:
    kernel = read_key(key)
    if weights.ndim == 1:
        return weights.new_empty(kernel.window)
    channels = kernel.window[-1] if kernel.interpolates_channels else 1
    lead = weights.shape[:-1] if weights.ndim == 3 else (weights.shape[0], channels)
    return weights.new_empty((*lead, *kernel.spatial_window))


@densify_grads_op.register_fake
def _(grad_dense: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
    *anchors, wrt, _ = rest
    return make_empty_gradients(wrt, **dict(zip(NAMES, anchors, strict=True)))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *anchors, ctx.key = inputs
    ctx.save_for_backward(*anchors)


def _backward(ctx: Any, grad_dense: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    wrt = list(itertools.compress(NAMES, ctx.needs_input_grad))
    grads = dict(zip(wrt, densify_grads_op(grad_dense, *ctx.saved_tensors, wrt, ctx.key), strict=True))
    return *(grads.get(name) for name in NAMES), None


densify_op.register_autograd(_backward, setup_context=_keep)
