"""The reference's sums over absolute values and over squares, which error bounds are made of.

A quantity is a sum of products, and a bound is the same sum of their sizes: over absolute values for what errors add up
to at most, over squares for what they add up to where they are independent. For y, with K the dense kernels,

    absolute    sum of abs(x) (abs(A) abs(weights))        squares    sum of x^2 K^2

Gradients by weights, positions and widths lead through the gradient by the dense kernel, which `A`, or the derivative
of `A weights`, takes to the anchors: here by absolute values or squares as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import Definition
from interpolated_kernels.interpolation import Interpolator
from interpolated_kernels.interpolation.splats import Splat
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.padding import index_axis
from interpolated_kernels.paths import reference as definition
from interpolated_kernels.problem import Problem
from interpolated_kernels.testing.oracle import absolute, as_bank, as_summed, evaluate

BY_ANCHORS = ("grad_positions", "grad_widths")


def sum_absolute(
    quantity: str, sizes: Mapping[str, FloatArray], kernel: InterpolatedKernel, problem: Problem, options: Any
) -> FloatArray:
    """Return `S`: a quantity's sum over absolute values, from the absolute values of its arrays, in float64."""
    with np.errstate(invalid="ignore"):
        if quantity not in BY_ANCHORS:
            return evaluate(quantity, sizes, absolute(kernel), np.float64, options)
        return _pull_back(quantity, sizes, kernel, problem, 1)


def sum_squares(
    quantity: str, arrays: Mapping[str, FloatArray], kernel: InterpolatedKernel, problem: Problem
) -> FloatArray:
    """Return a quantity's sum over squares, from its arrays in float64, with all of a bank's and a batch's axes.

    Where padding shows a cell of x more than once its products are not independent: each counts as often as the cell is
    shown, since `(a + b)^2 <= 2 (a^2 + b^2)`.
    """
    with np.errstate(invalid="ignore"):
        squares = {name: np.square(array) for name, array in arrays.items()} | {"weights": arrays["weights"]}
        if quantity in ("y", "grad_x"):
            dense = np.square(Definition(kernel).apply(as_bank(arrays["weights"], problem, np.float64)))
        if quantity == "y":
            x = as_summed(squares["x"], problem, np.float64)
            found = definition.convolve(problem.summed, x, dense, np.float64)
        elif quantity == "grad_x":
            grad_y = squares["grad_y"].reshape(problem.y_shape)
            found = definition.convolve_transpose(problem.summed, grad_y, dense, np.float64)
            found = np.repeat(found, problem.n_summed, axis=1)
        else:
            found = _pull_back(quantity, squares, kernel, problem, 2)
    return float(np.prod(count_shown(problem))) * found


def count_shown(problem: Problem) -> list[int]:
    """Return how often padding shows a cell of x at most, along every axis."""
    return [
        int(np.bincount(index_axis(problem, axis)).max()) if folds else 1 for axis, folds in enumerate(problem.folds)
    ]


def find_condition(kernel: InterpolatedKernel) -> float:
    """Return the largest condition of what is solved for the kernel's matrices; 1 where nothing is."""
    conditions = [kernel.interpolator.condition(positions, kernel.window) for positions in kernel.position_sets]
    return max([1.0, *(condition for condition in conditions if condition is not None)])


def _pull_back(
    quantity: str, arrays: Mapping[str, FloatArray], kernel: InterpolatedKernel, problem: Problem, power: int
) -> FloatArray:
    """Return the sum of a gradient by weights, positions or widths, through that by the dense kernel."""
    every_cell = replace(problem.summed, every_cell=quantity in BY_ANCHORS)
    grad_y = arrays["grad_y"].reshape(problem.y_shape)
    grad_dense = definition.correlate(every_cell, grad_y, as_summed(arrays["x"], problem, np.float64), np.float64)
    filling = _PowerFilling(kernel, power)
    if quantity == "grad_weights":
        return filling.transpose(grad_dense)
    found = filling.vjp(grad_dense, as_bank(arrays["weights"], problem, np.float64))
    return np.asarray(found[BY_ANCHORS.index(quantity)])


class _PowerFilling(Definition):
    """The definition's transposes with every entry of a matrix or a derivative to a power: its size, or its square."""

    def __init__(self, kernel: InterpolatedKernel, power: int) -> None:
        super().__init__(kernel)
        self.power = power

    def move(
        self, cells: FloatArray, rows: FloatArray, positions: FloatArray, widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the sums by positions `(sets, n, d)` and widths over the powers of the derivatives."""
        sums, interpolator = [], self.kernel.interpolator
        for index, each in enumerate(positions):
            given = (each, self.kernel.window, None if widths is None else widths[index])
            if self.power == 1:
                entries = _find_sizes(interpolator, *given)
                derivatives = [np.tensordot(np.abs(rows[index]), entry, axes=(1, 1)) for entry in entries]
            else:
                entries = _find_derivatives(interpolator, *given)
                derivatives = [np.square(np.tensordot(rows[index], entry, axes=(1, 1))) for entry in entries]
            sums.append([np.tensordot(cells[index], derivative, axes=2) for derivative in derivatives])
        by_positions, *by_widths = (np.stack(each) for each in zip(*sums, strict=True))
        return by_positions, by_widths[0] if by_widths else None

    def _matrices(self, dtype: Any) -> FloatArray:
        return np.abs(super()._matrices(dtype)) ** self.power


def _find_derivatives(
    interpolator: Interpolator, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
) -> list[FloatArray]:
    """Return the derivatives of every entry of `A` by positions `(cells, n, n, d)`, and by widths if there are."""
    shape = (int(np.prod(window)), len(positions))
    rows = []
    for entry in np.ndindex(shape):
        only = np.zeros(shape)
        only[entry] = 1.0
        rows.append(interpolator.matrix_vjp(only, positions, window, widths))
    by_positions, by_widths = zip(*rows, strict=True)
    found = [np.stack(by_positions)] + ([] if widths is None else [np.stack(by_widths)])
    return [each.reshape(*shape, *each.shape[1:]) for each in found]


def _find_sizes(
    interpolator: Interpolator, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
) -> list[FloatArray]:
    """Return the absolute values of `_find_derivatives`.

    An entry `p / s` of a normalized splat, s the sum of p over the window, has the derivative `p' / s - p s' / s^2`,
    whose parts all but cancel where a bump meets a single cell: both count.
    """
    if not (isinstance(interpolator, Splat) and interpolator.normalized):
        return [np.abs(entry) for entry in _find_derivatives(interpolator, positions, window, widths)]
    plain = replace(interpolator, normalized=False)  # type: ignore[type-var]  # every interpolator is a dataclass
    shares, bumps = (np.abs(each.matrix(positions, window, widths)) for each in (interpolator, plain))
    sums = np.divide(bumps.sum(axis=0), shares.sum(axis=0), out=np.ones(len(positions)), where=shares.any(axis=0))
    slopes = [np.abs(entry) for entry in _find_derivatives(plain, positions, window, widths)]
    return [(slope + shares[..., None, None] * slope.sum(axis=0)) / sums[:, None, None] for slope in slopes]
