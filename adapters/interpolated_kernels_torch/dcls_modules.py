"""Modules of the package dcls (Dilated Convolution with Learnable Spacings) as layers that learn the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import interpolated_kernels as ik

_SAME_AXES = {"Dcls1d": 1, "Dcls2d": 2, "Dcls3d": 3}


@torch.no_grad()
def from_dcls(cls: Any, module: Any, **options: Any) -> Any:
    """Return the layer of `cls` for a module of dcls; see `InterpolatedConv.from_dcls`."""
    kind = type(module).__name__
    if kind not in {*_SAME_AXES, "Dcls2dK1d", "Dcls3_1d"}:
        raise TypeError(f"`module` must be a convolution of dcls 0.1.1, got {kind}.")
    n_dims = _SAME_AXES.get(kind, int(kind[4]))
    if n_dims != cls.n_dims:
        raise TypeError(f"`module` must have {cls.n_dims} spatial axes for {cls.__name__}, got {kind} with {n_dims}.")
    window = tuple(int(cells) for cells in module.dilated_kernel_size)
    state = {name: value.detach().cpu().double().numpy() for name, value in module.state_dict().items()}
    axis = None
    if kind == "Dcls2dK1d":
        axis = 0 if module.flat_dim == 0 else 1
    elif kind == "Dcls3_1d":
        if any(cells != 1 for cells in module.dense_kernel_size):
            raise ValueError(
                f"`module` must have one cell along its fixed axes, got {tuple(module.dense_kernel_size)}."
            )
        axis = 2
        state = {name: _drop_fixed_axes(name, value) for name, value in state.items()}
    kernel = ik.from_dcls(state, window, module.version).kernel
    if axis is not None:
        kernel = _embed(kernel, axis, n_dims)
    layer = cls(
        module.in_channels, module.out_channels, kernel, stride=module.stride, padding=module.padding,
        groups=module.groups, padding_mode=module.padding_mode, bias=module.bias is not None,
        **{
            "learn_positions": True if axis is None else (axis,), "learn_widths": kernel.widths is not None,
            "device": module.weight.device, "dtype": module.weight.dtype, **options,
        },
    )  # fmt: skip
    layer.weight.copy_(torch.from_numpy(state["weight"]))
    if layer.bias is not None:
        layer.bias.copy_(module.bias)
    return layer.train(module.training)


def _drop_fixed_axes(name: str, value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an entry of `Dcls3_1d`'s state, `(..., 1, 1, n)` but for the bias, without the axes of one cell."""
    return value if name == "bias" else value.reshape(*value.shape[:-3], value.shape[-1])


def _embed(kernel: ik.InterpolatedKernel, axis: int, n_dims: int) -> ik.InterpolatedKernel:
    """Return a 1-D kernel along one of several axes; along the others its window has one cell."""
    window = tuple(kernel.window[0] if other == axis else 1 for other in range(n_dims))
    positions = np.zeros((*kernel.positions.shape[:-1], n_dims))
    positions[..., axis] = kernel.positions[..., 0]
    widths = None if kernel.widths is None else np.zeros(positions.shape)
    if widths is not None and kernel.widths is not None:
        widths[..., axis] = kernel.widths[..., 0]
    return ik.InterpolatedKernel(positions, window, kernel.interpolator, widths=widths)
