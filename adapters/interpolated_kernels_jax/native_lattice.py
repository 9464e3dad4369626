"""The lattice by JAX's own convolutions: smooth once per combination of classes, then tap the maps with dilation."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from interpolated_kernels import adapting
from interpolated_kernels_jax.convolution import Convolution

_MOST_SHIFTS = 128  # a longer sum takes its time to compile


def conv(x: Any, weights: Any, lattice: adapting.Lattice, convolution: Convolution) -> Any:
    """Return y for padded x `(batch, channels, *spatial)` and a bank of weights."""
    nodes, groups = _bring_to_nodes(weights, lattice, convolution), convolution.groups

    def tap(x: Any, group: adapting.Group, steps: tuple[int, ...]) -> Any:
        taps = nodes[..., group.start : group.start + math.prod(group.counts)].reshape(*nodes.shape[:2], *group.counts)
        if groups > 1 and taps.shape[1] == 1 and math.prod(group.counts) <= _MOST_SHIFTS:
            x = jnp.repeat(x, taps.shape[0] // groups, axis=1)
            across = jnp.moveaxis(taps[:, 0], 0, -1)[(..., *(None,) * len(steps))]
            return _add_shifted(x, across, steps, convolution.stride)
        return jax.lax.conv_general_dilated(
            x, taps, convolution.stride, "VALID", rhs_dilation=steps, feature_group_count=groups
        )

    operators = adapting.LatticeOperators(_narrow, _smooth, tap)
    return adapting.add_shares(x, lattice, convolution, convolution.find_out(x.shape), operators)


def _narrow(x: Any, axis: int, begin: int, n_cells: Any) -> Any:
    return jax.lax.slice_in_dim(x, begin, begin + n_cells, axis=axis + 2)


def _smooth(x: Any, profile: Any, axis: int, dilation: int) -> Any:
    """Return x convolved with one profile along a spatial axis, each channel by itself."""
    d, taps = x.ndim - 2, profile.astype(x.dtype)
    shape = tuple(len(profile) if other == axis else 1 for other in range(d))
    steps = tuple(dilation if other == axis else 1 for other in range(d))
    if len(profile) <= _MOST_SHIFTS:
        return _add_shifted(x, taps.reshape(shape), steps, (1,) * d)
    planes = x.reshape(x.shape[0] * x.shape[1], 1, *x.shape[2:])
    y = jax.lax.conv_general_dilated(planes, taps.reshape(1, 1, *shape), (1,) * d, "VALID", rhs_dilation=steps)
    return y.reshape(*x.shape[:2], *y.shape[2:])


def _add_shifted(x: Any, taps: Any, steps: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """Return what a convolution of each channel by itself gives, as a sum of x's shifts: of that XLA makes one loop.

    `taps` have the spatial axes, and after these a channel's axes where channels differ.
    """
    d, parts = len(steps), []
    sizes = zip(x.shape[2:], taps.shape[:d], steps, stride, strict=True)
    out = [(size - (count - 1) * apart - 1) // step + 1 for size, count, apart, step in sizes]
    for index in np.ndindex(*taps.shape[:d]):
        part = x
        for axis, (place, apart, step) in enumerate(zip(index, steps, stride, strict=True)):
            begin = place * apart
            part = jax.lax.slice_in_dim(part, begin, begin + (out[axis] - 1) * step + 1, step, axis=axis + 2)
        parts.append(part * taps[index])
    return sum(parts[1:], start=parts[0])


def _bring_to_nodes(weights: Any, lattice: adapting.Lattice, convolution: Convolution) -> Any:
    """Return the nodes' coefficients `(filters, channels, nodes)`, summed in float64 where JAX has it."""
    to_nodes = jnp.asarray(lattice.to_nodes, jax.dtypes.canonicalize_dtype(float))
    nodes = jnp.matmul(weights.astype(to_nodes.dtype), to_nodes.T, precision=jax.lax.Precision.HIGHEST)
    nodes = nodes.astype(weights.dtype)
    channels = convolution.kernel.window[-1] if convolution.kernel.interpolates_channels else 1
    return nodes if weights.ndim == 3 else nodes.reshape(-1, channels, nodes.shape[-1] // channels)
