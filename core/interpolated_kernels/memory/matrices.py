"""Sparse matrices by their rows: made on the host, used on the GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.interpolation.axes import Entries, as_entries
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.lazy import cuda_loops


class HostRows(NamedTuple):
    """A sparse matrix by its rows, as `loops.cuda.Rows`, in NumPy arrays."""

    starts: IntArray
    columns: IntArray
    values: FloatArray


def make_rows(rows: IntArray, columns: IntArray, values: FloatArray, n_rows: int) -> HostRows:
    """Return the matrix of some entries, those of a row in the order in which they come."""
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(n_rows + 1))
    return HostRows(starts.astype(np.int64), columns[order].astype(np.int32), values[order])


def is_identity(rows: HostRows, n_columns: int) -> bool:
    """Return whether a matrix leaves an axis as it is."""
    n = len(rows.starts) - 1
    return (
        n == n_columns
        and np.array_equal(rows.starts, np.arange(n + 1))
        and np.array_equal(rows.columns, np.arange(n))
        and bool((rows.values == 1).all())
    )


def list_entries(given: Entries | FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the entries of a matrix that are not zero, as row, column and value, by row and in their order."""
    entries = as_entries(given)
    if isinstance(entries, LocalMatrix):
        rows, places = np.nonzero(entries.values)
        return rows, entries.columns[rows, places], entries.values[rows, places]
    matrix = entries.dense()
    rows, columns = np.nonzero(matrix)
    return rows, columns, matrix[rows, columns]


def upload_rows(rows: HostRows, dtype: Any = np.float64) -> Any:
    """Return a sparse matrix on the GPU, its values in a dtype."""
    return cuda_loops.Rows(
        starts=cuda_loops.upload(rows.starts),
        columns=cuda_loops.upload(rows.columns if len(rows.columns) else np.zeros(1, np.int32)),
        values=cuda_loops.upload((rows.values if len(rows.values) else np.zeros(1)).astype(dtype)),
    )
