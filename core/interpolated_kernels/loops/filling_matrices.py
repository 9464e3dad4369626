"""Rows times a matrix, whole or with few entries a row, and its transpose.

A row's result depends on nothing but the row: entries are summed in index order, those of `dot` in the compiler's own
order, the same in every run. A task is some rows' part of the result, so that one long row is shared among threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch

_COLUMNS_OF_TASK = 2048
_FEWEST_PRODUCTS = 2**20


def mix(values: Any, matrix: Any) -> Any:
    """Return `values @ matrix` for C-contiguous `(rows, k)` and `(k, columns)`."""
    mixed = np.zeros((values.shape[0], matrix.shape[1]), values.dtype)
    is_worth_it = values.size * matrix.shape[1] > _FEWEST_PRODUCTS
    launch(_mix_parallel, _mix_serial, is_worth_it, values, matrix, mixed)
    return mixed


def dot(values: Any, matrix: Any) -> Any:
    """Return `values @ matrix.T` for C-contiguous `(rows, k)` and `(columns, k)`."""
    products = np.empty((values.shape[0], matrix.shape[0]), values.dtype)
    is_worth_it = values.size * matrix.shape[0] > _FEWEST_PRODUCTS
    launch(_dot_parallel, _dot_serial, is_worth_it, values, matrix, products)
    return products


def spread_entries(values: Any, columns: Any, entries: Any) -> Any:
    """Return `values @ A.T` for `(rows, n)`, `A` having `entries[cell, j]` in column `columns[cell, j]`."""
    spread = np.empty((values.shape[0], columns.shape[0]), values.dtype)
    is_worth_it = values.shape[0] * columns.size > _FEWEST_PRODUCTS
    launch(_spread_parallel, _spread_serial, is_worth_it, values, columns, entries, spread)
    return spread


def gather_entries(values: Any, columns: Any, entries: Any, n: int) -> Any:
    """Return `values @ A` for `(rows, cells)`, `A` as for `spread_entries`."""
    gathered = np.zeros((values.shape[0], n), values.dtype)
    is_worth_it = values.shape[0] > 1 and values.shape[0] * columns.size > _FEWEST_PRODUCTS
    launch(_gather_parallel, _gather_serial, is_worth_it, values, columns, entries, gathered)
    return gathered


@jit(inner=True)
def _tasks(shape):
    return shape[0] * ((shape[1] + _COLUMNS_OF_TASK - 1) // _COLUMNS_OF_TASK)


@jit(inner=True)
def _place(shape, task):
    """Return a task's row, and its first and last column."""
    first = task // shape[0] * _COLUMNS_OF_TASK
    return task % shape[0], first, min(first + _COLUMNS_OF_TASK, shape[1])


@jit(inner=True)
def _mix_task(values, matrix, mixed, task):
    row, first, last = _place(mixed.shape, task)
    for k in range(matrix.shape[0]):
        value = values[row, k]
        for column in range(first, last):
            mixed[row, column] += value * matrix[k, column]


@jit
def _mix_serial(values, matrix, mixed):
    for task in range(_tasks(mixed.shape)):
        _mix_task(values, matrix, mixed, task)


@jit(parallel=True)
def _mix_parallel(values, matrix, mixed):
    for task in prange(_tasks(mixed.shape)):
        _mix_task(values, matrix, mixed, np.int64(task))


@jit(inner=True, reassociates=True)
def _dot_task(values, matrix, products, task):
    row, first, last = _place(products.shape, task)
    for column in range(first, last):
        total = values.dtype.type(0)
        for k in range(values.shape[1]):
            total += values[row, k] * matrix[column, k]
        products[row, column] = total


@jit
def _dot_serial(values, matrix, products):
    for task in range(_tasks(products.shape)):
        _dot_task(values, matrix, products, task)


@jit(parallel=True)
def _dot_parallel(values, matrix, products):
    for task in prange(_tasks(products.shape)):
        _dot_task(values, matrix, products, np.int64(task))


@jit(inner=True)
def _spread_task(values, columns, entries, spread, task):
    row, first, last = _place(spread.shape, task)
    for cell in range(first, last):
        total = values.dtype.type(0)
        for j in range(columns.shape[1]):
            total += entries[cell, j] * values[row, columns[cell, j]]
        spread[row, cell] = total


@jit
def _spread_serial(values, columns, entries, spread):
    for task in range(_tasks(spread.shape)):
        _spread_task(values, columns, entries, spread, task)


@jit(parallel=True)
def _spread_parallel(values, columns, entries, spread):
    for task in prange(_tasks(spread.shape)):
        _spread_task(values, columns, entries, spread, np.int64(task))


@jit(inner=True)
def _gather_row(values, columns, entries, gathered, row):
    for cell in range(columns.shape[0]):
        value = values[row, cell]
        for j in range(columns.shape[1]):
            gathered[row, columns[cell, j]] += value * entries[cell, j]


@jit
def _gather_serial(values, columns, entries, gathered):
    for row in range(gathered.shape[0]):
        _gather_row(values, columns, entries, gathered, row)


@jit(parallel=True)
def _gather_parallel(values, columns, entries, gathered):
    for row in prange(gathered.shape[0]):
        _gather_row(values, columns, entries, gathered, np.int64(row))
