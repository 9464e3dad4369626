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
    """Raise unless `positions` and `widths` that are given have a derivative and the shapes of the kernel's own.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    adapting.check_learned(kernel, **moved)
    for name, tensor in moved.items():
        if tensor is not None and tuple(tensor.shape) != (expected := _shape_anchors(kernel, name)):
            raise ValueError(f"`{name}` must have shape {expected} for {kernel!r}, got {tuple(tensor.shape)}.")


@torch.compiler.assume_constant_result
def _shape_anchors(kernel: ik.InterpolatedKernel, name: str) -> tuple[int, ...]:
    """Return the shape of a kernel's positions or widths."""
    is_radius = name == "widths" and kernel.interpolator.width_axes == 0
    return kernel.positions.shape[:-1] if is_radius else kernel.positions.shape


def check_learning(kernel: ik.InterpolatedKernel, engine: str, **learned: bool) -> None:
    """Raise unless a layer's engine has derivatives by what it is to learn.

    Raises
    ------
    ValueError
        Naming what cannot be learned, and which engine does.
    """
    adapting.check_learned(kernel, **learned)
    if engine == "native" and any(learned.values()):
        check_native_anchors(kernel)


def check_native_anchors(kernel: ik.InterpolatedKernel) -> None:
    """Raise unless torch's own operators know how the interpolator's dense kernel follows its anchors.

    Raises
    ------
    ValueError
        Saying which engine does.
    """
    if not adapting.can_spread(kernel):
        raise ValueError(
            f"`positions` and `widths` of {kernel.interpolator} need engine='numba', which serves eager and compiled "
            "calls on the CPU; engine='native' learns those of splats and cones."
        )


def settle_axes(kernel: ik.InterpolatedKernel, learn_positions: Any) -> tuple[int, ...]:
    """Return the axes along which positions are learned: none for False, all for True, else those that are named.

    Raises
    ------
    TypeError, ValueError
        For what is neither a bool nor ints that name axes of the kernel's positions.
    """
    d = len(kernel.window)
    if isinstance(learn_positions, bool):
        return tuple(range(d)) if learn_positions else ()
    if not isinstance(learn_positions, (tuple, list)) or not all(type(axis) is int for axis in learn_positions):
        raise TypeError(f"`learn_positions` must be a bool or a tuple of axes, got {learn_positions!r}.")
    if not all(-d <= axis < d for axis in learn_positions):
        raise ValueError(f"`learn_positions` must name axes below {d} for {kernel!r}, got {learn_positions!r}.")
    return tuple(sorted({axis % d for axis in learn_positions}))


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
