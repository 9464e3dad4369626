"""Sparse matrices along an axis: padding, phases of strides, smoothing, interpolation, their transposes, and sums.

All that happens along one axis alone is a matrix with few entries a row, as `(starts, columns, values)`: row i has the
entries `starts[i] <= e < starts[i + 1]`, `values[e]` in column `columns[e]`. A thread makes a value; values whose
threads are neighbours lie side by side, and so do what they read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from interpolated_kernels.loops.cuda.compile import HIGH, WIDE, count_blocks, cuda, jit, launch


class Rows(NamedTuple):
    """A sparse matrix by its rows: starts `(rows + 1,)` int64, columns `(entries,)` int32, values `(entries,)`."""

    starts: Any
    columns: Any
    values: Any


_LINES = 8
"""Lines that a thread makes at once along columns, where its entries are not those of its neighbours."""


def multiply_along(rows: Rows, source: Any, out: Any) -> None:
    """Write `matrix @ source` along the middle one of three axes, in the dtype of the values, summed in their order."""
    n_outer, n_rows, n_inner = out.shape
    if n_inner == 1:
        blocks = count_blocks(n_rows, WIDE), count_blocks(n_outer, HIGH * _LINES), 1
        launch(_by_columns, blocks, rows, source, out, threads=(WIDE, HIGH, 1))
    else:
        blocks = count_blocks(n_inner, WIDE), count_blocks(n_rows, HIGH), n_outer
        launch(_by_rows, blocks, rows, source, out, threads=(WIDE, HIGH, 1))


@jit
def _by_columns(rows, source, out):
    x, y = cuda.grid(2)
    x_step, y_step = cuda.gridsize(2)
    sums = cuda.local.array(_LINES, rows.values.dtype)
    last = out.shape[0] - 1
    for row in range(x, out.shape[1], x_step):
        for outer in range(y * _LINES, out.shape[0], y_step * _LINES):
            for i in range(_LINES):
                sums[i] = 0
            for entry in range(rows.starts[row], rows.starts[row + 1]):
                value, column = rows.values[entry], rows.columns[entry]
                for i in range(_LINES):
                    sums[i] += value * source[min(outer + i, last), column, 0]
            for i in range(_LINES):
                if outer + i <= last:
                    out[outer + i, row, 0] = sums[i]


@jit
def _by_rows(rows, source, out):
    x, y, z = cuda.grid(3)
    x_step, y_step, z_step = cuda.gridsize(3)
    for outer in range(z, out.shape[0], z_step):
        for row in range(y, out.shape[1], y_step):
            for inner in range(x, out.shape[2], x_step):
                total = rows.values.dtype.type(0)
                for entry in range(rows.starts[row], rows.starts[row + 1]):
                    total += rows.values[entry] * source[outer, rows.columns[entry], inner]
                out[outer, row, inner] = total
