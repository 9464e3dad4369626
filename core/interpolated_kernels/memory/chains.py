"""Small matrices along the axes of a grid, one after another, on the GPU: a tensor product, applied and transposed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.memory.matrices import list_entries, make_rows, upload_rows


class Step(NamedTuple):
    """A matrix along an axis of a grid: `(cells, n)` in any form, or None where the axis stays as it is."""

    axis: int
    matrix: Any


@dataclass(frozen=True, eq=False)
class _Link:
    """A step on the GPU: both matrices, and the shape `(before, n, after)` of a row on either side."""

    forward: Any
    backward: Any
    before: int
    n: int
    n_out: int
    after: int


class Chain:
    """Rows of values at anchors, taken to a grid's nodes and on, axis by axis; computed in float64.

    Parameters
    ----------
    order : int array
        The anchor at each node of the grid, nodes in C order.
    shape : tuple of int
        The grid.
    steps : sequence of Step
    """

    def __init__(self, order: IntArray, shape: Sequence[int], steps: Sequence[Step]) -> None:
        n, sizes = len(order), list(shape)
        self._links = [_make_link((np.arange(n), order, np.ones(n)), (n, n), 1, 1)]
        for axis, matrix in steps:
            if matrix is None:
                continue
            rows, columns, values = list_entries(matrix)
            n_out = matrix.shape[0]
            before, after = int(np.prod(sizes[:axis])), int(np.prod(sizes[axis + 1 :]))
            self._links.append(_make_link((rows, columns, values), (n_out, sizes[axis]), before, after))
            sizes[axis] = n_out
        self.n_out = int(np.prod(sizes))

    def apply(self, rows: Any, dtype: Any) -> Any:
        """Return the results `(k, n_out)` of rows `(k, n)`, in a dtype."""
        values, k = rows, rows.shape[0]
        for link in self._links:
            out_dtype = dtype if link is self._links[-1] else np.float64
            out = cuda_loops.empty((k * link.before, link.n_out, link.after), out_dtype)
            cuda_loops.multiply_along(link.forward, values.reshape(k * link.before, link.n, link.after), out)
            values = out
        return values.reshape(k, self.n_out)

    def transpose(self, rows: Any) -> Any:
        """Return the transpose `(k, n)` of rows `(k, n_out)`, in float64."""
        values, k = rows, rows.shape[0]
        for link in reversed(self._links):
            out = cuda_loops.empty((k * link.before, link.n, link.after), np.float64)
            cuda_loops.multiply_along(link.backward, values.reshape(k * link.before, link.n_out, link.after), out)
            values = out
        return values.reshape(k, values.size // k)


def _make_link(entries: tuple[Any, Any, Any], shape: tuple[int, int], before: int, after: int) -> _Link:
    rows, columns, values = entries
    n_out, n = shape
    forward, backward = make_rows(rows, columns, values, n_out), make_rows(columns, rows, values, n)
    return _Link(upload_rows(forward), upload_rows(backward), before, n, n_out, after)
