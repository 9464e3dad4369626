"""Engine "native": JAX's own operations around the dense kernel, for whatever JAX can transform, on any device."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from interpolated_kernels import adapting
from interpolated_kernels_jax import native_lattice
from interpolated_kernels_jax.convolution import Convolution

PRECISION = jax.lax.Precision.HIGHEST  # of the dense kernel, which costs little; x's convolution has the user's
_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}
_EINSUM = functools.partial(jnp.einsum, precision=PRECISION)
# `where` so that the derivative at 0 is 0, as in every framework's relu; `jax.nn` would load much else.
_FUNCTIONS = adapting.Functions(jnp.abs, jnp.exp, lambda values: jnp.where(values > 0, values, 0), jnp.where)
_NAMESPACE = adapting.Namespace(_FUNCTIONS, _EINSUM, jnp.reshape, jnp.asarray)


@functools.partial(jax.jit, static_argnames="convolution")
def conv(x: Any, anchors: dict[str, Any], convolution: Convolution) -> Any:
    """Return y, without bias, for x and weights of one dtype; `anchors` has what `convolution.anchors` names."""
    kernel, groups, stride = convolution.kernel, convolution.groups, convolution.stride
    if not convolution.moves:
        channels = x.shape[-len(stride) - 1] if convolution.has_channels else 1
        lattice = adapting.choose_lattice(kernel, convolution.weights_shape, channels, groups, stride)
        if lattice is not None:
            return conv_lattice(x, anchors["weights"], lattice, convolution)
    dense = densify(convolution, **anchors).astype(x.dtype)
    bank = dense if convolution.has_channels else dense[None, None]
    return _convolve(
        x,
        convolution,
        lambda x: jax.lax.conv_general_dilated(
            x, bank, stride, "VALID", rhs_dilation=convolution.dilation, feature_group_count=groups
        ),
    )


def conv_lattice(x: Any, weights: Any, lattice: adapting.Lattice, convolution: Convolution) -> Any:
    """Return y, without bias, by the lattice of the kernel."""
    bank = weights if convolution.has_channels else weights[None, None]
    return _convolve(x, convolution, lambda x: native_lattice.conv(x, bank, lattice, convolution))


def check_anchors(convolution: Convolution) -> None:
    """Raise as `adapting.check_spreads` where anchors are operands."""
    if convolution.moves:
        adapting.check_spreads(convolution.kernel)


def densify(convolution: Convolution, weights: Any, positions: Any = None, widths: Any = None) -> Any:
    """Return the dense kernel as `ik.densify` does, summed in float64 where JAX has it."""
    kernel = convolution.kernel
    dtype = jax.dtypes.canonicalize_dtype(float)
    weights = weights.astype(dtype)
    if not convolution.moves:
        return _densify_fixed(weights, kernel)
    check_anchors(convolution)
    positions = jnp.asarray(kernel.positions if positions is None else positions, dtype)
    if widths is None:
        widths = adapting.fill_widths(kernel)
    return adapting.spread(
        weights, positions, None if widths is None else jnp.asarray(widths, dtype), kernel, _NAMESPACE
    )


def _densify_fixed(weights: Any, kernel: Any) -> Any:
    """Return the dense kernel by the kernel's matrix, which there may be one of for every filter and channel."""
    matrix = jnp.asarray(kernel.matrix, weights.dtype)
    if weights.ndim == 1:
        return _EINSUM("ka,a->k", matrix, weights).reshape(kernel.window)
    bank = weights if weights.ndim == 3 else weights[:, None]
    dense = _EINSUM(f"{'fc'[: matrix.ndim - 2]}ka,fca->fck", matrix, bank)
    if kernel.interpolates_channels:
        return jnp.moveaxis(dense.reshape(-1, *kernel.window), -1, 1)
    return dense.reshape(*bank.shape[:2], *kernel.window)


def _convolve(x: Any, convolution: Convolution, run: Callable[[Any], Any]) -> Any:
    """Return what `run` makes of padded x `(batch, channels, *spatial)`, in the axes that x came with.

    Tied channels are summed before.
    """
    d, has_channels = len(convolution.stride), convolution.has_channels
    sizes, lead = x.shape[-d:], x.shape[: -d - has_channels]
    channels = x.shape[-d - 1] if has_channels else 1
    x = x.reshape(math.prod(lead), channels, *sizes)
    if convolution.kernel.channel_mode == "tied" and has_channels:
        x = x.reshape(x.shape[0], convolution.groups, channels // convolution.groups, *sizes).sum(2)
    y = run(_pad(x, convolution))
    return y.reshape(*lead, *y.shape[1 if has_channels else 2 :])


def _pad(x: Any, convolution: Convolution) -> Any:
    """Return x with `(before, after)` cells more on every spatial axis, each in its own mode."""
    for mode in sorted(set(convolution.padding_modes)):
        own = [mode == other for other in convolution.padding_modes]
        pairs = [pair if is_own else (0, 0) for pair, is_own in zip(convolution.read_padding(), own, strict=True)]
        if any(map(any, pairs)):
            x = jnp.pad(x, [(0, 0), (0, 0), *pairs], _MODES[mode])
    return x
