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


def multiply_along(rows: Rows, source: Any, out: Any) -> None:
    """Write `matrix @ source` along the middle one of three axes, in the dtype of the values, summed in their order."""
    n_outer, n_rows, n_inner = out.shape
    kernel, fast, slow = (_by_columns, n_rows, n_outer) if n_inner == 1 else (_by_rows, n_inner, n_rows)
    blocks = count_blocks(fast, WIDE), count_blocks(slow, HIGH), 1 if n_inner == 1 else n_outer
    launch(kernel, blocks, rows, source, out, threads=(WIDE, HIGH, 1))


@jit
def _by_columns(rows, source, out):
    x, y = cuda.grid(2)
    x_step, y_step = cuda.gridsize(2)
    for outer in range(y, out.shape[0], y_step):
        for row in range(x, out.shape[1], x_step):
            total = rows.values.dtype.type(0)
            for entry in range(rows.starts[row], rows.starts[row + 1]):
                total += rows.values[entry] * source[outer, rows.columns[entry], 0]
            out[outer, row, 0] = total


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
