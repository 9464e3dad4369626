"""The definition in exact rational numbers, product by product: what the reference itself is checked against.

It has what `paths.reference` and `filling.Definition` have, by the same names and written apart from them: loops over
outputs, taps, filters and channels, with `fractions.Fraction` in arrays of objects. Padding is NumPy's own, of cells
that are numbered. Slow, and for small problems alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import Problem

Cell: TypeAlias = tuple[int, ...]

_NUMPY_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
    "symmetric": "symmetric",
}


def as_fractions(values: Any) -> FloatArray:
    """Return finite numbers as an array of Fractions, each exactly what it was.

    Raises
    ------
    ValueError
        For NaN and infinity, which are no rational numbers.
    """
    array = np.asarray(values)
    if array.dtype != object and not np.isfinite(array).all():
        raise ValueError(
            "The exact reference needs finite numbers, got NaN or infinity: leave `dtype` at float64 for these."
        )
    fractions = np.empty(array.shape, object)
    fractions.ravel()[:] = [Fraction(value) for value in array.ravel().tolist()]
    return fractions


class ExactFilling:
    """`dense[cell] = sum_a A[cell, a] weights[a]` for the float64 entries of `kernel.matrix`, and its transpose."""

    def __init__(self, kernel: InterpolatedKernel) -> None:
        lead = () if kernel.shares_positions else kernel.positions.shape[:-2]
        self.kernel = kernel
        # (1 or filters, 1 or channels, cells, n)
        self._matrices = as_fractions(kernel.matrix).reshape((*lead, 1, 1)[:2] + kernel.matrix.shape[-2:])

    def apply(self, bank: FloatArray, dtype: Any = Fraction) -> FloatArray:
        """Return the dense kernels `(filters, channels, *spatial_window)` of a bank `(filters, channels, n)`."""
        kernel = self.kernel
        dense = _make_zeros((*bank.shape[:2], *kernel.window))
        for f, c in np.ndindex(*bank.shape[:2]):
            dense[f, c] = (self._find_matrix(f, c) * bank[f, c]).sum(axis=-1).reshape(kernel.window)
        return np.moveaxis(dense[:, 0], -1, 1) if kernel.interpolates_channels else dense

    def transpose(self, grad_dense: FloatArray) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)`."""
        if self.kernel.interpolates_channels:
            grad_dense = np.moveaxis(grad_dense, 1, -1)[:, None]
        cells = grad_dense.reshape(*grad_dense.shape[:2], -1, 1)
        grad = _make_zeros((*grad_dense.shape[:2], self.kernel.n_anchors))
        for f, c in np.ndindex(*grad.shape[:2]):
            grad[f, c] = (self._find_matrix(f, c) * cells[f, c]).sum(axis=0)
        return grad

    def _find_matrix(self, f: int, c: int) -> FloatArray:
        filters, channels = self._matrices.shape[:2]
        return self._matrices[f % filters, c % channels]


def convolve(problem: Problem, x: FloatArray, dense: FloatArray, dtype: Any = Fraction) -> FloatArray:
    """Return y for x `(batch, channels, *spatial)` and dense kernels `(filters, channels_per_group, *window)`."""
    y = _make_zeros(problem.y_shape)
    for out, tap, cell in _find_products(problem):
        for f, c, channel in _find_pairs(problem):
            y[_at(f, out)] += x[_at(channel, cell)] * dense[(f, c, *tap)]
    return y


def convolve_transpose(problem: Problem, grad_y: FloatArray, dense: FloatArray, dtype: Any = Fraction) -> FloatArray:
    """Return the gradient by x `(batch, channels, *spatial)`."""
    grad = _make_zeros(problem.x_shape)
    for out, tap, cell in _find_products(problem):
        for f, c, channel in _find_pairs(problem):
            grad[_at(channel, cell)] += grad_y[_at(f, out)] * dense[(f, c, *tap)]
    return grad


def correlate(problem: Problem, grad_y: FloatArray, x: FloatArray, dtype: Any = Fraction) -> FloatArray:
    """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`."""
    grad = _make_zeros((problem.filters, problem.channels_per_group, *problem.window))
    for out, tap, cell in _find_products(problem):
        for f, c, channel in _find_pairs(problem):
            grad[(f, c, *tap)] += (grad_y[_at(f, out)] * x[_at(channel, cell)]).sum()
    return grad


def convolve_present(problem: Problem, x: FloatArray, dense: FloatArray, dtype: Any = Fraction) -> FloatArray:
    """Return y with missing="renormalize", for floating x: `N s / D`, and NaN where no positive cell is met."""
    whole = np.broadcast_to(dense, (problem.filters, problem.channels_per_group, *problem.window))
    is_there = ~np.isnan(x)
    mask = as_fractions(is_there.astype(np.float64))
    numerator = convolve(problem, as_fractions(np.where(is_there, x, 0.0)), whole)
    denominator, met = convolve(problem, mask, whole), convolve(problem, mask, as_fractions((whole > 0).astype(float)))
    y = np.full(problem.y_shape, np.nan, object)
    for index in np.argwhere(met > 0):
        at = tuple(index)
        y[at] = numerator[at] * whole[at[1]].sum() / denominator[at]
    return y


def _find_products(problem: Problem) -> Iterator[tuple[Cell, Cell, Cell]]:
    """Yield every output and tap with the cell of x that they meet, but for those that meet a padding zero."""
    axes = [_number_cells(problem, axis) for axis in range(len(problem.spatial))]
    for out, tap in itertools.product(np.ndindex(*problem.out_spatial), np.ndindex(*problem.window)):
        places = zip(axes, out, tap, problem.stride, problem.dilation, strict=True)
        cell = tuple(int(cells[o * stride + t * dilation]) for cells, o, t, stride, dilation in places)
        if min(cell) >= 0:
            yield out, tap, cell


def _number_cells(problem: Problem, axis: int) -> IntArray:
    """Return, for every padded cell of an axis, the number of the cell of x that it shows; -1 for a padding zero."""
    numbers = np.arange(1, problem.spatial[axis] + 1)
    mode: Any = _NUMPY_MODES[problem.padding_modes[axis]]
    return np.pad(numbers, problem.padding[axis], mode=mode) - 1


def _find_pairs(problem: Problem) -> Iterator[tuple[int, int, int]]:
    """Yield every filter and channel of its group, and that channel's place among all."""
    for f, c in np.ndindex(problem.filters, problem.channels_per_group):
        yield f, c, f // problem.filters_per_group * problem.channels_per_group + c


def _at(channel: int, cell: Cell) -> tuple[Any, ...]:
    """Return the index of one cell of one channel in every sample."""
    return (slice(None), channel, *cell)


def _make_zeros(shape: tuple[int, ...]) -> FloatArray:
    return np.full(shape, Fraction(0), object)
