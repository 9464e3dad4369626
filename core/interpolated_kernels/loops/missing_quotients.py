"""Missing cells: x as its values and a mask of them, and quotients of the sums over both.

Arrays have the axes `(images, lines, values)`: an image is a filter or a group of a sample, a line one number along the
first spatial axis, the values are all other axes together. A task is a block of lines of one image.

Sums come in pairs, numerators first. An output whose sums are settled, computed anew for want of digits, holds its
quotient in the place of the numerator and its denominator, negated, in the other; 0 where nothing is there to weigh.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import prange

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch

_VALUES_OF_TASK = 8192
_LEAST_VALUES = 65536
"""Fewer values than these are not worth a launch of threads."""


class Windows(NamedTuple):
    """How windows move over planes, rows and columns: the cell that each padded cell shows or -1, and the steps."""

    planes: npt.NDArray[Any]
    rows: npt.NDArray[Any]
    columns: npt.NDArray[Any]
    strides: npt.NDArray[Any]
    dilations: npt.NDArray[Any]


@jit(inner=True)
def _find_block(task, lines, values):
    """Return image, first line and end of a task, and how many lines a block has."""
    step = max(1, _VALUES_OF_TASK // max(values, 1))
    blocks = (lines + step - 1) // step
    first = task % blocks * step
    return task // blocks, first, min(first + step, lines)


def _count_tasks(images: int, lines: int, values: int) -> int:
    step = max(1, _VALUES_OF_TASK // max(values, 1))
    return images * ((lines + step - 1) // step)


def split_missing(x: Any, index: Any, pair: Any) -> None:
    """Write the values of x that are there, summed over channels, and how many channels have one.

    Parameters
    ----------
    x : (images, channels, lines of x, values) array
    index : int array
        The line of x that each line of the pair shows; -1 for none.
    pair : (2, images, lines, values) array
    """
    n_tasks = _count_tasks(*pair.shape[1:])
    launch(_split_parallel, _split_serial, pair.size >= _LEAST_VALUES, x, index, n_tasks, pair)


@jit(inner=True)
def _split_task(x, index, pair, task):
    image, first, end = _find_block(task, pair.shape[2], pair.shape[3])
    for line in range(first, end):
        values, mask = pair[0, image, line], pair[1, image, line]
        if index[line] < 0:
            values[:] = 0
            mask[:] = 0
            continue
        _write_line(x[image, 0, index[line]], values, mask)
        for channel in range(1, x.shape[1]):
            _add_line(x[image, channel, index[line]], values, mask)


@jit(inner=True)
def _write_line(line, values, mask):
    zero, one = values.dtype.type(0), values.dtype.type(1)
    for j in range(line.size):
        is_there = line[j] == line[j]
        values[j] = line[j] if is_there else zero
        mask[j] = one if is_there else zero


@jit(inner=True)
def _add_line(line, values, mask):
    zero, one = values.dtype.type(0), values.dtype.type(1)
    for j in range(line.size):
        is_there = line[j] == line[j]
        values[j] += line[j] if is_there else zero
        mask[j] += one if is_there else zero


@jit
def _split_serial(x, index, n_tasks, pair):
    for task in range(n_tasks):
        _split_task(x, index, pair, task)


@jit(parallel=True)
def _split_parallel(x, index, n_tasks, pair):
    for task in prange(n_tasks):
        _split_task(x, index, pair, np.int64(task))


def divide_sums(sums: Any, totals: Any, first: int, y: Any) -> None:
    """Write `numerator * (total / denominator)` into y, each rounded once; a settled output is there already.

    Parameters
    ----------
    sums : (2, images, lines, values) array
    totals : (filters,) array of float64
    first : int
        The line of y where the sums begin.
    y : (images, lines of y, values) array
    """
    n_tasks = _count_tasks(*sums.shape[1:])
    launch(_divide_parallel, _divide_serial, sums.size >= _LEAST_VALUES, sums, totals, first, n_tasks, y)


@jit(inner=True)
def _divide_task(sums, totals, first_line, y, task):
    image, first, end = _find_block(task, sums.shape[2], sums.shape[3])
    total = totals[image % len(totals)]
    for line in range(first, end):
        for j in range(sums.shape[3]):
            numerator, denominator = np.float64(sums[0, image, line, j]), np.float64(sums[1, image, line, j])
            quotient = numerator * (total / denominator)
            y[image, first_line + line, j] = quotient if denominator > 0 else numerator


@jit
def _divide_serial(sums, totals, first, n_tasks, y):
    for task in range(n_tasks):
        _divide_task(sums, totals, first, y, task)


@jit(parallel=True)
def _divide_parallel(sums, totals, first, n_tasks, y):
    for task in prange(n_tasks):
        _divide_task(sums, totals, first, y, np.int64(task))


def settle_sums(pair: Any, counts: Any, dense: Any, limits: Any, totals: Any, windows: Windows, sums: Any) -> None:
    """Settle the outputs whose denominator is below its filter's limit, over the dense kernels' cells in float64.

    Parameters
    ----------
    pair : (2, samples, channels, planes, rows, columns) array
        Values and mask, as `split_missing` writes them.
    counts : (samples, groups, planes, rows, columns) int array, of outputs
        0 where no cell below the window is there.
    dense : (filters, channels of a group, planes, rows, columns) array of float64
    limits, totals : (filters,) array of float64
    windows : Windows
    sums : (2, samples, filters, planes, rows, columns) array, of outputs
    """
    n_tasks = int(np.prod(sums.shape[1:5]))
    arguments = (pair, counts, dense, limits, totals, windows, n_tasks, sums)
    launch(_settle_parallel, _settle_serial, sums.size >= _LEAST_VALUES, *arguments)


@jit(inner=True)
def _settle_row(pair, counts, dense, limits, totals, windows, sums, task):
    _, _, filters, planes, rows, columns = sums.shape
    row, plane = task % rows, task // rows % planes
    f, sample = task // (rows * planes) % filters, task // (rows * planes * filters)
    group = f // (filters // counts.shape[1])
    for column in range(columns):
        at = (sample, f, plane, row, column)
        if sums[(1, *at)] >= limits[f]:
            continue
        numerator, denominator, is_met = np.float64(sums[(0, *at)]), 0.0, False
        if counts[sample, group, plane, row, column] > 0:
            found, denominator, is_met = _sum_window(pair[:, sample], dense[f], group, windows, (plane, row, column))
            if np.isfinite(numerator):
                numerator = found * (totals[f] / denominator)
        sums[(0, *at)] = numerator if is_met else np.nan
        sums[(1, *at)] = -abs(denominator) if is_met else 0.0


@jit(inner=True)
def _sum_window(pair, dense, group, windows, output):
    """Return the sums of values and mask over one window, and whether a positive cell of the kernel meets a value."""
    numerator, denominator, is_met = 0.0, 0.0, False
    channels, planes, rows, columns = dense.shape
    for p in range(planes):
        plane = windows.planes[output[0] * windows.strides[0] + p * windows.dilations[0]]
        for r in range(rows):
            row = windows.rows[output[1] * windows.strides[1] + r * windows.dilations[1]]
            if plane < 0 or row < 0:
                continue
            for c in range(columns):
                column = windows.columns[output[2] * windows.strides[2] + c * windows.dilations[2]]
                if column < 0:
                    continue
                for channel in range(channels):
                    weight = dense[channel, p, r, c]
                    count = np.float64(pair[1, group * channels + channel, plane, row, column])
                    if weight != 0 and count > 0:
                        numerator += weight * np.float64(pair[0, group * channels + channel, plane, row, column])
                        denominator += weight * count
                        is_met = is_met or weight > 0
    return numerator, denominator, is_met


@jit
def _settle_serial(pair, counts, dense, limits, totals, windows, n_tasks, sums):
    for task in range(n_tasks):
        _settle_row(pair, counts, dense, limits, totals, windows, sums, task)


@jit(parallel=True)
def _settle_parallel(pair, counts, dense, limits, totals, windows, n_tasks, sums):
    for task in prange(n_tasks):
        _settle_row(pair, counts, dense, limits, totals, windows, sums, np.int64(task))


def differentiate_quotients(grad_y: Any, sums: Any, totals: Any, first: int, grads: Any, by_total: Any) -> None:
    """Write the gradients by numerators and denominators, and add that by each line's total; none where y is NaN.

    Parameters
    ----------
    grad_y : (images, lines of y, values) array
    sums : (2, images, lines, values) array
    totals : (filters,) array of float64
    first : int
        The line of y where the sums begin.
    grads : (2, images, lines, values) array
    by_total : (images, lines) array of float64
    """
    n_tasks = _count_tasks(*sums.shape[1:])
    arguments = (grad_y, sums, totals, first, n_tasks, grads, by_total)
    launch(_differentiate_parallel, _differentiate_serial, sums.size >= _LEAST_VALUES, *arguments)


@jit(inner=True)
def _differentiate_task(grad_y, sums, totals, first_line, grads, by_total, task):
    image, first, end = _find_block(task, sums.shape[2], sums.shape[3])
    for line in range(first, end):
        by_total[image, line] = _differentiate_line(
            grad_y[image, first_line + line], sums[0, image, line], sums[1, image, line], totals[image % len(totals)],
            grads[0, image, line], grads[1, image, line],
        )  # fmt: skip


@jit(inner=True, reassociates=True)
def _differentiate_line(grad_y, numerators, denominators, total, by_numerators, by_denominators):
    """Write the gradients of a line, and return that by the total."""
    whole = 0.0
    for j in range(grad_y.size):
        grad, denominator = np.float64(grad_y[j]), np.float64(denominators[j])
        # a mean of what is there; where it is settled the numerator is the quotient already
        mean = np.float64(numerators[j]) / (denominator if denominator > 0 else total)
        by_numerator = grad * (total / abs(denominator))
        is_there = denominator != 0
        by_numerators[j] = by_numerator if is_there else 0.0
        by_denominators[j] = -by_numerator * mean if is_there else 0.0
        whole += grad * mean if is_there else 0.0
    return whole


@jit
def _differentiate_serial(grad_y, sums, totals, first, n_tasks, grads, by_total):
    for task in range(n_tasks):
        _differentiate_task(grad_y, sums, totals, first, grads, by_total, task)


@jit(parallel=True)
def _differentiate_parallel(grad_y, sums, totals, first, n_tasks, grads, by_total):
    for task in prange(n_tasks):
        _differentiate_task(grad_y, sums, totals, first, grads, by_total, np.int64(task))


@jit
def clear_missing(x, grad):
    """Write 0 into the gradient of every value of x, flat, that is NaN."""
    for i in range(x.size):
        if x[i] != x[i]:
            grad[i] = 0
