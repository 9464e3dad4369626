"""The definition in plain NumPy, for whole arrays: the oracle of all else."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.paths import reference
from interpolated_kernels.problem import Problem

_without_warnings = np.errstate(divide="ignore", invalid="ignore")
"""Infinity is multiplied with zeros too, and what is divided by nothing is left out afterwards."""


class Sums(NamedTuple):
    """What the definition divides: all in y's shape but the totals, `(filters, 1, ...)`."""

    numerator: FloatArray
    denominator: FloatArray
    total: FloatArray
    is_met: BoolArray
    """Where a cell that is there meets a positive cell of the kernel."""


@_without_warnings
def convolve(problem: Problem, x: FloatArray, dense: FloatArray, dtype: Any) -> FloatArray:
    """Return y for x of all channels and dense kernels `(filters, 1 or channels_per_group, *window)`, in `dtype`."""
    sums = find_sums(problem, x, dense, dtype)
    return np.where(sums.is_met, sums.numerator * (sums.total / sums.denominator), np.nan)


@_without_warnings
def differentiate(
    problem: Problem, grad_y: FloatArray, x: FloatArray, dense: FloatArray, dtype: Any
) -> tuple[FloatArray, FloatArray]:
    """Return the gradients by x and by the dense kernels, in their shapes, computed in `dtype`."""
    sums = find_sums(problem, x, dense, dtype)
    by_numerator, by_denominator, by_total = differentiate_sums(sums, grad_y.astype(dtype))
    values, mask = split(x, dtype)
    whole = expand_channels(dense.astype(dtype), problem)
    grad_x = reference.convolve_transpose(problem, by_numerator, whole, dtype)
    by_dense = reference.correlate(problem, by_numerator, values, dtype)
    by_dense += reference.correlate(problem, by_denominator, mask, dtype)
    by_dense += by_total.sum(axis=(0, *range(2, by_total.ndim))).reshape(-1, *(1,) * (dense.ndim - 1))
    by_dense = by_dense if dense.shape[1] == by_dense.shape[1] else by_dense.sum(axis=1, keepdims=True)
    return np.where(mask > 0, grad_x, 0), by_dense


def differentiate_sums(sums: Sums, grad_y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the gradients by every output's numerator, denominator and total; 0 where it has nothing to weigh."""
    mean, share = sums.numerator / sums.denominator, sums.total / sums.denominator
    found = grad_y * share, -grad_y * share * mean, grad_y * mean
    by_numerator, by_denominator, by_total = (np.where(sums.is_met, grad, 0) for grad in found)
    return by_numerator, by_denominator, by_total


@_without_warnings
def find_sums(problem: Problem, x: FloatArray, dense: FloatArray, dtype: Any) -> Sums:
    """Return numerators, denominators and totals, and where there is something to weigh."""
    values, mask = split(x, dtype)
    whole = expand_channels(dense.astype(dtype), problem)
    return Sums(
        numerator=reference.convolve(problem, values, whole, dtype),
        denominator=reference.convolve(problem, mask, whole, dtype),
        total=whole.sum(axis=tuple(range(1, whole.ndim))).reshape(-1, *(1,) * len(problem.spatial)),
        is_met=reference.convolve(problem, mask, whole > 0, dtype) > 0,
    )


def split(x: FloatArray, dtype: Any) -> tuple[FloatArray, FloatArray]:
    """Return the values that are there, 0 elsewhere, and 1 where they are."""
    is_there = ~np.isnan(x)
    return np.where(is_there, x, 0).astype(dtype), is_there.astype(dtype)


def expand_channels(dense: FloatArray, problem: Problem) -> FloatArray:
    """Return dense kernels with every channel of a group: those that share a kernel repeat it."""
    return np.broadcast_to(dense, (problem.filters, problem.channels_per_group, *problem.window))
