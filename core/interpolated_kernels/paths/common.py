"""What all paths share: a cost and its parts, and padding with its transpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.geometry import Pairs, Problem, padded_index
from interpolated_kernels.machine import Machine


@dataclass(frozen=True)
class Cost:
    """A prediction: seconds of one sample on one thread, bytes beside inputs and outputs, and the error's bound."""

    seconds: float
    extra_bytes: int
    error: str


def three(values: Sequence[int], fill: int) -> tuple[int, int, int]:
    """Return one entry each for planes, rows and columns, with `fill` for axes that are not there."""
    planes, rows, columns = (fill,) * (3 - len(values)) + tuple(values)
    return planes, rows, columns


def padding_of_three(problem: Problem) -> Pairs:
    """Return the padding of planes, rows and columns, none on axes that are not there."""
    return ((0, 0),) * (3 - len(problem.padding)) + problem.padding


def tap_rate(problem: Problem, machine: Machine, shares_inputs: bool = True) -> float:
    """Return the multiply-adds of taps a second: tiles of four filters load least for what they multiply."""
    outs = problem.filters_per_group
    share = 0.8 if outs >= 4 else (0.65 if outs > 1 or shares_inputs else 0.42)
    return share * machine.multiply_adds_per_second * 4 / np.dtype(problem.dtype).itemsize


def traffic(problem: Problem, machine: Machine) -> float:
    """Return the seconds that writing y takes, on memory that the system has to clear first."""
    outputs = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64))
    return 2 * outputs * np.dtype(problem.dtype).itemsize / machine.bytes_per_second


def n_kernels(problem: Problem) -> int:
    """Return how many kernels the bank has: one a filter, and a channel where these have weights of their own."""
    return problem.filters * (problem.channels_per_group if problem.kernel.channel_mode == "separate" else 1)


def no_parts(problem: Problem) -> tuple[Problem, ...]:
    """Return (): a path that computes everything itself."""
    return ()


def n_taps(problem: Problem) -> int:
    """Return the multiply-adds of one sample's forward pass, every cell of the support being a tap."""
    per_output = float(problem.support.sum()) * problem.filters / len(problem.support)
    per_output *= problem.channels_per_group / problem.support.shape[1]
    return int(per_output * float(np.prod(problem.out_spatial, dtype=np.float64)))


def pad(x: FloatArray, problem: Problem) -> FloatArray:
    """Return `(batch, channels, *spatial)` with the problem's padding, in x's dtype."""
    for axis, ((before, after), size) in enumerate(zip(problem.padding, problem.spatial, strict=True)):
        if before or after:
            index = padded_index(size, before, after, problem.padding_mode)
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
    for first, last, step in _runs(index):
        part = grad[_along(axis, slice(first, last))]
        if step == 0:
            folded[_along(axis, slice(index[first], index[first] + 1))] += part.sum(axis=axis, keepdims=True)
        else:
            folded[_along(axis, _shown(index, first, last, step))] += part
    return folded


def add_folded(out: FloatArray, grad: FloatArray, axis: int, index: IntArray) -> None:
    """Add padded cells along an axis to the cells `index` that they show, one after another; -1 shows none.

    So bits do not depend on where a band begins.
    """
    for first, last, step in _runs(index):
        if step == 0:
            for cell in range(first, last):
                out[_along(axis, slice(index[first], index[first] + 1))] += grad[_along(axis, slice(cell, cell + 1))]
        else:
            out[_along(axis, _shown(index, first, last, step))] += grad[_along(axis, slice(first, last))]


def _runs(index: IntArray) -> Iterator[tuple[int, int, int]]:
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


def _shown(index: IntArray, first: int, last: int, step: int) -> slice:
    """Return the cells that a run shows; backward, down to the first cell of all."""
    end = int(index[last - 1]) + step
    return slice(int(index[first]), None if end < 0 else end, step)


def _along(axis: int, cells: slice) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, cells)


def room_of(problem: Problem, default: int, taken: int) -> int:
    """Return the bytes that a path may use: the default, or what `max_memory` leaves beside what is taken already."""
    return default if problem.max_memory is None else min(default, max(0, problem.max_memory - taken))
