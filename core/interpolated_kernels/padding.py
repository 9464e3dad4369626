"""Padding as a table, the cell of x that every padded cell shows, and what is made by it: padded arrays, transposes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.problem import Problem

_NUMPY_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}


def padded_index(size: int, before: int, after: int, mode: str) -> IntArray:
    """Return, for every cell of a padded axis, the cell of x that it shows; -1 where it is a padding zero."""
    index = np.arange(-before, size + after)
    if mode == "zeros":
        return np.where((index < 0) | (index >= size), -1, index)
    return np.pad(np.arange(size), (before, after), mode=_NUMPY_PAD_MODES[mode])  # type: ignore[call-overload]


def index_axis(problem: Problem, axis: int) -> IntArray:
    """Return `padded_index` of a problem's spatial axis."""
    return padded_index(problem.spatial[axis], *problem.padding[axis], problem.padding_mode)


def pad(x: FloatArray, problem: Problem) -> FloatArray:
    """Return `(batch, channels, *spatial)` with the problem's padding, in x's dtype."""
    for axis, pair in enumerate(problem.padding):
        if any(pair):
            index = index_axis(problem, axis)
            x = np.take(x, np.maximum(index, 0), axis=axis + 2)
            x[(slice(None),) * (axis + 2) + (index < 0,)] = 0
    return x


def pad_transpose(grad: FloatArray, problem: Problem) -> FloatArray:
    """Return the transpose of `pad`: every padded cell's gradient, added in order to the cell that it showed."""
    for axis, (pair, size) in enumerate(zip(problem.padding, problem.spatial, strict=True)):
        grad = fold_axis(grad, axis + 2, size, *pair, problem.padding_mode)
    return grad


def fold_axis(grad: FloatArray, axis: int, size: int, before: int, after: int, mode: str) -> FloatArray:
    """Return the transpose of padding along one axis; padded cells that are not there have no gradient."""
    if not (before or after) and grad.shape[axis] == size:
        return grad
    shape = list(grad.shape)
    shape[axis] = size
    folded = np.zeros(shape, grad.dtype)
    index = padded_index(size, before, after, mode)[: grad.shape[axis]]
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
    while first < len(index):
        step = int(steps[first]) if first < len(steps) else 1
        alike = np.flatnonzero(steps[first:] != step)
        last = first + 1 + (int(alike[0]) if alike.size else len(steps) - first)
        if index[first] < 0 or index[last - 1] < 0 or step not in (-1, 0, 1):
            last, step = first + 1, 1
        if index[first] >= 0:
            yield first, last, step
        first = last


def _slice_shown(index: IntArray, first: int, last: int, step: int) -> slice:
    """Return the cells that a run shows; backward, down to the first cell of all."""
    end = int(index[last - 1]) + step
    return slice(int(index[first]), None if end < 0 else end, step)


def _cut(axis: int, cells: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, cells)
