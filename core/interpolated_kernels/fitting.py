"""Weights from data: the anchors that explain a convolution's outputs, or a dense kernel, in the least squares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.edge import as_floats
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import load
from interpolated_kernels.options import Cells, Options, Padding, PaddingMode, as_int
from interpolated_kernels.padding import pad
from interpolated_kernels.problem import Problem, check_kernel, describe

_BYTES_OF_BAND = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights that were fitted, how well, and how surely.

    Attributes
    ----------
    weights : array of float64
        `(n,)`, `(filters, channels_per_group, n)` or `(filters, n)`, as `conv` takes them.
    residual : array of float64
        The root mean square of what is left over, one a filter; a number for plain weights.
    standard_errors : array of float64
        In the weights' shape: the square roots of the diagonal of `s^2 (G + r I)^-1 G (G + r I)^-1`, with the Gram
        matrix G, the ridge r and the residual's variance `s^2`. Infinity where the data leave a weight open, NaN where
        there are no more equations than unknowns.
    """

    weights: FloatArray
    residual: Any
    standard_errors: FloatArray


def fit(
    x: Any,
    y: Any,
    kernel: InterpolatedKernel,
    *,
    ridge: float = 0.0,
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
        `(batch, channels, *spatial)`, or without the batch axis; `(*spatial)` for plain weights.
    y : array of float
        `(batch, filters, *out)`, or without the batch axis; `(*out)` for plain weights.
    kernel : InterpolatedKernel
    ridge : float, default 0
        Added to the diagonal of the normal equations, in their own units (squares of outputs per weight): `|y - conv|^2
        + ridge |weights|^2` is least.
    stride, padding, padding_mode, dilation, groups
        As for `conv`.

    Returns
    -------
    Fit

    Raises
    ------
    TypeError, ValueError, AnchorError
        As `conv`; for y of another shape than `conv` gives, not finite data, or a negative ridge.

    Notes
    -----
    The Gram matrix of all (channel, anchor) pairs is summed in float64 over bands of outputs, so that memory is
    bounded whatever the data's size; it and the right-hand side are weights' gradients of `conv`. Directions that the
    data do not determine (eigenvalues below the rounding of the largest) get the least weights.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> x = numpy.random.default_rng(0).standard_normal(50)
    >>> ik.fit(x, ik.conv(x, numpy.array([1.0, 3.0]), kernel), kernel).weights.round(6)
    array([1., 3.])
    """
    x, y = (as_floats(name, value).astype(np.float64, copy=False) for name, value in (("x", x), ("y", y)))
    if not (np.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"`ridge` must be finite and at least 0, got {ridge!r}.")
    options = Options(stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups)
    problem = _describe_fit(x, y, kernel, options)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("`x` and `y` must be finite: leave out, or fill, what is NaN or infinite.")
    images, targets = pad(x.reshape(problem.x_shape), problem), y.reshape(problem.y_shape)
    sets = [(kernel, range(problem.filters))] if kernel.shares_positions else list(_kernels_of_filters(kernel))
    weights = np.empty((problem.filters, *problem.weights_shape[1:]))
    errors, residual = np.empty_like(weights), np.empty(problem.filters)
    for at_positions, filters in sets:
        part = _Part(problem, at_positions, filters)
        found = _solve_groups(part, images, targets, ridge)
        for into, values in zip((weights, residual, errors), found, strict=True):
            into[list(filters)] = values
    if x.ndim == kernel.n_dims:
        return Fit(weights.reshape(-1), float(residual[0]), errors.reshape(-1))
    return Fit(weights, residual, errors)


def from_dense(dense: Any, kernel: InterpolatedKernel) -> Fit:
    """Return the weights whose dense kernel is nearest to a given one: any pretrained kernel, by anchors.

    Parameters
    ----------
    dense : array of float
        In the shape that `densify` returns: `window`, or `(filters, channels, *spatial)`; tied channels may be many.
    kernel : InterpolatedKernel

    Returns
    -------
    Fit
        `residual` is the root mean square error over a filter's cells. Of all weights as near, those of least norm.

    Raises
    ------
    TypeError, ValueError
        For what is not floating, not finite, or of another shape.

    Examples
    --------
    >>> import numpy, interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> fitted = ik.from_dense(numpy.array([1.0, 2.0, 3.0]), kernel)
    >>> fitted.weights.round(6), round(fitted.residual, 6)
    (array([1., 3.]), 0.0)
    """
    dense = as_floats("dense", dense).astype(np.float64, copy=False)
    is_plain = dense.shape == kernel.window
    channels = kernel.window[-1] if kernel.interpolates_channels else (dense.shape[1] if dense.ndim > 1 else 0)
    if not is_plain and dense.shape[1:] != (channels, *kernel.spatial_window):
        raise ValueError(
            f"`dense` must have shape {kernel.window} or (filters, channels, *{kernel.spatial_window}), "
            f"got {dense.shape}."
        )
    if not np.isfinite(dense).all():
        raise ValueError("`dense` must be finite.")
    bank = dense.reshape(1, 1, *kernel.window) if is_plain else dense
    # One kernel for all channels is nearest to all of them at once where it is nearest to their mean.
    nearest = bank.mean(axis=1, keepdims=True) if kernel.channel_mode == "tied" else bank
    cells = np.moveaxis(nearest, 1, -1)[:, None] if kernel.interpolates_channels else nearest
    lead = cells.shape[:2]
    by_set = cells.reshape(len(kernel.matrices), -1, kernel.matrices.shape[1])
    solved = [_solve_matrix(matrix, right) for matrix, right in zip(kernel.matrices, by_set, strict=True)]
    weights: FloatArray = np.stack([solution.weights for solution in solved]).reshape(*lead, -1)
    left = find_filling(kernel).apply(weights) - bank
    squares = np.square(left).reshape(len(left), -1).sum(axis=1)
    n_cells, n_weights = left[0].size, weights[0].size
    spreads = [np.broadcast_to(solution.spread, solution.weights.shape) for solution in solved]
    spread = np.stack(spreads).reshape(weights.shape)
    errors = spread * np.sqrt(_estimate_variance(squares, n_cells, n_weights))[:, None, None]
    residual = np.sqrt(squares / n_cells)
    if is_plain:
        return Fit(weights.reshape(-1), float(residual[0]), errors.reshape(-1))
    shape = weights.shape if kernel.channel_mode == "separate" else (len(weights), weights.shape[-1])
    return Fit(np.reshape(weights, shape), residual, np.reshape(errors, shape))


@dataclass(frozen=True)
class _Part:
    """The filters of one position set: they share the normal equations of their group."""

    problem: Problem
    kernel: InterpolatedKernel
    filters: Sequence[int]

    @property
    def groups(self) -> list[tuple[int, list[int]]]:
        """Each group with its filters among these, their places in `filters`."""
        of_group = self.problem.filters_per_group
        numbers = sorted({number // of_group for number in self.filters})
        return [(group, [number for number in self.filters if number // of_group == group]) for group in numbers]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one filter's weights."""
        return self.problem.weights_shape[1:]

    def bank_kernel(self, count: int) -> InterpolatedKernel:
        """Return the kernel for so many filters at these positions."""
        if self.kernel.shares_positions:
            return self.kernel.replace(
                positions=self.kernel.position_sets[0],
                widths=None if self.kernel.width_sets is None else self.kernel.width_sets[0],
            )
        widths = None if self.kernel.widths is None else np.repeat(self.kernel.widths, count, axis=0)
        return self.kernel.replace(positions=np.repeat(self.kernel.positions, count, axis=0), widths=widths)


def _describe_fit(x: FloatArray, y: FloatArray, kernel: InterpolatedKernel, options: Options) -> Problem:
    """Return the problem whose weights are asked for, after checking the shapes."""
    check_kernel(kernel)
    d, n = kernel.n_dims, kernel.n_anchors
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
    problem = describe(x.shape, shape, kernel, options, "float64")
    lead = len(problem.y_shape) - x.ndim
    expected = problem.y_shape[lead:]
    if y.shape != expected:
        raise ValueError(f"`y` must have the shape of `conv`'s result, {expected}, got {y.shape}.")
    return problem


def _kernels_of_filters(kernel: InterpolatedKernel) -> Iterator[tuple[InterpolatedKernel, Sequence[int]]]:
    """Yield each filter's own kernel, where filters do not share their positions."""
    for index in range(len(kernel.positions)):
        one = slice(index, index + 1)
        widths = None if kernel.widths is None else kernel.widths[one]
        yield kernel.replace(positions=kernel.positions[one], widths=widths), [index]


def _solve_groups(
    part: _Part, images: FloatArray, targets: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the weights, residuals and standard errors of a part's filters, group by group."""
    weights, residuals, errors = [], [], []
    for group, filters in part.groups:
        channels = part.problem.channels_per_group
        xs_of_group = np.ascontiguousarray(images[:, group * channels : (group + 1) * channels])
        own_y = np.ascontiguousarray(targets[:, filters])
        gram, right = _normal_equations(part, xs_of_group, own_y)
        solved = _solve(gram, right, ridge)
        bank = solved.weights.reshape(len(filters), *part.row_shape)
        squares, count = _squares_left(part, xs_of_group, own_y, bank)
        weights.append(bank)
        residuals.append(np.sqrt(squares / count))
        variance = _estimate_variance(squares, count, solved.rank)
        errors.append((solved.spread * np.sqrt(variance)[:, None]).reshape(bank.shape))
    return np.concatenate(weights), np.concatenate(residuals), np.concatenate(errors)


def _cut_bands(
    part: _Part, images: FloatArray, targets: FloatArray, maps: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield x and y band by band: samples, and rows of the first spatial axis, whose `maps` outputs fit into memory."""
    problem = part.problem
    row_bytes = 8 * maps * int(np.prod(problem.out_spatial[1:], dtype=np.int64))
    rows = max(1, _BYTES_OF_BAND // max(row_bytes, 1))
    stride, reach = problem.stride[0], problem.extent[0]
    for sample in range(len(images)):
        for first in range(0, problem.out_spatial[0], rows):
            last = min(first + rows, problem.out_spatial[0])
            cells = slice(first * stride, (last - 1) * stride + reach)
            yield images[sample : sample + 1, :, cells], targets[sample : sample + 1, :, first:last]


def _normal_equations(part: _Part, images: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the Gram matrix of all (channel, anchor) pairs, and the right-hand side of every filter."""
    n = int(np.prod(part.row_shape))
    gram, right = np.zeros((n, n)), np.zeros((targets.shape[1], n))
    unit = np.eye(n).reshape(n, *part.row_shape)
    basis, filters = part.bank_kernel(n), part.bank_kernel(targets.shape[1])
    nothing = np.zeros((targets.shape[1], *part.row_shape))
    stride, dilation = part.problem.stride, part.problem.dilation
    for x, y in _cut_bands(part, images, targets, n):
        maps = conv(x, unit, basis, stride=stride, dilation=dilation)
        for total, values, weights, kernel in ((gram, maps, unit, basis), (right, y, nothing, filters)):
            grads = conv_backward(values, x, weights, kernel, stride=stride, dilation=dilation, wrt=("weights",))
            total += np.asarray(grads.weights).reshape(-1, n)
    return (gram + gram.T) / 2, right


def _squares_left(part: _Part, images: FloatArray, targets: FloatArray, bank: FloatArray) -> tuple[FloatArray, int]:
    """Return every filter's sum of squared residuals, and of how many outputs."""
    squares, kernel = np.zeros(len(bank)), part.bank_kernel(len(bank))
    for x, y in _cut_bands(part, images, targets, 2 * len(bank)):
        left = conv(x, bank, kernel, stride=part.problem.stride, dilation=part.problem.dilation) - y
        squares += np.square(left).sum(axis=(0, *range(2, left.ndim)))
    return squares, targets[:, 0].size


@dataclass(frozen=True, eq=False)
class _Solution:
    weights: FloatArray
    spread: FloatArray
    rank: int


def _solve(gram: FloatArray, right: FloatArray, ridge: float) -> _Solution:
    """Solve the normal equations by eigenvectors; return weights, standard errors for unit variance, and the rank."""
    scale = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1.0)) if ridge == 0 else np.ones(len(gram))
    values, vectors = load("scipy.linalg").eigh(gram / scale / scale[:, None])
    known = values > len(gram) * 2.0**-52 * max(values[-1], 0.0)
    kept, vectors_kept = values[known], vectors[:, known]
    weights = (right / scale @ vectors_kept) / (kept + ridge) @ vectors_kept.T / scale
    spread = np.sqrt((np.square(vectors_kept) * (kept / np.square(kept + ridge))).sum(axis=1)) / scale
    if ridge == 0:
        spread = np.where((np.square(vectors[:, ~known]).sum(axis=1) > 1e-8), np.inf, spread)
    return _Solution(weights, spread, int(known.sum()))


def _solve_matrix(matrix: FloatArray, cells: FloatArray) -> _Solution:
    """Return the weights of least norm whose kernels `(kernels, cells)` are nearest.

    Not by the normal equations, which square the condition: anchors that stand close would lose half of the digits.
    """
    left, values, right = load("scipy.linalg").svd(matrix, full_matrices=False)
    known = values > max(matrix.shape) * 2.0**-52 * values[0]
    shares = right[known] / values[known, None]
    open_share = 1.0 - np.square(right[known]).sum(axis=0)
    spread = np.where(open_share > 1e-8, np.inf, np.sqrt(np.square(shares).sum(axis=0)))
    return _Solution(cells @ left[:, known] @ shares, spread, int(known.sum()))


def _estimate_variance(squares: FloatArray, count: int, unknowns: int) -> FloatArray:
    """Return the residual's variance; NaN where there are no more equations than unknowns."""
    return squares / (count - unknowns) if count > unknowns else np.full(squares.shape, np.nan)
