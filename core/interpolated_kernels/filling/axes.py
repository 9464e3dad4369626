"""One axis of an array times a small matrix, whole or by the few entries of its rows, summed in index order."""

from __future__ import annotations

import functools
import math

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation.axes import Entries, as_entries


def apply_along(entries: Entries | FloatArray, values: FloatArray, axis: int) -> FloatArray:
    """Return `values` with an axis of n entries taken to the matrix' rows: `matrix @` every line along it."""
    lines, shape = _take_lines(values, axis)
    rows = as_entries(entries).apply(lines)
    return rows.reshape(*shape, rows.shape[1]).transpose(_with_last_at(values.ndim, axis))


def transpose_along(entries: Entries | FloatArray, values: FloatArray, axis: int) -> FloatArray:
    """Return `values` with an axis of rows taken back to n entries: `matrix^T @` every line along it."""
    lines, shape = _take_lines(values, axis)
    rows = as_entries(entries).transpose(lines)
    return rows.reshape(*shape, rows.shape[1]).transpose(_with_last_at(values.ndim, axis))


def _take_lines(values: FloatArray, axis: int) -> tuple[FloatArray, tuple[int, ...]]:
    """Return the lines along an axis as rows, and the shape of the other axes."""
    moved = np.ascontiguousarray(values.transpose(_with_axis_last(values.ndim, axis)), np.float64)
    shape = moved.shape[:-1]
    return moved.reshape(math.prod(shape), moved.shape[-1]), shape


@functools.cache
def _with_axis_last(n_dims: int, axis: int) -> tuple[int, ...]:
    """Return the order of axes with one moved to the end (`numpy.moveaxis` takes longer than small products)."""
    return (*range(axis), *range(axis + 1, n_dims), axis)


@functools.cache
def _with_last_at(n_dims: int, axis: int) -> tuple[int, ...]:
    """Return the order of axes with the last one moved to `axis`."""
    return (*range(axis), n_dims - 1, *range(axis, n_dims - 1))
