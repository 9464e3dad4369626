"""The dense kernels of a call, checked, and what a quotient needs to know of each filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import Filling
from interpolated_kernels.problem import Problem

_NEGATIVE = -1e-12
"""A cell below this part of its filter's largest is negative by more than rounding."""

_SAFETY = 16.0
"""How far beyond its rounding errors a denominator must be, not to be settled."""


@dataclass(frozen=True, eq=False)
class Filters:
    """Dense kernels in float64, and what is found of each filter.

    Attributes
    ----------
    dense : (filters, channels, *window) array
        One channel where channels are tied.
    totals : (filters,) array
        The sum over all cells and channels.
    limits : (filters,) array
        A denominator below is settled: 16 times the rounding errors that it may have on its way, and a normal number,
        since threads that flush subnormal ones, as TensorFlow's do, hold such a limit for 0.
    """

    dense: FloatArray
    totals: FloatArray
    limits: FloatArray


def make_filters(problem: Problem, filling: Filling, bank: FloatArray) -> Filters:
    """Return the filters of a bank `(filters, channels, n)`.

    Raises
    ------
    ValueError
        Naming the first filter that has a cell below -1e-12 of its largest one, or no positive cell.
    """
    dense = filling.apply(bank, np.float64)
    _check(dense)
    totals = problem.n_summed * dense.sum(axis=tuple(range(1, dense.ndim)))
    return Filters(dense, totals, _find_limits(problem, filling, bank, totals))


def _check(dense: FloatArray) -> None:
    cells = dense.reshape(len(dense), -1)
    with np.errstate(invalid="ignore"):
        largest, smallest = cells.max(axis=1), cells.min(axis=1)
        is_right = (largest > 0) & (smallest >= _NEGATIVE * largest) & np.isfinite(largest)
    if not is_right.all():
        number = int(np.argmin(is_right))
        raise ValueError(
            f"`weights` must give filter {number} a kernel of positive cells, none negative, with missing='renormalize'"
            f", got cells from {smallest[number]:.6g} to {largest[number]:.6g}: use finite weights that are not "
            "negative, and an interpolator that does not overshoot, such as 'linear'."
        )


def _find_limits(problem: Problem, filling: Filling, bank: FloatArray, totals: FloatArray) -> FloatArray:
    """Return 16 times the bound on a denominator's rounding errors, less what these are of its own size.

    The bound is `gamma(n + m + 4d) sum(m abs(A) abs(w))`, and that sum is at most the denominator and all that cancels
    in the kernel; with the subnormal numbers' share, as `testing.bounds` has it.
    """
    numbers, sizes = np.finfo(problem.dtype), np.abs(bank, dtype=np.float64)
    cancelled = np.maximum(problem.n_summed * filling.sum_sizes(sizes) - totals, 0.0)
    n = int(np.prod(problem.window)) * problem.channels_per_group
    roundings = (n + problem.kernel.n_anchors + 4 * problem.kernel.n_dims) * float(numbers.eps) / 2
    gamma = roundings / max(1.0 - roundings, float(numbers.eps))
    subnormal = float(numbers.smallest_subnormal) * (n + 1) * (1.0 + n + float(sizes.sum()))
    return np.maximum(_SAFETY * (gamma * cancelled + subnormal), float(numbers.smallest_normal))
