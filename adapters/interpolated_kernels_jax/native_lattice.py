"""The lattice by JAX's own convolutions: smooth once per combination of classes, then tap the maps with dilation."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from interpolated_kernels import adapting
from interpolated_kernels_jax.convolution import Convolution


def conv(x: Any, weights: Any, lattice: adapting.Lattice, convolution: Convolution) -> Any:
    """Return y for padded x `(batch, channels, *spatial)` and a bank of weights."""
    nodes, groups = _bring_to_nodes(weights, lattice, convolution), convolution.groups

    def tap(x: Any, group: adapting.Group, steps: tuple[int, ...]) -> Any:
        taps = nodes[..., group.start : group.start + math.prod(group.counts)].reshape(*nodes.shape[:2], *group.counts)
        return jax.lax.conv_general_dilated(
            x, taps, convolution.stride, "VALID", rhs_dilation=steps, feature_group_count=groups
        )

    operators = adapting.LatticeOperators(_narrow, _smooth, tap)
    return adapting.add_shares(x, lattice, convolution, convolution.find_out(x.shape), operators)


def _narrow(x: Any, axis: int, begin: int, n_cells: Any) -> Any:
    return jax.lax.slice_in_dim(x, begin, begin + n_cells, axis=axis + 2)


def _smooth(x: Any, profile: Any, axis: int, dilation: int) -> Any:
    """Return x convolved with one profile along a spatial axis, each channel by itself."""
    d = x.ndim - 2
    shape, apart = [1] * d, [1] * d
    shape[axis], apart[axis] = len(profile), dilation
    taps = jnp.asarray(profile, x.dtype).reshape(1, 1, *shape)
    planes = x.reshape(x.shape[0] * x.shape[1], 1, *x.shape[2:])
    y = jax.lax.conv_general_dilated(planes, taps, (1,) * d, "VALID", rhs_dilation=apart)
    return y.reshape(*x.shape[:2], *y.shape[2:])


def _bring_to_nodes(weights: Any, lattice: adapting.Lattice, convolution: Convolution) -> Any:
    """Return the nodes' coefficients `(filters, channels, nodes)`, summed in float64 where JAX has it."""
    to_nodes = jnp.asarray(lattice.to_nodes, jax.dtypes.canonicalize_dtype(float))
    nodes = jnp.matmul(weights.astype(to_nodes.dtype), to_nodes.T, precision=jax.lax.Precision.HIGHEST)
    nodes = nodes.astype(weights.dtype)
    channels = convolution.kernel.window[-1] if convolution.kernel.interpolates_channels else 1
    return nodes if weights.ndim == 3 else nodes.reshape(-1, channels, nodes.shape[-1] // channels)
