"""Weights to dense kernels and back where the matrix is no product of axes': whole matrices, and splats' profiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.cuda.compile import THREADS, count_blocks, cuda, jit, launch
from interpolated_kernels.loops.cuda.copies import add_rows
from interpolated_kernels.loops.cuda.memory import empty, flatten

_ROWS_OF_SUM = 1024
"""Rows of a matrix that a thread adds up."""


class Profiles(NamedTuple):
    """Splats by axis: profiles `(sets, n, planes)`, `(sets, n, rows)`, `(sets, n, columns)`, factors `(sets, n)`."""

    planes: Any
    rows: Any
    columns: Any
    factors: Any


def multiply_whole(matrix: Any, source: Any, out: Any) -> None:
    """Write `source @ matrix` for rows `(n, k)` and a matrix `(k, m)` in float64, blocks of its rows added in order."""
    n_blocks = max(1, count_blocks(matrix.shape[0], _ROWS_OF_SUM))
    sums = out.reshape(1, *out.shape) if n_blocks == 1 else empty((n_blocks, *out.shape), np.float64)
    blocks = count_blocks(out.shape[1], THREADS), out.shape[0], n_blocks
    launch(_multiply_whole, blocks, matrix, source, sums)
    if n_blocks > 1:
        add_rows(sums.reshape(n_blocks, out.size), flatten(out))


def spread_splats(weights: Any, profiles: Profiles, out: Any) -> None:
    """Write the cells `(sets, kernels, planes, rows, columns)` of weights `(sets, kernels, n)`, in float64."""
    sets, kernels, *window = out.shape
    launch(_spread_splats, (count_blocks(int(np.prod(window)), THREADS), kernels, sets), weights, profiles, out)


def gather_splats(cells: Any, profiles: Profiles, out: Any) -> None:
    """Write the transpose of `spread_splats`, `(sets, kernels, n)`."""
    sets, kernels, n = out.shape
    launch(_gather_splats, (count_blocks(n, THREADS), kernels, sets), cells, profiles, out)


@jit
def _multiply_whole(matrix, source, sums):
    n_blocks, n_rows, n_columns = sums.shape
    for block in range(cuda.blockIdx.z, n_blocks, cuda.gridDim.z):
        last = min(matrix.shape[0], (block + 1) * _ROWS_OF_SUM)
        for row in range(cuda.blockIdx.y, n_rows, cuda.gridDim.y):
            for column in range(cuda.grid(1), n_columns, cuda.gridsize(1)):
                total = np.float64(0)
                for at in range(block * _ROWS_OF_SUM, last):
                    total += matrix[at, column] * source[row, at]
                sums[block, row, column] = total


@jit
def _spread_splats(weights, profiles, out):
    sets, kernels, planes, rows, columns = out.shape
    for one in range(cuda.blockIdx.z, sets, cuda.gridDim.z):
        for kernel in range(cuda.blockIdx.y, kernels, cuda.gridDim.y):
            for at in range(cuda.grid(1), planes * rows * columns, cuda.gridsize(1)):
                column, line = at % columns, at // columns
                row, plane = line % rows, line // rows
                total = np.float64(0)
                for anchor in range(weights.shape[2]):
                    share = profiles.planes[one, anchor, plane] * profiles.rows[one, anchor, row]
                    share *= profiles.columns[one, anchor, column] * profiles.factors[one, anchor]
                    total += share * weights[one, kernel, anchor]
                out[one, kernel, plane, row, column] = total


@jit
def _gather_splats(cells, profiles, out):
    sets, kernels, planes, rows, columns = cells.shape
    for one in range(cuda.blockIdx.z, sets, cuda.gridDim.z):
        for kernel in range(cuda.blockIdx.y, kernels, cuda.gridDim.y):
            for anchor in range(cuda.grid(1), out.shape[2], cuda.gridsize(1)):
                total = np.float64(0)
                for plane in range(planes):
                    for row in range(rows):
                        line = np.float64(0)
                        for column in range(columns):
                            line += profiles.columns[one, anchor, column] * cells[one, kernel, plane, row, column]
                        total += profiles.planes[one, anchor, plane] * profiles.rows[one, anchor, row] * line
                out[one, kernel, anchor] = total * profiles.factors[one, anchor]
