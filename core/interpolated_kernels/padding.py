"""Padding as a table, the cell of x that every padded cell shows, and what is made by it: padded arrays, transposes.

Padding may be wider than the array: it goes on wrapping or mirroring, as `numpy.pad`. Five cells around three::

                    before       x       after
    zeros         . . . . . |  0 1 2  | . . . . .
    replicate     0 0 0 0 0 |  0 1 2  | 2 2 2 2 2
    circular      1 2 0 1 2 |  0 1 2  | 0 1 2 0 1
    reflect       1 0 1 2 1 |  0 1 2  | 1 0 1 2 1
    symmetric     1 2 2 1 0 |  0 1 2  | 2 1 0 0 1

Each spatial axis has a mode of its own, and axes follow one another: a corner shows what both tables say.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.problem import Problem

_SHOWN: dict[str, Callable[[Any, Any], Any]] = {
    "replicate": lambda place, size: (abs(place) - abs(place - size + 1) + size - 1) // 2,
    "circular": lambda place, size: place % size,
    # 1 // size: a single cell, which mirrors itself, has the period 1
    "reflect": lambda place, size: size - 1 - abs(place % (2 * size - 2 + 1 // size) - size + 1),
    "symmetric": lambda place, size: (2 * size - 1 - abs(place % (2 * size) * 2 - 2 * size + 1)) // 2,
}


def show_cells(places: Any, size: Any, mode: str) -> Any:
    """Return the cells of an axis of `size` that padded places show, by operators alone: for any framework's integers.

    Place 0 is the axis' first cell. `mode` is any but zeros, whose padding shows no cell.
    """
    return _SHOWN[mode](places, size)


def index_axis(problem: Problem, axis: int, outputs: range | None = None) -> IntArray:
    """Return, for every padded cell of a spatial axis, the cell of x that it shows; -1 where it is a padding zero.

    Only of the padded cells that some outputs see, where these are named: neighbours along the axis.
    """
    size, (before, _) = problem.spatial[axis], problem.padding[axis]
    first, end = 0, problem.padded[axis]
    if outputs is not None:
        step = problem.stride[axis]
        first, end = outputs.start * step, (outputs.stop - 1) * step + problem.extent[axis]
    places = np.arange(first - before, end - before)
    if problem.folds[axis]:
        shown: IntArray = show_cells(places, size, problem.padding_modes[axis])
        return shown
    return np.where((places < 0) | (places >= size), -1, places)


def pad(x: FloatArray, problem: Problem) -> FloatArray:
    """Return `(batch, channels, *spatial)` with the problem's padding, in x's dtype."""
    for axis, pair in enumerate(problem.padding):
        if any(pair):
            x = pad_axis(x, axis + 2, index_axis(problem, axis))
    return x


def pad_axis(x: FloatArray, axis: int, index: IntArray) -> FloatArray:
    """Return the cells `index` of an axis, zeros for -1: all of them where the axis is empty."""
    if x.shape[axis] == 0:
        return np.zeros((*x.shape[:axis], len(index), *x.shape[axis + 1 :]), x.dtype)
    padded: FloatArray = np.take(x, np.maximum(index, 0), axis=axis)
    padded[_cut(axis, index < 0)] = 0
    return padded


def pad_transpose(grad: FloatArray, problem: Problem) -> FloatArray:
    """Return the transpose of `pad`: every padded cell's gradient, added in order to the cell that it showed."""
    return fold_regions(grad[(slice(None), slice(None), *(slice(*region) for region in problem.regions))], problem)


def fold_regions(grad: FloatArray, problem: Problem) -> FloatArray:
    """Return `pad_transpose` of the gradients by the padded cells of `problem.regions`, which are all that it reads."""
    for axis, (size, region) in enumerate(zip(problem.spatial, problem.regions, strict=True)):
        grad = fold_axis(grad, axis + 2, index_axis(problem, axis)[slice(*region)], size)
    return grad


def fold_axis(grad: FloatArray, axis: int, index: IntArray, size: int) -> FloatArray:
    """Return an axis of `size` cells, each the sum of the padded cells that show it, by `index`; -1 shows none."""
    if np.array_equal(index, np.arange(size)):
        return grad
    shape = list(grad.shape)
    shape[axis] = size
    folded = np.zeros(shape, grad.dtype)
    for first, last, step in _find_runs(index):
        part = grad[_cut(axis, slice(first, last))]
        if step == 0:
            folded[_cut(axis, slice(index[first], index[first] + 1))] += part.sum(axis=axis, keepdims=True)
        else:
            folded[_cut(axis, _slice_shown(index, first, last, step))] += part
    return folded


def add_folded(out: FloatArray, grad: FloatArray, axis: int, index: IntArray) -> None:
    """Add padded cells along an axis to the cells `index` that they show, one after another; -1 shows none.

    So bits do not depend on where a band begins.
    """
    for first, last, step in _find_runs(index):
        if step == 0:
            for cell in range(first, last):
                out[_cut(axis, slice(index[first], index[first] + 1))] += grad[_cut(axis, slice(cell, cell + 1))]
        else:
            out[_cut(axis, _slice_shown(index, first, last, step))] += grad[_cut(axis, slice(first, last))]


def _find_runs(index: IntArray) -> Iterator[tuple[int, int, int]]:
    """Yield first, end and step of runs of neighbours that show cells one step apart: forward, backward or one cell."""
    steps, first = np.diff(index), 0
    ends = [*(np.flatnonzero(np.diff(steps)) + 2).tolist(), len(index)]  # a run ends where the step changes
    while first < len(index):
        step = int(steps[first]) if first < len(steps) else 1
        last = ends[bisect.bisect_right(ends, first + 1)] if first + 1 < len(index) else len(index)
        shows_none = index[first] < 0 or index[last - 1] < 0
        if step not in (-1, 0, 1) or (shows_none and step != 0):
            last, step = first + 1, 1
        if index[first] >= 0:
            yield first, last, step
        first = last


def _slice_shown(index: IntArray, first: int, last: int, step: int) -> slice:
    """Return the cells that a run shows; backward, down to the first cell of all."""
    end = int(index[last - 1]) + step
    return slice(int(index[first]), None if end < 0 else end, step)


def _cut(axis: int, cells: slice | BoolArray) -> tuple[slice | BoolArray, ...]:
    return (*(slice(None),) * axis, cells)
