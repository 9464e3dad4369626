"""From plain convolutions to interpolated ones and back."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import interpolated_kernels as ik
from interpolated_kernels_torch.checks import check_kernel, check_layer
from interpolated_kernels_torch.constants import matrix_of

if TYPE_CHECKING:
    from interpolated_kernels_torch.layers import InterpolatedConv

_CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def to_conv(model: nn.Module) -> nn.Module:
    """Return a copy of a model in which every interpolated layer is a plain `nn.ConvNd` with equal output.

    Parameters
    ----------
    model : Module
        Or one layer.

    Raises
    ------
    ValueError
        For padding that `nn.ConvNd` does not have: different before and after, or "symmetric".
    """
    from interpolated_kernels_torch.layers import InterpolatedConv

    if isinstance(model, InterpolatedConv):
        return _plain_conv(model)
    model = copy.deepcopy(model)
    plain: dict[nn.Module, nn.Module] = {}
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, InterpolatedConv):
                parent._modules[name] = plain.setdefault(child, _plain_conv(child))
    return model


@torch.no_grad()
def _plain_conv(layer: InterpolatedConv) -> nn.Module:
    stride, pairs, dilation, groups = check_layer(layer)
    padding, mode = layer.options["padding"], layer.options["padding_mode"]
    if not isinstance(padding, str) or padding == "causal":
        if any(before != after for before, after in pairs):
            raise ValueError(
                f"`padding`={padding!r} pads differently before and after,, not so nn.Conv{layer.n_dims}d: pad x first."
            )
        padding = tuple(before for before, _ in pairs)
    if mode == "symmetric":
        raise ValueError(f"`padding_mode`='symmetric' is none of nn.Conv{layer.n_dims}d's: pad x first.")
    dense = layer.dense_kernel()
    if layer.kernel.channel_mode == "tied":
        dense = dense.expand(-1, layer.in_channels // groups, *(-1,) * layer.n_dims)
    conv = _CONVS[layer.n_dims](
        layer.in_channels, layer.out_channels, layer.kernel.spatial_window, stride, padding, dilation, groups,
        bias=layer.bias is not None, padding_mode=mode, device=dense.device, dtype=dense.dtype,
    )  # fmt: skip
    conv.weight.copy_(dense)
    if layer.bias is not None:
        conv.bias.copy_(layer.bias)
    plain: nn.Module = conv.train(layer.training)
    return plain


@torch.no_grad()
def from_conv(
    cls: type[InterpolatedConv], conv: Any, kernel: ik.InterpolatedKernel, **options: Any
) -> InterpolatedConv:
    """Return the layer of `cls` nearest to `conv`; see `InterpolatedConv.from_conv`."""
    check_kernel(kernel)
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
    layer.weight.copy_(_fit(conv.weight, kernel).reshape(layer.weight.shape))
    if layer.bias is not None:
        layer.bias.copy_(conv.bias)
    return layer


def _fit(dense: torch.Tensor, kernel: ik.InterpolatedKernel) -> torch.Tensor:
    """Return the anchors' weights for a dense `(filters, channels, *spatial)`: least squares, of least norm."""
    dense = dense.to("cpu", torch.float64)
    if kernel.channel_mode == "tied":
        dense = dense.mean(1, keepdim=True)  # nearest to all channels at once
    if kernel.channel_mode == "interpolated":
        dense = dense.movedim(1, -1)[:, None]
    cells = dense.flatten(2)
    matrix = matrix_of(kernel, torch.device("cpu"))
    if matrix.ndim == 2:
        columns = cells.flatten(0, 1).T
    else:
        columns = cells.transpose(1, 2) if matrix.ndim == 3 else cells[..., None]
    solution: torch.Tensor = torch.linalg.lstsq(matrix, columns, driver="gelsd").solution  # it allows rank deficiency
    return solution[..., 0] if matrix.ndim == 4 else solution.transpose(-1, -2)
