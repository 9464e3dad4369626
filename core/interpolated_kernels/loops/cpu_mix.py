"""Rows times a matrix, every entry summed in index order: a row's result depends on nothing but the row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from interpolated_kernels.loops.jit import jit
from interpolated_kernels.loops.threads import launch


def mix(values: Any, matrix: Any) -> Any:
    """Return `values @ matrix` for C-contiguous `(rows, k)` and `(k, columns)`."""
    mixed = np.zeros((values.shape[0], matrix.shape[1]), values.dtype)
    is_worth_it = values.size * matrix.shape[1] > 2**20
    launch(_mix_parallel, _mix_serial, is_worth_it, values, matrix, mixed)
    return mixed


@jit(inner=True)
def _mix_row(values, matrix, mixed, row):
    for k in range(matrix.shape[0]):
        value = values[row, k]
        for column in range(matrix.shape[1]):
            mixed[row, column] += value * matrix[k, column]


@jit
def _mix_serial(values, matrix, mixed):
    for row in range(values.shape[0]):
        _mix_row(values, matrix, mixed, row)


@jit(parallel=True)
def _mix_parallel(values, matrix, mixed):
    for row in prange(values.shape[0]):
        _mix_row(values, matrix, mixed, row)
