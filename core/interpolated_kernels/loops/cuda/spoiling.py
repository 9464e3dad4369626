"""What is not finite, marked: kernels that a weight spoils, and the cells that these reach."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from interpolated_kernels.loops.cuda.compile import THREADS, count_blocks, cuda, jit, launch
from interpolated_kernels.loops.cuda.copies import fill
from interpolated_kernels.loops.cuda.memory import empty, flatten


def flag_rows(rows: Any) -> tuple[Any, Any]:
    """Return rows `(n, k)` with 0 in those that have a value which is not finite, and flags of these, 1 or 0."""
    flags, clean = empty((rows.shape[0],), np.int32), empty(rows.shape, rows.dtype)
    launch(_flag_rows, (count_blocks(rows.shape[0], THREADS),), rows, flags)
    launch(_clean_rows, (count_blocks(rows.size, THREADS),), rows, flags, clean)
    return clean, flags


def sum_flags(flags: Any, groups: int, n: int) -> Any:
    """Return, for each of `groups`, the sums over n of flags `(groups, n, m)` in one row, `(groups, m)` in one row."""
    m = flags.size // (groups * n)
    sums = empty((groups * m,), np.int32)
    launch(_sum_flags, (count_blocks(groups * m, THREADS),), flags, n, m, sums)
    return sums


def spoil_rows(flags: Any, rows: Any) -> None:
    """Write NaN in those rows `(images, n, k)` that are flagged, by one flag or several in a row."""
    launch(_spoil_rows, (count_blocks(rows.shape[2], THREADS), rows.shape[1], rows.shape[0]), flags, rows)


def split_finite(values: Any) -> tuple[Any, Any, Any]:
    """Return values with 0 for those that are not finite, 1 for these and 0 for others, and 1 if there are any."""
    finite, others, any_other = (
        empty(values.shape, values.dtype),
        empty(values.shape, values.dtype),
        empty((1,), np.int32),
    )
    fill(any_other, 0)
    launch(_split_finite, (count_blocks(values.size, THREADS),), values, finite, others, any_other)
    return finite, others, any_other


def clear_unreached(support: Any, cells: Any) -> None:
    """Write 0 in cells that no anchor reaches: rows of cells in one row, supports `(sets, cells)`."""
    launch(_clear_unreached, (count_blocks(cells.size, THREADS),), support, cells)


def spoil_reached(flags: Any, reached: tuple[Any, Any, Any], grad: Any) -> None:
    """Write NaN in the cells that are reached along all axes, of flagged channels of `(images, channels, *spatial)`.

    A flag may stand for several channels in a row.
    """
    _, channels, planes, rows, columns = grad.shape
    launch(_spoil_reached, (count_blocks(planes * rows * columns, THREADS), channels), flags, *reached, grad)


def spoil_where(enabled: Any, reached: Any, grad: Any) -> None:
    """Write NaN in every image `(images, *shape)` where `reached` is above 0; nothing where `enabled` holds 0."""
    images = grad.reshape(grad.shape[0], reached.size)
    launch(_spoil_where, (count_blocks(reached.size, THREADS),), enabled, flatten(reached), images)


@jit
def _flag_rows(rows, flags):
    for row in range(cuda.grid(1), rows.shape[0], cuda.gridsize(1)):
        flag = 0
        for at in range(rows.shape[1]):
            if not math.isfinite(rows[row, at]):
                flag = 1
        flags[row] = flag


@jit
def _clean_rows(rows, flags, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        row, column = at // out.shape[1], at % out.shape[1]
        out[row, column] = rows[row, column] if flags[row] == 0 else 0


@jit
def _sum_flags(flags, n, m, sums):
    for at in range(cuda.grid(1), sums.size, cuda.gridsize(1)):
        total = 0
        for i in range(n):
            total += flags[(at // m * n + i) * m + at % m]
        sums[at] = total


@jit
def _clear_unreached(support, cells):
    sets, n_cells = support.shape
    rows = cells.size // (sets * n_cells)  # of a set
    for at in range(cuda.grid(1), cells.size, cuda.gridsize(1)):
        if support[at // n_cells // rows, at % n_cells] == 0:
            cells[at] = 0


@jit
def _spoil_rows(flags, rows):
    for image in range(cuda.blockIdx.z, rows.shape[0], cuda.gridDim.z):
        for row in range(cuda.blockIdx.y, rows.shape[1], cuda.gridDim.y):
            n, flag = flags.size // rows.shape[1], 0
            for i in range(row * n, (row + 1) * n):
                flag |= flags[i]
            if flag != 0:
                for at in range(cuda.grid(1), rows.shape[2], cuda.gridsize(1)):
                    rows[image, row, at] = math.nan


@jit
def _split_finite(values, finite, others, any_other):
    for at in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        is_finite = math.isfinite(values[at])
        if not is_finite:
            any_other[0] = 1  # whichever thread comes last, it writes 1
        finite[at] = values[at] if is_finite else 0
        others[at] = 0 if is_finite else 1


@jit
def _spoil_reached(flags, planes, rows, columns, grad):
    n = len(planes) * len(rows) * len(columns)
    for channel in range(cuda.blockIdx.y, grad.shape[1], cuda.gridDim.y):
        if flags[channel * flags.size // grad.shape[1]] == 0:
            continue
        for at in range(cuda.grid(1), n, cuda.gridsize(1)):
            column, line = at % len(columns), at // len(columns)
            plane, row = line // len(rows), line % len(rows)
            if planes[plane] and rows[row] and columns[column]:
                for image in range(grad.shape[0]):
                    grad[image, channel, plane, row, column] = math.nan


@jit
def _spoil_where(enabled, reached, grad):
    if enabled[0] == 0:
        return
    for at in range(cuda.grid(1), reached.size, cuda.gridsize(1)):
        if reached[at] > 0:
            for image in range(grad.shape[0]):
                grad[image, at] = math.nan
