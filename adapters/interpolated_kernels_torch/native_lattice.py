"""The lattice by torch's own convolutions: smooth once per combination of classes, then tap the maps with dilation."""

from __future__ import annotations

import math
from typing import Any

import torch

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels_torch.constants import PlainOptions, keep_constant
from interpolated_kernels_torch.native_engine import CONVS, convolve
from interpolated_kernels_torch.options import make_plain

PlainGroup = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...], int]
"""Classes, counts, first, step and start of an `adapting.Group`: a graph's constants may be tuples, no objects."""


@torch.compiler.assume_constant_result
def plan_groups(
    kernel: ik.InterpolatedKernel, weights_shape: tuple[int, ...], channels: int, settled: PlainOptions
) -> tuple[PlainGroup, ...] | None:
    """Return the groups of the lattice, in the order of their classes; None where the dense kernel serves."""
    stride, _, _, _, groups = settled
    lattice = adapting.choose_lattice(kernel, weights_shape, channels, groups, stride)
    if lattice is None:
        return None
    plain: Any = tuple(map(tuple, lattice.groups))  # the fields of each, in order
    return plain


def conv(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    groups: tuple[PlainGroup, ...],
) -> torch.Tensor:
    """Return y, without bias, for x and weights of one dtype and groups that were planned."""
    has_channels = weights.ndim > 1
    bank = weights if has_channels else weights[None, None]
    return convolve(x, kernel, settled, has_channels, lambda x: _tap(x, bank, kernel, settled, groups))


def _tap(
    x: torch.Tensor,
    weights: torch.Tensor,
    kernel: ik.InterpolatedKernel,
    settled: PlainOptions,
    groups: tuple[PlainGroup, ...],
) -> torch.Tensor:
    """Return y for padded x `(batch, channels, *spatial)` and a bank of weights: the sum of the groups' shares."""
    stride, _, _, dilation, n_groups = settled
    sizes = zip(x.shape[2:], kernel.spatial_window, dilation, stride, strict=True)
    out = [(size - (cells - 1) * apart - 1) // step + 1 for size, cells, apart, step in sizes]
    nodes = _bring_to_nodes(weights, kernel)
    maps = [_lay_out(x)]
    before: tuple[int, ...] = ()
    y: torch.Tensor | None = None
    for classes, counts, first, step, start in groups:
        kept = next((axis for axis in range(len(classes)) if classes[: axis + 1] != before[: axis + 1]), 0)
        del maps[kept + 1 :]
        for axis in range(kept, len(classes)):
            profile = keep_constant(kernel, x.device, "profile", axis, classes[axis]).to(x.dtype)
            span = (out[axis] - 1) * stride[axis] + (counts[axis] - 1) * step[axis] * dilation[axis] + 1
            begin = first[axis] * dilation[axis]
            seen = maps[axis].narrow(axis + 2, begin, span + (len(profile) - 1) * dilation[axis])
            maps.append(_smooth(seen, profile, axis, dilation[axis]))
        before = classes
        taps = nodes[..., start : start + math.prod(counts)].reshape(*make_plain(tuple(nodes.shape[:2])), *counts)
        apart = tuple(cells * times for cells, times in zip(step, dilation, strict=True))
        share = _combine(maps[-1], taps, stride, apart, n_groups)
        y = share if y is None else y + share
    assert y is not None  # for the type checker: a lattice has a group
    return y.contiguous()


def _lay_out(x: torch.Tensor) -> torch.Tensor:
    """Return x with its channels last in memory where torch's convolutions of single channels gain most: images, CPU.

    It asks for no memory format, which `torch.func.vmap` refuses.
    """
    if x.ndim != 4 or x.device.type != "cpu":
        return x
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _combine(
    x: torch.Tensor, taps: torch.Tensor, stride: tuple[int, ...], apart: tuple[int, ...], groups: int
) -> torch.Tensor:
    """Return the share of y that a group's taps `(filters, channels, *counts)` make of its map."""
    if math.prod((*taps.shape[1:], *stride)) == 1 and groups == len(taps):  # where torch has but a slow loop
        return x * taps[:, 0]
    return CONVS[len(stride)](x, taps, None, stride, 0, apart, groups)


def _smooth(x: torch.Tensor, profile: torch.Tensor, axis: int, dilation: int) -> torch.Tensor:
    """Return x convolved with one profile along a spatial axis, each channel by itself."""
    channels, d = make_plain(x.shape[1]), x.ndim - 2
    shape = [1] * d
    shape[axis] = len(profile)
    taps = profile.reshape(1, 1, *shape).expand(channels, 1, *shape)
    return CONVS[d](x, taps, None, 1, 0, tuple(dilation if other == axis else 1 for other in range(d)), channels)


def _bring_to_nodes(weights: torch.Tensor, kernel: ik.InterpolatedKernel) -> torch.Tensor:
    """Return the nodes' coefficients `(filters, channels, nodes)`, summed in float64 as a dense kernel is."""
    to_nodes = keep_constant(kernel, weights.device, "nodes")
    nodes = (weights.to(to_nodes.dtype) @ to_nodes.mT).to(weights.dtype)
    channels = kernel.window[-1] if kernel.channel_mode == "interpolated" else 1
    return nodes if weights.ndim == 3 else nodes.reshape(-1, channels, nodes.shape[-1] // channels)
