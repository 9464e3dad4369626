"""The function: check, choose an engine, call it, come back in the caller's dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

import interpolated_kernels as ik
import interpolated_kernels_jax.batches
import interpolated_kernels_jax.derivatives
import interpolated_kernels_jax.lowering  # noqa: F401 # these three register the rules of the operations
from interpolated_kernels import adapting
from interpolated_kernels_jax import native_engine, operations
from interpolated_kernels_jax.convolution import ANCHORS, describe
from interpolated_kernels_jax.edge import as_arrays, check_anchors, choose_dtypes


def interpolated_conv(
    x: Any,
    weights: Any,
    kernel: ik.InterpolatedKernel,
    bias: Any = None,
    *,
    positions: Any = None,
    widths: Any = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[Any] = "valid",
    padding_mode: str | Sequence[str] = "zeros",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    path: str = "auto",
    accuracy: str = "normwise",
    engine: str = "auto",
) -> jax.Array:
    """Convolve x with the dense kernel of the anchors' weights: `interpolated_kernels.conv` for JAX's arrays.

    Parameters
    ----------
    x : array
        `(batch, channels, *spatial)`, or without the batch axis; `(..., *spatial)` where weights are `(n,)`.
    weights : array
        `(n,)` for one plain kernel; `(filters, channels_per_group, n)`; `(filters, n)` where channels are tied or
        interpolated.
    kernel : InterpolatedKernel
    bias : array, optional
        `(filters,)`; one value for plain weights.
    positions, widths : array, optional
        Instead of the kernel's own and in their shapes, for interpolators that are differentiable by them; engine
        "native" serves those of splats and cones.
    stride, padding, padding_mode, dilation, groups, path, accuracy
        As for `interpolated_kernels.conv`. `path` and `accuracy` choose among the algorithms of engine "numba".
    engine : {"auto", "numba", "native"}
        "numba": the core's loops, on the CPU, behind one host callback a direction. "native": JAX's own operations, on
        any device. "auto": numba where a program is compiled for the CPU; native on other devices, in what `jax.export`
        exports, and where JAX itself divides a program among several devices.

    Returns
    -------
    array
        In the common dtype of x, weights and bias; float16 and bfloat16 compute in float32.

    Raises
    ------
    TypeError
        For arrays that are not floating, or options of a wrong type.
    ValueError
        For shapes or options that do not fit, or an engine asked for by name that cannot serve.

    Notes
    -----
    Both engines serve `jit`, `grad`, `jvp`, `vmap`, `scan` and `shard_map`, and derivatives of any order; by positions
    and widths there are second ones, and forward mode, for splats and cones.

    Examples
    --------
    >>> import jax.numpy as jnp, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> interpolated_conv(jnp.array([0.0, 1.0, 0.0, 0.0]), jnp.array([1.0, 3.0]), kernel, padding="same")
    Array([3., 2., 1., 0.], dtype=float32)
    """
    arrays = as_arrays(x, weights, bias=bias, positions=positions, widths=widths)
    adapting.check_kernel(kernel)
    check_anchors(kernel, arrays)
    dtype, compute = choose_dtypes(arrays)
    anchors = tuple(name for name in ANCHORS if name in arrays)
    convolution = describe(
        arrays["x"].shape, arrays["weights"].shape, kernel, compute, anchors=anchors, engine=engine,
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups,
        path=path, accuracy=accuracy,
    )  # fmt: skip
    if bias is not None:
        across = adapting.shape_bias(arrays["bias"].shape, arrays["weights"].shape, kernel.n_dims)
        arrays["bias"] = arrays["bias"].reshape(across)
    arrays = {name: array.astype(compute) if name not in ANCHORS[1:] else array for name, array in arrays.items()}
    if engine != "native":
        return operations.conv(arrays, convolution).astype(dtype)
    native_engine.check_anchors(convolution)
    y = native_engine.conv(arrays["x"], {name: arrays[name] for name in anchors}, convolution)
    return (y + arrays["bias"] if bias is not None else y).astype(dtype)
