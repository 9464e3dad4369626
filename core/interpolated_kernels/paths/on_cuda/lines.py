"""The sparse matrix of an axis, from x's cells to the lines of its maps."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.paths.axes import Axis


def find_lines(axis: Axis, shown: IntArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the entries of an axis' matrix as line, cell and value, by line and then in the order of the coefficients.

    `shown` is the cell that each padded one shows, -1 for none.
    """
    lines = axis.find_forward_lines(axis.out)
    rows, cells, values = [], [], []
    for each, low, count, first in zip(axis.maps, lines.lows, lines.counts, lines.place_maps(), strict=False):
        reads = (low + np.arange(count))[:, None] * axis.stride + each.reads[None, :]
        inside = (reads >= 0) & (reads < len(shown))
        at = np.where(inside, shown[np.clip(reads, 0, len(shown) - 1)], -1)
        line, coefficient = np.nonzero(at >= 0)
        rows.append(first + line)
        cells.append(at[line, coefficient])
        values.append(each.coefficients[coefficient])
    return np.concatenate(rows), np.concatenate(cells), np.concatenate(values)
