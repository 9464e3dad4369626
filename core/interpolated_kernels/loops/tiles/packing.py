"""Cells of padded arrays: what a row shows is packed into the workspace, phase after phase, and unpacked from there."""

from __future__ import annotations

from typing import NamedTuple

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Numbers
from interpolated_kernels.loops.tiles.copies import copy_spaced, copy_values


class AxisLines(NamedTuple):
    """The cells of a block's lines along one axis, counted from its first."""

    n_lines: int
    lines: Numbers


class PaddedAxis(NamedTuple):
    """One axis of a padded array: the cells of a block's lines, counted from its first, and what each cell shows.

    `shown[cell]` is the cell of the array, -1 for zero; cells from `low` to `high` show their own number less `low`.
    With zeros outside, all others are -1.
    """

    n_lines: int
    lines: Numbers
    n_cells: int
    shown: Numbers
    low: int
    high: int
    is_zero_outside: bool


class Cells(NamedTuple):
    """Cells `first, first + step, ...` of a row, so many."""

    first: int
    step: int
    n: int


@jit(inner=True)
def find_cell(axis, cell):
    """Return the cell of the array that a padded cell shows, or -1."""
    return axis.shown[cell] if 0 <= cell < axis.n_cells else -1


@jit(inner=True)
def find_inside(axis, cells):
    """Return the first of the cells that lies in the array, and the one after the last, as their numbers."""
    first, step, count = cells
    begin = max(0, min(count, (axis.low - first + step - 1) // step))
    return begin, max(begin, min(count, (axis.high - first + step - 1) // step))


@jit(inner=True)
def pack_cells(source, start, axis, cells, inside, work, at):
    """Copy cells of a padded row, of which those `inside` lie in the array, to `work[at:]`; zeros are left out.

    The array's row starts at `start`.
    """
    begin, end = inside
    cell = start + cells.first - axis.low
    copy_spaced(work, at + begin, source, cell + begin * cells.step, cells.step, end - begin)
    if not axis.is_zero_outside:
        _pack_edge(source, start, axis, cells, 0, begin, work, at)
        _pack_edge(source, start, axis, cells, end, cells.n, work, at)


@jit(inner=True)
def _pack_edge(source, start, axis, cells, low, high, work, at):
    for index in range(low, high):
        cell = cells.first + index * cells.step
        # As `find_cell`: a call for every cell made depthwise kernels half as slow again.
        shown = axis.shown[cell] if 0 <= cell < axis.n_cells else -1
        work[at + index] = source[start + shown] if shown >= 0 else 0


@jit(inner=True)
def unpack_cells(work, at, cells, target, start, size):
    """Copy `work[at:]` to cells of a row of `size` cells that starts at `start`; those beyond it are left out."""
    first, step, count = cells
    low = max(0, min(count, -(first // step)))
    high = max(low, min(count, (size - first + step - 1) // step))
    if step == 1:
        copy_values(target, start + first + low, work, at + low, high - low)
    else:
        for index in range(low, high):
            target[start + first + index * step] = work[at + index]
