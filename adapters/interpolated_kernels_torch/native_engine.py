"""Torch's own operators around `kernel.matrix`: whatever torch can transform, trace or export."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch.constants import PlainOptions, choose_matrix_dtype, keep_constant
from interpolated_kernels_torch.options import make_plain

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TORCH_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
_FUNCTIONS = adapting.Functions(torch.abs, torch.exp, torch.relu, torch.where)


def densify(
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    positions: torch.Tensor | None = None,
    widths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the dense kernel as `ik.densify` does, summed in float64 and cast at the end.

    Positions and widths that are given, of splats and cones, take the place of the kernel's.
    """
    moves = positions is not None or widths is not None
    dense = _densify_moved(weights, kernel, positions, widths) if moves else _densify_fixed(weights, kernel)
    dense = dense.to(weights.dtype)
    if weights.ndim == 1:
        return dense.reshape(kernel.window)
    filters, *channels = make_plain(tuple(weights.shape[:-1]))  # so that an exporter knows the kernel's shape
    if kernel.channel_mode == "interpolated":
        *spatial, channel_axis = kernel.window
        return dense.reshape(filters, channel_axis, *spatial)
    return dense.reshape(filters, *(channels or [1]), *kernel.window)


def _densify_fixed(weights: torch.Tensor, kernel: ik.InterpolatedKernel) -> torch.Tensor:
    """Return the cells of the dense kernel by the kernel's matrix, the channel axis before the spatial ones."""
    matrix = keep_constant(kernel, weights.device, "matrix")
    values = weights.to(matrix.dtype)
    if matrix.ndim == 4:  # a matrix for every filter and channel
        return (matrix @ values[..., None])[..., 0]
    dense = (values if values.ndim == 3 else values[..., None, :]) @ matrix.transpose(-1, -2)
    if kernel.channel_mode == "interpolated" and weights.ndim > 1:
        return dense.reshape(*dense.shape[:-1], *kernel.window).movedim(-1, -len(kernel.window))
    return dense


def _densify_moved(
    weights: torch.Tensor, kernel: ik.InterpolatedKernel, positions: torch.Tensor | None, widths: torch.Tensor | None
) -> torch.Tensor:
    """Return the dense kernel by the formulas of the interpolator, differentiable by all tensors to any order."""
    device, dtype = weights.device, choose_matrix_dtype(weights.device)
    as_array = functools.partial(torch.as_tensor, dtype=dtype, device=device)
    namespace = adapting.Namespace(_FUNCTIONS, torch.einsum, torch.reshape, as_array)
    positions = keep_constant(kernel, device, "positions") if positions is None else positions.to(dtype)
    if widths is not None:
        widths = widths.to(dtype)
    elif kernel.interpolator.width_axes is not None:
        widths = keep_constant(kernel, device, "widths")
    dense: torch.Tensor = adapting.spread(weights.to(dtype), positions, widths, kernel, namespace)
    return dense


def conv(x: torch.Tensor, dense: torch.Tensor, kernel: ik.InterpolatedKernel, settled: PlainOptions) -> torch.Tensor:
    """Return y, without bias, for x and a dense kernel, as `densify` returns it, of one dtype."""
    bank = dense if dense.ndim > len(kernel.window) else dense[None, None]
    stride, _, _, dilation, groups = settled
    return convolve(
        x, kernel, settled, dense is bank, lambda x: CONVS[len(stride)](x, bank, None, stride, 0, dilation, groups)
    )


def convolve(
    x: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    has_channels: bool,
    run: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return what `run` makes of padded x `(batch, channels, *spatial)`, in the axes that x came with.

    Tied channels are summed before. Autocast stays out of it, as of the other engine.
    """
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return convolve(x, kernel, settled, has_channels, run)
    stride, padding, modes, _, groups = settled
    d = len(stride)
    sizes, lead = x.shape[-d:], x.shape[: -d - has_channels]
    x = x.reshape(math.prod(lead), x.shape[-d - 1] if has_channels else 1, *sizes)
    if kernel.channel_mode == "tied" and has_channels:
        x = x.reshape(x.shape[0], groups, x.shape[1] // groups, *sizes).sum(2)
    y = run(pad(x, padding, modes))
    return y.reshape(*lead, *y.shape[1 if has_channels else 2 :])


def pad(x: torch.Tensor, padding: tuple[tuple[int, int], ...], modes: tuple[str, ...]) -> torch.Tensor:
    """Return x with `(before, after)` cells more on every spatial axis, each in its own mode."""
    for mode in sorted(set(modes)):
        pairs = [pair if own == mode else (0, 0) for pair, own in zip(padding, modes, strict=True)]
        if any(map(any, pairs)):
            x = _pad_alike(x, pairs, mode)
    return x


def _pad_alike(x: torch.Tensor, pairs: list[tuple[int, int]], mode: str) -> torch.Tensor:
    """Return x with its padding in one mode: by torch's own where it goes so far, else by the cells that it shows."""
    if all(_is_within(pair, size, mode) for pair, size in zip(pairs, x.shape[2:], strict=True)):
        return F.pad(x, [cells for pair in reversed(pairs) for cells in pair], _TORCH_MODES[mode])
    for axis, (before, after) in enumerate(pairs, start=2):
        if before or after:
            size = x.shape[axis]
            places = torch.arange(-before, size + after, device=x.device)
            x = x.index_select(axis, adapting.show_cells(places, size, mode))
    return x


def _is_within(pair: tuple[int, int], size: int, mode: str) -> bool:
    """Return whether torch itself pads an axis so far: it mirrors and wraps once."""
    if mode in ("reflect", "circular"):
        return max(pair) <= size - int(mode == "reflect")
    return mode in _TORCH_MODES
