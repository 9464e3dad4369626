"""Splines of a radial function: their kernels, the transpose, and the gradient by positions, in float64.

A kernel's cell is `sum over anchors of coefficient * phi(s)`, `s` the squared distance; `slope` is twice phi's
derivative by s. Points are `(3, k)` coordinates, 0 on axes that are not there. A task is a run of cells. Where runs
give to the same anchors, each has sums of its own, added in order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch

_CELLS_OF_TASK = 128
_MOST_SUMS = 32
_FEWEST_ENTRIES = 2**15
_FLOOR = 1e-10
"""The least squared distance, of `Polyharmonic`."""


class Family(NamedTuple):
    """The launches of one radial function."""

    fill: Any
    gather: Any
    move: Any


@jit(inner=True)
def _value_1(s):
    return math.sqrt(max(s, _FLOOR))


@jit(inner=True)
def _slope_1(s):
    return 1.0 / math.sqrt(s) if s >= _FLOOR else 0.0


@jit(inner=True)
def _value_2(s):
    return s * math.log(max(s, _FLOOR)) / 2


@jit(inner=True)
def _slope_2(s):
    return math.log(max(s, _FLOOR)) + (1.0 if s >= _FLOOR else 0.0)


@jit(inner=True)
def _value_3(s):
    floored = max(s, _FLOOR)
    return floored * math.sqrt(floored)


@jit(inner=True)
def _slope_3(s):
    return 3.0 * math.sqrt(s) if s >= _FLOOR else 0.0


@jit(inner=True)
def _value_4(s):
    return s * s * math.log(max(s, _FLOOR)) / 2


@jit(inner=True)
def _slope_4(s):
    return s * (2 * math.log(max(s, _FLOOR)) + (1.0 if s >= _FLOOR else 0.0))


@jit(inner=True)
def _squared(points, k, centres, n):
    planes, rows, columns = points[0, k] - centres[0, n], points[1, k] - centres[1, n], points[2, k] - centres[2, n]
    return planes * planes + rows * rows + columns * columns


@jit(inner=True)
def _count_tasks(cells):
    return (cells.shape[1] + _CELLS_OF_TASK - 1) // _CELLS_OF_TASK


def _make_fill(value):
    """Return the launch that writes kernels from coefficients."""

    @jit(inner=True)
    def fill_cells(coefficients, cells, positions, filled, sizes, task):
        first, last = task * _CELLS_OF_TASK, min((task + 1) * _CELLS_OF_TASK, cells.shape[1])
        for anchor in range(positions.shape[1]):
            for kernel in range(coefficients.shape[0]):
                coefficient = coefficients[kernel, anchor]
                size = abs(coefficient)
                for cell in range(first, last):
                    phi = value(_squared(cells, cell, positions, anchor))
                    filled[kernel, cell] += coefficient * phi
                    sizes[kernel, cell] += size * abs(phi)

    @jit
    def fill_serial(coefficients, cells, positions, filled, sizes):
        for task in range(_count_tasks(cells)):
            fill_cells(coefficients, cells, positions, filled, sizes, task)

    @jit(parallel=True)
    def fill_parallel(coefficients, cells, positions, filled, sizes):
        for task in prange(_count_tasks(cells)):
            fill_cells(coefficients, cells, positions, filled, sizes, np.int64(task))

    def fill(coefficients: Any, cells: Any, positions: Any) -> tuple[Any, Any]:
        """Return the kernels `(kernels, cells)` of coefficients `(kernels, n)`, and their sums of absolute values."""
        filled, sizes = np.zeros((2, len(coefficients), cells.shape[1]))
        is_worth_it = cells.shape[1] * coefficients.size > _FEWEST_ENTRIES
        launch(fill_parallel, fill_serial, is_worth_it, coefficients, cells, positions, filled, sizes)
        return filled, sizes

    return fill


def _make_gather(value):
    """Return the launch of the transpose."""

    @jit(inner=True)
    def gather_cells(grad, cells, positions, gathered, sizes, task):
        n_tasks = gathered.shape[0]
        first, last = task * cells.shape[1] // n_tasks, (task + 1) * cells.shape[1] // n_tasks
        for cell in range(first, last):
            for kernel in range(grad.shape[0]):
                pull = grad[kernel, cell]
                size = abs(pull)
                for anchor in range(positions.shape[1]):
                    phi = value(_squared(cells, cell, positions, anchor))
                    gathered[task, kernel, anchor] += pull * phi
                    sizes[task, kernel, anchor] += size * abs(phi)

    @jit
    def gather_serial(grad, cells, positions, gathered, sizes):
        for task in range(gathered.shape[0]):
            gather_cells(grad, cells, positions, gathered, sizes, task)

    @jit(parallel=True)
    def gather_parallel(grad, cells, positions, gathered, sizes):
        for task in prange(gathered.shape[0]):
            gather_cells(grad, cells, positions, gathered, sizes, np.int64(task))

    def gather(grad: Any, cells: Any, positions: Any) -> tuple[Any, Any]:
        """Return the transpose for gradients `(kernels, cells)`, `(kernels, n)`, and its sums of absolute values."""
        shape = (_count_sums(cells), len(grad), positions.shape[1])
        gathered, sizes = np.zeros(shape), np.zeros(shape)
        is_worth_it = grad.size * positions.shape[1] > _FEWEST_ENTRIES
        launch(gather_parallel, gather_serial, is_worth_it, grad, cells, positions, gathered, sizes)
        return gathered.sum(axis=0), sizes.sum(axis=0)

    return gather


def _make_move(slope):
    """Return the launch of the gradient by positions."""

    @jit(inner=True)
    def move_cells(grad, coefficients, cells, positions, moved, task):
        n_tasks, pull = moved.shape[0], moved[task, 3]
        first, last = task * cells.shape[1] // n_tasks, (task + 1) * cells.shape[1] // n_tasks
        for cell in range(first, last):
            for anchor in range(positions.shape[1]):
                pull[anchor] = 0.0
            for kernel in range(grad.shape[0]):
                value = grad[kernel, cell]
                for anchor in range(positions.shape[1]):
                    pull[anchor] += value * coefficients[kernel, anchor]
            for anchor in range(positions.shape[1]):
                pull[anchor] *= slope(_squared(cells, cell, positions, anchor))
            for axis in range(3):
                for anchor in range(positions.shape[1]):
                    moved[task, axis, anchor] += pull[anchor] * (positions[axis, anchor] - cells[axis, cell])

    @jit
    def move_serial(grad, coefficients, cells, positions, moved):
        for task in range(moved.shape[0]):
            move_cells(grad, coefficients, cells, positions, moved, task)

    @jit(parallel=True)
    def move_parallel(grad, coefficients, cells, positions, moved):
        for task in prange(moved.shape[0]):
            move_cells(grad, coefficients, cells, positions, moved, np.int64(task))

    def move(grad: Any, coefficients: Any, cells: Any, positions: Any) -> Any:
        """Return the gradient by positions `(3, n)`, coefficients held, for gradients `(kernels, cells)`."""
        moved = np.zeros((_count_sums(cells), 4, positions.shape[1]))  # three axes, and a row of scratch memory
        is_worth_it = grad.size * positions.shape[1] > _FEWEST_ENTRIES
        launch(move_parallel, move_serial, is_worth_it, grad, coefficients, cells, positions, moved)
        return moved[:, :3].sum(axis=0)

    return move


def _count_sums(cells: Any) -> int:
    """Return how many runs of cells have sums of their own."""
    return max(1, min(_MOST_SUMS, cells.shape[1] // _CELLS_OF_TASK))


_RADIAL = {
    "polyharmonic 1": (_value_1, _slope_1),
    "polyharmonic 2": (_value_2, _slope_2),
    "polyharmonic 3": (_value_3, _slope_3),
    "polyharmonic 4": (_value_4, _slope_4),
}

SPLINES = {
    name: Family(fill=_make_fill(value), gather=_make_gather(value), move=_make_move(slope))
    for name, (value, slope) in _RADIAL.items()
}
