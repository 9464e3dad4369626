"""`fit`: the anchors that explain a convolution's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interpolated_kernels.arguments import (
    as_flag,
    as_floats,
    as_int,
    as_number,
    as_reals,
    check_choice,
    names_options,
    show,
)
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import fetch, find_device
from interpolated_kernels.fitting.blocks import find_blocks
from interpolated_kernels.fitting.equations import sum_equations, sum_squares
from interpolated_kernels.fitting.groups import Group, split_groups
from interpolated_kernels.fitting.result import Fit, pack_fit, scale_errors
from interpolated_kernels.fitting.samples import Samples, check_finite, check_sample_weights
from interpolated_kernels.fitting.solution import Total, solve
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import Cells, Options, Padding, PaddingMode
from interpolated_kernels.problem import Problem, check_kernel, describe


@names_options()
def fit(
    x: Any,
    y: Any,
    kernel: InterpolatedKernel,
    *,
    ridge: float = 0.0,
    missing: str = "raise",
    sample_weights: Any = None,
    intercept: bool = False,
    total: float | Sequence[float] | FloatArray | None = None,
    max_memory: int | None = None,
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: PaddingMode = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
) -> Fit:
    """Return the weights for which `conv(x, weights, kernel)` is nearest to y in the least squares.

    Parameters
    ----------
    x : array of float
        `(batch, channels, *spatial)`, or without the batch axis; `(*spatial)` for plain weights. Any strides, byte
        order and floating dtype; a memory map is read block by block. Arrays on a GPU are copied to the host, where
        the equations are made and solved, and their convolutions run on that GPU.
    y : array of float
        `(batch, filters, *out)`, or without the batch axis; `(*out)` for plain weights. As x.
    kernel : InterpolatedKernel
    ridge : float, default 0
        Added to the diagonal of the normal equations, in their own units (squares of outputs per weight): `|y - conv|^2
        + ridge |weights|^2` is least.
    missing : {"raise", "omit"}
        What NaN does: raise, or leave out every output that is NaN, or sees one in x as `conv` would. Infinite values
        always raise.
    sample_weights : array of float, optional
        Of y's shape, at least 0: `sum sample_weights (conv - y)^2` is least. Best in proportion to 1 / variance of y.
    intercept : bool, default False
        Fit one constant a filter beside the kernel: `conv + intercept` is nearest to y. The ridge leaves it alone.
    total : float or `(filters,)` array of float, optional
        What the dense kernel of every filter sums to, over all its cells and channels as `densify` gives them (one
        channel where channels are tied); the nearest weights of those that do.
    max_memory : int, bytes, default 64 MiB
        The most memory beside x, y, the sample weights and the normal equations; these take `(channels_per_group *
        anchors)^2` doubles, a few times while they are solved.
    stride, padding, padding_mode, dilation, groups
        As for `conv`.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError, AnchorError
        As `conv`; for y of another shape than `conv` gives, not finite data, a negative ridge, sample weights or a
        total that do not fit, a `max_memory` that is too small (with the least), or where no output is left.

    Notes
    -----
    The Gram matrix of all (channel, anchor) pairs is summed in float64 over blocks of outputs; it and the right-hand
    side are weights' gradients of `conv`. Directions that the data do not determine (eigenvalues below the rounding of
    the largest) get the least weights. Filters that have sample weights or missing outputs of their own have a Gram
    matrix of their own, and take so many times longer.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> x = numpy.random.default_rng(0).standard_normal(50)
    >>> y = ik.conv(x, numpy.array([1.0, 3.0]), kernel) + 5.0
    >>> fitted = ik.fit(x, y, kernel, intercept=True)
    >>> fitted.weights.round(6), round(fitted.intercept, 6)
    (array([1., 3.]), 5.0)
    """
    check_kernel(kernel)
    x, y = as_floats("x", x), as_floats("y", y)
    device = find_device(x=x, y=y)
    x, y = fetch(x), fetch(y)
    ridge, intercept = as_number("ridge", ridge, minimum=0), as_flag("intercept", intercept)
    check_choice("missing", missing, ("raise", "omit"))
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups,
        max_memory=max_memory,
    )  # fmt: skip
    problem = _describe_fit((x, y), kernel, options, device)
    samples = _collect_samples(x, y, sample_weights, missing, problem)
    totals = None if total is None else _as_totals(total, problem.filters)
    parts = split_groups(problem, samples.differ_by_filter())
    solved = [_fit_group(group, samples, ridge, intercept, totals, problem.max_memory) for group in parts]
    return pack_fit(problem.weights_shape, x.ndim == kernel.n_dims, solved)


def _describe_fit(
    arrays: tuple[FloatArray, FloatArray], kernel: InterpolatedKernel, options: Options, device: str
) -> Problem:
    """Return the problem whose weights are asked for, after checking the shapes."""
    (x, y), d, n = arrays, kernel.n_dims, kernel.n_anchors
    if x.ndim == d:
        shape: tuple[int, ...] = (n,)
    else:
        if x.ndim not in (d + 1, d + 2) or y.ndim != x.ndim:
            raise ValueError(
                f"`x` and `y` must have {d} spatial axes, or a channel axis and maybe a batch axis before them, "
                f"got shapes {x.shape} and {y.shape}."
            )
        channels = x.shape[-d - 1] // as_int("groups", options.groups, minimum=1)
        shape = (y.shape[-d - 1], channels, n) if kernel.channel_mode == "separate" else (y.shape[-d - 1], n)
    problem = describe(x.shape, shape, kernel, options, "float64", device)
    lead = len(problem.y_shape) - x.ndim
    expected = problem.y_shape[lead:]
    if y.shape != expected:
        raise ValueError(f"`y` must have the shape of `conv`'s result, {expected}, got {y.shape}.")
    return problem


def _collect_samples(x: FloatArray, y: FloatArray, sample_weights: Any, missing: str, problem: Problem) -> Samples:
    """Return the arrays, checked, with all their axes: a reshape that adds axes copies nothing."""
    has_missing = [check_finite(name, array, missing) for name, array in (("x", x), ("y", y))]
    if sample_weights is not None:
        sample_weights = fetch(as_floats("sample_weights", sample_weights))
        check_sample_weights(sample_weights, y.shape)
        sample_weights = sample_weights.reshape(problem.y_shape)
    return Samples(x.reshape(problem.x_shape), y.reshape(problem.y_shape), sample_weights, any(has_missing))


def _as_totals(total: Any, filters: int) -> FloatArray:
    """Return one total a filter."""
    totals = as_reals("total", total)
    if not np.isfinite(totals).all():
        raise ValueError(f"`total` must be finite, got {show(total)}.")
    if totals.shape not in ((), (filters,)):
        raise ValueError(f"`total` must be a number, or have shape {(filters,)}, one a filter, got {totals.shape}.")
    return np.broadcast_to(totals.astype(np.float64), (filters,))


def _fit_group(
    group: Group,
    samples: Samples,
    ridge: float,
    intercept: bool,
    totals: FloatArray | None,
    max_memory: int | None,
) -> dict[str, FloatArray | None]:
    """Return the fields of a `Fit` for a group's filters, a row each."""
    sums = group.sum_columns()
    held = None if totals is None else Total(sums, totals[group.filters])
    if held is not None and not sums.any() and held.values.any():
        raise ValueError(f"`total` must be 0 where no weight changes the dense kernel's sum, got {held.values}.")
    blocks = find_blocks(group, len(samples.x), max_memory)
    equations = sum_equations(samples, blocks, intercept)
    solution = solve(equations, ridge, intercept, held)
    squares = sum_squares(samples, blocks, solution.weights, solution.constants)
    errors = scale_errors(solution.spread, squares, equations.count, solution.unknowns)
    return {
        "weights": solution.weights,
        "residual": np.sqrt(squares / equations.sum_of_weights),
        "standard_errors": errors,
        "intercept": solution.constants,
        "total": solution.weights @ sums,
    }
