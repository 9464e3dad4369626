"""What an adapter must check itself, because the core never sees it: tensors, and a layer's arguments."""

from __future__ import annotations

from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting

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


def check_anchors(kernel: ik.InterpolatedKernel, **moved: torch.Tensor | None) -> None:
    """Raise as `adapting.check_anchors`, in traces too, for `positions` and `widths` that do not fit the kernel."""
    adapting.check_learned(kernel, **moved)
    for name, tensor in moved.items():
        if tensor is not None and tuple(tensor.shape) != _shape_anchors(kernel, name):
            adapting.check_anchors(kernel, **{name: tuple(tensor.shape)})


@torch.compiler.assume_constant_result
def _shape_anchors(kernel: ik.InterpolatedKernel, name: str) -> tuple[int, ...]:
    return adapting.shape_anchors(kernel, name)


def check_layer(layer: Any) -> adapting.Settled:
    """Return a layer's options as the core reads them, or raise as the core does for a call with them."""
    kernel, options = layer.kernel, layer.options
    adapting.check_kernel(kernel, layer.n_dims, type(layer).__name__)
    channels, filters = (adapting.as_int(name, getattr(layer, name)) for name in ("in_channels", "out_channels"))
    adapting.check_engine(options.pop("engine"), options["path"])
    settled = adapting.settle_layer((None, channels, *(None,) * kernel.n_dims), filters, kernel, **options)
    if isinstance(options["padding"], str) and options["padding"] == "same" and any(s != 1 for s in settled.stride):
        raise ValueError(
            "`padding`='same' is not supported for strided convolutions: pass ints or (before, after) pairs."
        )
    return settled
