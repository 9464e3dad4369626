"""`conv` and `conv_backward`: arrays to the public edge, through a plan, and back as they came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from interpolated_kernels.arguments import as_floats, names_options
from interpolated_kernels.arrays import FloatArray, compute_dtype, lay_out
from interpolated_kernels.bands import forward_by_bands
from interpolated_kernels.edge import check_out, find_device, hand_back, hand_out, infer_shape, promote
from interpolated_kernels.gradients import Gradients, list_wrt
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.memory import use_device
from interpolated_kernels.options import Cells, Options, Padding, PaddingMode
from interpolated_kernels.planning import plan_call
from interpolated_kernels.problem import check_kernel


@names_options()
def conv(
    x: Any,
    weights: Any,
    kernel: InterpolatedKernel,
    *,
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: PaddingMode = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
    path: str = "auto",
    accuracy: str = "componentwise",
    missing: str = "propagate",
    max_memory: int | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Convolve x with the dense kernel of the anchors' weights.

    This is what deep learning calls convolution, cross-correlation, as `torch.nn.functional.conv2d`: the kernel is not
    flipped.

    Parameters
    ----------
    x : array of float
        `(batch, channels, *spatial)`, or without the batch axis; `(..., *spatial)` where weights are `(n,)`. Any
        strides and byte order.
    weights : array of float
        `(n,)` for one plain kernel; `(filters, channels_per_group, n)`; `(filters, n)` where channels are tied or
        interpolated.
    kernel : InterpolatedKernel
        Positions, window and interpolator.
    stride, dilation : int or tuple of int, cells
        One, or one a spatial axis; at least 1.
    padding : "valid", "same", "causal", int, tuple of int, or tuple of (before, after) pairs
        "same": `out = ceil(in / stride)` with `before = total // 2`, as TensorFlow; "causal": 1-D, all before.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}, or a tuple of these, one a spatial axis
        What stands in the padding, as in torch; "symmetric" repeats the edge cell too (SciPy's "reflect"). Padding that
        is wider than x goes on wrapping or mirroring, as `numpy.pad`.
    groups : int
        Divides channels and filters.
    path : str
        "auto", or the name of a path to force.
    accuracy : {"componentwise", "normwise"}
        Whether the error is bounded for every element by what it sums, or by norms of the whole.
    missing : {"propagate", "renormalize"}
        Whether NaN in x spreads to the outputs that see it, or counts as missing, as the cells inside a padding of
        zeros do: every output then weighs the cells that are there and is brought to the kernel's whole weight.
    max_memory : int, bytes, optional
        The most memory beside inputs and outputs that a path may need.
    out : array, optional
        Takes the result; must not overlap an input.

    Returns
    -------
    array
        `(batch, filters, *out_spatial)`, without the batch axis if x has none; `(..., *out_spatial)` for plain weights.
        The dtype is that of x and weights together, as NumPy promotes.

    Raises
    ------
    TypeError
        For integer, bool, complex, object or masked arrays (with the cast to write), or options of a wrong type.
    ValueError
        For shapes or options that do not fit; each message names the argument, the rule, what came and what to do.
        With missing="renormalize" also for a filter whose dense kernel has a cell below -1e-12 of its largest, or no
        positive one.
    AnchorError
        If the anchors are too ill-conditioned for the interpolator.

    Notes
    -----
    `y[b, f, o] = sum over c, t of x[b, c, o * stride + t * dilation - before] * densify(weights, kernel)[f, c, t]`.

    With missing="renormalize", m being 1 where x is there and 0 elsewhere, y is `conv(x m) * sum(K) / conv(m)`, K the
    filter's dense kernel over all its channels; y is NaN exactly where no cell that is there meets a positive cell of
    K. The error bound is that of numerator and denominator, to first order.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> ik.conv(numpy.array([0.0, 1.0, 0.0, 0.0]), numpy.array([1.0, 3.0]), kernel, padding="same")
    array([3., 2., 1., 0.])
    >>> x = numpy.array([2.0, 2.0, numpy.nan, 2.0])
    >>> ik.conv(x, numpy.array([1.0, 3.0]), kernel, padding="same", missing="renormalize")
    array([12., 12., 12., 12.])
    """
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, missing=missing, max_memory=max_memory,
    )  # fmt: skip
    check_kernel(kernel)
    x, weights = as_floats("x", x), as_floats("weights", weights)
    dtype = promote(("x", "weights"), x, weights)
    device = find_device(x=x, weights=weights, out=out)
    plan = plan_call(tuple(x.shape), tuple(weights.shape), kernel, dtype, options, device)
    problem, computed = plan.problem, compute_dtype(dtype)
    shape = infer_shape(x, weights, problem.y_shape)
    check_out(out, shape, dtype, x, weights)
    with use_device(device):
        x, weights = lay_out(x, computed, problem.x_shape), lay_out(weights, computed, problem.weights_shape)
        return hand_out(
            out,
            (shape, problem.y_shape),
            dtype,
            lambda y: plan.convolve(x, weights, y),
            lambda y: forward_by_bands(plan, x, weights, y),
        )


@names_options()
def conv_backward(
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
    path: str = "auto",
    accuracy: str = "componentwise",
    missing: str = "propagate",
    max_memory: int | None = None,
    wrt: str | Iterable[str] = ("x", "weights"),
) -> Gradients:
    """Return the gradients of a loss whose gradient by `conv`'s result is `grad_y`, straight to the anchors.

    Parameters
    ----------
    grad_y : array of float
        In the shape that `conv` returns.
    x, weights, kernel, stride, padding, padding_mode, dilation, groups, path, accuracy, missing, max_memory
        As passed to `conv`.
    wrt : str or iterable of str
        Of "x", "weights", and what the interpolator is differentiable by.

    Returns
    -------
    Gradients
        `x` and `weights` in the shape and dtype of the argument; `positions` and `widths` in the shapes that the kernel
        was given, float64; None for what was not asked for.

    Raises
    ------
    TypeError, ValueError, AnchorError
        As `conv`; and for a `grad_y` of another shape or a name in `wrt` that has no derivative.

    Notes
    -----
    `conv` is linear in x and in the weights; these are its transposes. Products of the weights' gradient are summed in
    blocks of at most 4096 in the compute dtype, the blocks in float64 and in order. The gradients by positions and
    widths go through that by the dense kernel, of every cell of the window.

    With missing="renormalize" the gradient by x is 0 at holes, and those by weights, positions and widths follow from
    the quotient. Where y is NaN because nothing is there, `grad_y` does not count.
    """
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, missing=missing, max_memory=max_memory,
    )  # fmt: skip
    check_kernel(kernel)
    x, weights, grad_y = as_floats("x", x), as_floats("weights", weights), as_floats("grad_y", grad_y)
    dtype = promote(("x", "weights", "grad_y"), x, weights, grad_y)
    device = find_device(x=x, weights=weights, grad_y=grad_y)
    plan = plan_call(tuple(x.shape), tuple(weights.shape), kernel, dtype, options, device)
    names = list_wrt(wrt, kernel, ("x", "weights"))
    problem, computed = plan.problem, compute_dtype(dtype)
    if grad_y.shape != (expected := infer_shape(x, weights, problem.y_shape)):
        raise ValueError(f"`grad_y` must have the shape of `conv`'s result, {expected}, got {grad_y.shape}.")
    with use_device(device):
        grads = plan.differentiate(
            lay_out(grad_y, computed, problem.y_shape),
            lay_out(x, computed, problem.x_shape),
            lay_out(weights, computed, problem.weights_shape),
            names,
        )
        return replace(grads, x=hand_back(grads.x, x), weights=hand_back(grads.weights, weights))
