"""`conv_transpose`: the transpose of `conv`, which deep learning calls transposed convolution, and its gradients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_floats, as_int, names_options
from interpolated_kernels.arrays import FloatArray, compute_dtype, lay_out
from interpolated_kernels.bands import transpose_by_bands
from interpolated_kernels.edge import check_out, find_device, hand_back, hand_out, infer_shape, promote
from interpolated_kernels.gradients import Gradients, list_wrt
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.memory import use_device
from interpolated_kernels.options import Cells, Options, Padding, PaddingMode, as_padding, per_axis
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import plan_call
from interpolated_kernels.problem import Problem, check_kernel


@names_options()
def conv_transpose(
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: PaddingMode = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
    output_padding: Cells = 0,
    path: str = "auto",
    accuracy: str = "componentwise",
    max_memory: int | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Apply the transpose of `conv`, from y's side to x's: what frameworks call transposed convolution.

    Parameters
    ----------
    x : array of float
        `(batch, filters, *spatial)`, or without the batch axis; `(..., *spatial)` where weights are `(n,)`.
    weights, kernel
        As for `conv`, whose transpose this is: weights `(filters, channels_per_group, n)`, as torch has them here.
    stride, padding, padding_mode, dilation, groups, path, accuracy, max_memory, out
        As for `conv`. With "same" the result has `spatial * stride` cells, as TensorFlow's; torch knows no padding mode
        but "zeros" here.
    output_padding : int or tuple of int, cells
        Makes the result longer at its end, to choose among the sizes that `conv` maps to one; below the stride or the
        dilation, and 0 for "same".

    Returns
    -------
    array
        `(batch, channels, *out_spatial)` with `out = (in - 1) * stride - before - after + (window - 1) * dilation + 1 +
        output_padding`; without the batch axis if x has none; `(..., *out_spatial)` for plain weights. Where channels
        are tied, one stands for all of its group. The dtype is that of x and weights together, as NumPy promotes.

    Raises
    ------
    TypeError, ValueError, AnchorError
        As `conv`; and for an `output_padding` that is too large, or an empty result.

    Notes
    -----
    `y[b, c, q]` is the sum of `x[b, f, o] * densify(weights)[f, c, t]` over f, o and t with
    `o * stride + t * dilation - before = q`. Error bounds are those of `conv`'s gradient by x.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> ik.conv_transpose(numpy.array([1.0, 10.0]), numpy.array([1.0, 3.0]), kernel, stride=2)
    array([ 1.,  2., 13., 20., 30.])
    """
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, max_memory=max_memory,
    )  # fmt: skip
    check_kernel(kernel)
    x, weights = as_floats("x", x), as_floats("weights", weights)
    dtype = promote(("x", "weights"), x, weights)
    device = find_device(x=x, weights=weights, out=out)
    plan = _plan_transpose((tuple(x.shape), tuple(weights.shape)), kernel, dtype, options, output_padding, device)
    problem = plan.problem
    shape = infer_shape(x, weights, problem.x_shape)
    check_out(out, shape, dtype, x, weights)
    with use_device(device):
        y, weights = _lay_out_y(x, dtype, problem), lay_out(weights, compute_dtype(dtype), problem.weights_shape)
        return hand_out(
            out,
            (shape, problem.x_shape),
            dtype,
            lambda grad: plan.transpose(y, weights, grad),
            lambda grad: transpose_by_bands(plan, y, weights, grad),
        )


@names_options()
def conv_transpose_backward(
    grad_y: Any,
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: PaddingMode = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
    output_padding: Cells = 0,
    path: str = "auto",
    accuracy: str = "componentwise",
    max_memory: int | None = None,
    wrt: str | Iterable[str] = ("x", "weights"),
) -> Gradients:
    """Return the gradients of a loss whose gradient by `conv_transpose`'s result is `grad_y`.

    Parameters
    ----------
    grad_y : array of float
        In the shape that `conv_transpose` returns.
    x, weights, kernel, stride, padding, padding_mode, dilation, groups, output_padding, path, accuracy, max_memory
        As passed to `conv_transpose`.
    wrt : str or iterable of str
        Of "x", "weights", and what the interpolator is differentiable by.

    Returns
    -------
    Gradients
        As `conv_backward` gives them. The gradient by x is `conv` of `grad_y`; in the others x and `grad_y` change
        places.

    Raises
    ------
    TypeError, ValueError, AnchorError
        As `conv_transpose`; and for a `grad_y` of another shape or a name in `wrt` that has no derivative.
    """
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, max_memory=max_memory,
    )  # fmt: skip
    check_kernel(kernel)
    x, weights, grad_y = as_floats("x", x), as_floats("weights", weights), as_floats("grad_y", grad_y)
    dtype = promote(("x", "weights", "grad_y"), x, weights, grad_y)
    device = find_device(x=x, weights=weights, grad_y=grad_y)
    plan = _plan_transpose((tuple(x.shape), tuple(weights.shape)), kernel, dtype, options, output_padding, device)
    names = list_wrt(wrt, kernel, ("x", "weights"))
    problem, computed = plan.problem, compute_dtype(dtype)
    if grad_y.shape != (expected := infer_shape(x, weights, problem.x_shape)):
        raise ValueError(f"`grad_y` must have the shape of `conv_transpose`'s result, {expected}, got {grad_y.shape}.")
    with use_device(device):
        given, bank = lay_out(grad_y, computed, problem.x_shape), lay_out(weights, computed, problem.weights_shape)
        others = tuple(name for name in names if name != "x")
        grads = plan.differentiate(_lay_out_y(x, dtype, problem), given, bank, others)
        by_x = None
        if "x" in names:
            inside = (slice(None), slice(None), *map(slice, x.shape[x.ndim - kernel.n_dims :]))
            by_x = plan.convolve(given, bank)[inside]
        return replace(grads, x=hand_back(by_x, x), weights=hand_back(grads.weights, weights))


def infer_conv_shape(
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    kernel: InterpolatedKernel,
    options: Options,
    output_padding: Cells,
) -> tuple[int, ...]:
    """Return the shape of the result, which is that of x in the convolution that this is the transpose of.

    Raises
    ------
    TypeError, ValueError
        As `conv_transpose`.
    """
    check_kernel(kernel)
    lead, spatial = _split_x_shape(x_shape, weights_shape, kernel, options)
    sizes = _infer_spatial(spatial, kernel, options, output_padding)
    if min(*spatial, *sizes) < 1:
        raise ValueError(f"`x` of spatial shape {spatial} gives a result of spatial shape {sizes}: use less padding.")
    return (*lead, *sizes)


def _plan_transpose(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    kernel: InterpolatedKernel,
    dtype: np.dtype[Any],
    options: Options,
    output_padding: Cells,
    device: str,
) -> Plan:
    """Return the plan of the convolution that this is the transpose of."""
    x_shape, weights_shape = shapes
    conv_shape = infer_conv_shape(x_shape, weights_shape, kernel, options, output_padding)
    return plan_call(conv_shape, weights_shape, kernel, dtype, options, device)


def _infer_spatial(
    spatial: tuple[int, ...], kernel: InterpolatedKernel, options: Options, output_padding: Cells
) -> tuple[int, ...]:
    """Return the result's spatial axes: of the sizes that the convolution maps to `spatial`, the one asked for."""
    d, window = kernel.n_dims, kernel.spatial_window
    strides = per_axis("stride", options.stride, d, minimum=1)
    dilations = per_axis("dilation", options.dilation, d, minimum=1)
    more = per_axis("output_padding", output_padding, d, minimum=0)
    if options.padding == "same":
        if any(more):
            raise ValueError(f"`output_padding` must be 0 with padding='same', got {output_padding!r}.")
        return tuple(size * step for size, step in zip(spatial, strides, strict=True))
    for axis, (extra, step, spread) in enumerate(zip(more, strides, dilations, strict=True)):
        if extra >= max(step, spread):
            raise ValueError(
                f"`output_padding` must be below the stride or the dilation, on spatial axis {axis} "
                f"{max(step, spread)}, got {extra}."
            )
    pairs = as_padding(options.padding, spatial, window, strides, dilations)
    return tuple(
        (size - 1) * step - sum(pair) + (cells - 1) * spread + 1 + extra
        for size, step, pair, cells, spread, extra in zip(spatial, strides, pairs, window, dilations, more, strict=True)
    )


def _split_x_shape(
    x_shape: tuple[int, ...], weights_shape: tuple[int, ...], kernel: InterpolatedKernel, options: Options
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the leading axes of the result, channels in the place of filters, and the spatial axes of x."""
    d = kernel.n_dims
    if len(weights_shape) < 2:
        if len(x_shape) < d:
            raise ValueError(f"`x` must have at least the kernel's {d} spatial axes, got shape {x_shape}.")
        return x_shape[: len(x_shape) - d], x_shape[len(x_shape) - d :]
    filters = weights_shape[0]
    if len(x_shape) not in (d + 1, d + 2) or x_shape[-d - 1] != filters:
        raise ValueError(
            f"`x` must have shape (batch, filters, *spatial), or lack the batch axis, with {filters} filters and {d} "
            f"spatial axes, got {x_shape}."
        )
    of_group = weights_shape[1] if kernel.channel_mode == "separate" else kernel.window[-1]
    if kernel.channel_mode == "tied":
        of_group = 1  # each channel of a group has the same gradient: one stands for all
    return (*x_shape[: -d - 1], of_group * as_int("groups", options.groups, minimum=1)), x_shape[-d:]


def _lay_out_y(x: FloatArray, dtype: np.dtype[Any], problem: Problem) -> FloatArray:
    """Return x as y of the planned convolution; what output padding beyond a stride adds to that is zero."""
    spatial = x.shape[x.ndim - problem.kernel.n_dims :]
    y = lay_out(x, compute_dtype(dtype), (problem.batch, problem.filters, *spatial))
    if not isinstance(y, np.ndarray):
        return cuda_loops.extend(y, problem.y_shape)
    more = [(0, planned - size) for planned, size in zip(problem.out_spatial, spatial, strict=True)]
    return np.pad(y, [(0, 0), (0, 0), *more]) if any(after for _, after in more) else y
