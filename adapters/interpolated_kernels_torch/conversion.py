"""From one plain convolution to an interpolated one and back; layers call this, so that it knows none of them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import nn

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch.checks import check_layer

_CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@torch.no_grad()
def to_conv(layer: Any) -> nn.Module:
    """Return the plain convolution of a layer; see `InterpolatedConv.to_conv`."""
    settled = check_layer(layer)
    padding, (mode, *others) = layer.options["padding"], settled.padding_modes
    if not isinstance(padding, str) or padding == "causal":
        pairs = [pair for pair in settled.padding if pair is not None]  # all: "same" alone may leave some open
        if any(before != after for before, after in pairs):
            raise ValueError(
                f"`padding`={padding!r} pads differently before and after, nn.Conv{layer.n_dims}d never: pad x first."
            )
        padding = tuple(before for before, _ in pairs)
    if any(other != mode for other in others):
        raise ValueError(
            f"`padding_mode`={settled.padding_modes} has a mode an axis, nn.Conv{layer.n_dims}d never: pad x first."
        )
    if mode == "symmetric":
        raise ValueError(f"`padding_mode`='symmetric' is none of nn.Conv{layer.n_dims}d's: pad x first.")
    dense = layer.dense_kernel()
    if layer.kernel.channel_mode == "tied":
        dense = dense.expand(-1, settled.channels_per_group, *(-1,) * layer.n_dims)
    conv = _CONVS[layer.n_dims](
        layer.in_channels, layer.out_channels, layer.kernel.spatial_window, settled.stride, padding,
        dilation=settled.dilation, groups=settled.groups, bias=layer.bias is not None, padding_mode=mode,
        device=dense.device, dtype=dense.dtype,
    )  # fmt: skip
    conv.weight.copy_(dense)
    _carry_over(layer, conv)
    return conv


@torch.no_grad()
def from_conv(cls: Any, conv: Any, kernel: ik.InterpolatedKernel, **options: Any) -> Any:
    """Return the layer of `cls` nearest to `conv`; see `InterpolatedConv.from_conv`."""
    adapting.check_kernel(kernel)
    plain = _CONVS[cls.n_dims]
    if not isinstance(conv, plain):
        raise TypeError(f"`conv` must be a torch.nn.{plain.__name__} for {cls.__name__}, got {type(conv).__name__}.")
    if kernel.spatial_window != conv.kernel_size:
        raise ValueError(f"`kernel` must have the window of `conv`, {tuple(conv.kernel_size)}, got {kernel!r}.")
    taken = {name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups", "padding_mode")}
    layer = cls(
        conv.in_channels, conv.out_channels, kernel, bias=conv.bias is not None,
        device=conv.weight.device, dtype=conv.weight.dtype, **{**taken, **options},
    )  # fmt: skip
    dense = conv.weight.detach().to("cpu", torch.float64)
    layer.weight.copy_(torch.from_numpy(ik.from_dense(dense.numpy(), kernel).weights))
    _carry_over(conv, layer)
    return layer


def _carry_over(source: Any, target: Any) -> None:
    """Give one module the bias of another, its mode, and its parameters' need of gradients."""
    target.train(source.training)
    target.weight.requires_grad_(source.weight.requires_grad)
    if source.bias is not None:
        target.bias.copy_(source.bias)
        target.bias.requires_grad_(source.bias.requires_grad)


@torch.no_grad()
def to_file(layer: Any, path: str | os.PathLike[str]) -> None:
    """Write a layer as the core does; see `InterpolatedConv.to_file`."""
    tensors = {"weights": layer.weight} | ({} if layer.bias is None else {"bias": layer.bias})
    ik.save(path, layer.current_kernel, **{name: _as_array(tensor) for name, tensor in tensors.items()})


def _as_array(tensor: torch.Tensor) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


@torch.no_grad()
def from_file(cls: Any, path: str | os.PathLike[str], **options: Any) -> Any:
    """Return the layer of a file; see `InterpolatedConv.from_file`."""
    saved = ik.load(path)
    kernel, bias = saved.kernel, saved.arrays.get("bias")
    weights, channels = adapting.read_bank(kernel, saved.weights, options.get("groups", 1), options.get("in_channels"))
    tensor = torch.from_numpy(weights.astype(np.result_type(weights, np.float32)))
    wanted = {"in_channels": channels, "bias": bias is not None}
    layer = cls(**{**wanted, "dtype": tensor.dtype, **options}, out_channels=len(weights), kernel=kernel)
    layer.weight.copy_(tensor)
    if layer.bias is not None and bias is not None:
        layer.bias.copy_(torch.from_numpy(np.asarray(bias, np.float64)))
    return layer
