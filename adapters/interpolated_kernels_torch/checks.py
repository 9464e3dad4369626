"""What an adapter must check itself, because the core never sees it: tensors, and a layer's arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik
from interpolated_kernels_torch.constants import Settled
from interpolated_kernels_torch.engines import ENGINES
from interpolated_kernels_torch.options import ANY_SIZE, settle_options

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_tensors(tensors: dict[str, Any]) -> None:
    """Raise unless all are dense floating tensors on one device."""
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"`{name}` must be a torch.Tensor, got {type(tensor).__name__}.")
        if tensor.dtype.is_complex:
            raise TypeError(f"`{name}` must be real, got {tensor.dtype}: pass `{name}.real` and `{name}.imag` in turn.")
        if tensor.dtype not in _FLOATS:
            raise TypeError(
                f"`{name}` must be a floating tensor (float16, bfloat16, float32 or float64), got {tensor.dtype}: "
                f"nothing is cast silently. Write `{name}.float()` or `{name}.double()`."
            )
        if tensor.layout != torch.strided:
            raise TypeError(f"`{name}` must be a dense tensor, got {tensor.layout}: write `{name}.to_dense()`.")
        if tensor.device != tensors["x"].device:
            raise ValueError(f"`{name}` must be on x's device, {tensors['x'].device}, got {tensor.device}.")


def check_kernel(kernel: Any) -> None:
    """Raise unless `kernel` is one."""
    if not isinstance(kernel, ik.InterpolatedKernel):
        raise TypeError(f"`kernel` must be an InterpolatedKernel, got {type(kernel).__name__}.")


def check_learnable(kernel: ik.InterpolatedKernel, name: str) -> None:
    """Raise unless `name`, "positions" or "widths", can be learned: today no interpolator offers it."""
    if name not in kernel.interpolator.differentiable_by:
        raise ValueError(f"`{name}` cannot be learned: {kernel.interpolator} has no derivative by them.")
    raise NotImplementedError(f"`{name}`: this adapter cannot learn them yet. Build them into the kernel.")


def check_layer(layer: Any) -> Settled:
    """Return a layer's options as the core reads them, or raise as the core does for a call with them."""
    kernel, options = layer.kernel, layer.options
    check_kernel(kernel)
    if kernel.n_dims != layer.n_dims:
        raise ValueError(
            f"`kernel` must have {layer.n_dims} spatial axes for {type(layer).__name__}, got {kernel.n_dims}."
        )
    for name in ("in_channels", "out_channels"):
        count = getattr(layer, name)
        if not _is_int(count):
            raise TypeError(f"`{name}` must be an int, got {count!r}.")
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")
    if (engine := options.pop("engine")) not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, got {engine!r}.")
    groups = options["groups"]
    channels = layer.in_channels // groups if _is_int(groups) and groups > 0 else layer.in_channels
    bank = (layer.out_channels, *((channels,) if kernel.channel_mode == "separate" else ()), kernel.n_anchors)
    settled = settle_options((1, layer.in_channels, *(ANY_SIZE,) * kernel.n_dims), bank, kernel, "float32", **options)
    if isinstance(options["padding"], str) and options["padding"] == "same" and any(step != 1 for step in settled[0]):
        raise ValueError(
            "`padding`='same' is not supported for strided convolutions: pass ints or (before, after) pairs."
        )
    return settled


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
