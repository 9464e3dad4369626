"""Copies: of any strides and dtype, by an index, and into the middle of zeros."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.cuda.compile import THREADS, count_blocks, cuda, jit, launch
from interpolated_kernels.loops.cuda.memory import empty, find_device, flatten, is_laid_out, on_device, with_axes

_VALUES_OF_THREAD = 4
_AXES = 5


class Box(NamedTuple):
    """The shape of an array of images, and its place in a larger one: `before` cells of each axis come first."""

    planes: int
    rows: int
    columns: int
    planes_before: int
    rows_before: int
    columns_before: int


def lay_out(array: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return an array C-contiguous, in a dtype and a shape, on its own GPU: itself, where it is."""
    if array.dtype == dtype and is_laid_out(array):
        return array.reshape(*shape) if array.shape != shape else array
    with on_device(find_device(array)):
        out = empty(array.shape, dtype)
    copy_into(array, out)
    return out.reshape(*shape)


def copy_into(source: Any, out: Any) -> None:
    """Copy an array into one of the same shape and GPU, both of at most five axes and any strides, in its dtype."""
    with on_device(find_device(out)):
        launch(_copy, (_blocks(out.size),), with_axes(source, _AXES), with_axes(out, _AXES))


def convert(source: Any, out: Any) -> None:
    """Copy values in one row in out's dtype."""
    launch(_convert, (_blocks(out.size),), source, out)


def move_last(source: Any, n_last: int, out: Any) -> None:
    """Write rows `(k, cells * n_last)` with their last axis before the others, `(k, n_last, cells)`, in one row."""
    launch(_move_axis, (_blocks(out.size),), flatten(source), source.shape[1] // n_last, n_last, out)


def move_first(source: Any, n_first: int, n_rows: int, out: Any) -> None:
    """Write the transpose of `move_last`: `(k, n_first, cells)` as `(k, cells, n_first)`, in one row."""
    launch(_move_axis, (_blocks(out.size),), source, n_first, out.size // (n_rows * n_first), out)


def put_columns(source: Any, first: int, out: Any) -> None:
    """Write rows `(k, m)` into the columns of wider ones from `first` on."""
    launch(_put_columns, (_blocks(source.size),), source, first, out)


def take_columns(source: Any, first: int, n: int) -> Any:
    """Return n columns of rows from `first` on."""
    out = empty((source.shape[0], n), source.dtype)
    launch(_take_columns, (_blocks(out.size),), source, first, out)
    return out


def take(source: Any, index: Any, out: Any) -> None:
    """Write `source[index]` in out's dtype, and 0 where the index is -1."""
    launch(_take, (_blocks(out.size),), source, index, out)


def embed(source: Any, box: Box, out: Any) -> None:
    """Write images `(n, planes, rows, columns)` into larger ones, with zeros around."""
    launch(_embed, (_blocks(out.size),), source, box, tuple(out.shape), flatten(out))


def extend(images: Any, shape: tuple[int, ...]) -> Any:
    """Return `(n, channels, *spatial)` with zeros after each axis, in a shape; itself, where it has that."""
    if tuple(images.shape) == shape:
        return images
    out, n, lead = empty(shape, images.dtype), shape[0] * shape[1], (1,) * (5 - len(shape))
    planes, rows, columns = lead + tuple(images.shape[2:])
    box = Box(planes, rows, columns, planes_before=0, rows_before=0, columns_before=0)
    embed(images.reshape(n, planes, rows, columns), box, out.reshape(n, *lead, *shape[2:]))
    return out


def fill_inside(out: Any, box: Box, enabled: Any) -> None:
    """Write 1 where `embed` writes images, and 0 around; nothing where `enabled` is an array that holds 0."""
    launch(_fill_inside, (_blocks(out.size),), enabled, box, tuple(out.shape), flatten(out))


def add(left: Any, right: Any) -> Any:
    """Add `right` to `left`, in its place, and return that."""
    launch(_add, (_blocks(left.size),), flatten(right), flatten(left))
    return left


def add_rows(rows: Any, out: Any) -> None:
    """Write the sum of rows `(k, n)` in float64, added in their order, in one row."""
    launch(_add_rows, (_blocks(out.size),), rows, out)


def fill(out: Any, value: float) -> None:
    """Write a value everywhere."""
    launch(_fill, (_blocks(out.size),), out, out.dtype.type(value))


def _blocks(n: int) -> int:
    return count_blocks(n, THREADS * _VALUES_OF_THREAD)


@jit
def _copy(source, out):
    _, n1, n2, n3, n4 = out.shape
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        i4, rest = at % n4, at // n4
        i3, rest = rest % n3, rest // n3
        i2, rest = rest % n2, rest // n2
        i1, i0 = rest % n1, rest // n1
        out[i0, i1, i2, i3, i4] = source[i0, i1, i2, i3, i4]


@jit
def _convert(source, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[at] = source[at]


@jit
def _move_axis(source, n_rows, n_columns, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        row, rest = at % n_rows, at // n_rows
        column, image = rest % n_columns, rest // n_columns
        out[at] = source[(image * n_rows + row) * n_columns + column]


@jit
def _put_columns(source, first, out):
    for at in range(cuda.grid(1), source.size, cuda.gridsize(1)):
        row, column = at // source.shape[1], at % source.shape[1]
        out[row, first + column] = source[row, column]


@jit
def _take_columns(source, first, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        row, column = at // out.shape[1], at % out.shape[1]
        out[row, column] = source[row, first + column]


@jit
def _take(source, index, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        place = index[at]
        out[at] = source[place] if place >= 0 else 0


@jit(inner=True)
def _find_cell(box, shape, at):
    """Return the image and cell that value number `at` of a larger array holds, and whether there is such a cell."""
    column, rest = at % shape[3], at // shape[3]
    row, rest = rest % shape[2], rest // shape[2]
    p, r, c = rest % shape[1] - box.planes_before, row - box.rows_before, column - box.columns_before
    return rest // shape[1], p, r, c, 0 <= p < box.planes and 0 <= r < box.rows and 0 <= c < box.columns


@jit
def _embed(source, box, shape, out):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        image, plane, row, column, inside = _find_cell(box, shape, at)
        out[at] = source[image, plane, row, column] if inside else 0


@jit
def _fill_inside(enabled, box, shape, out):
    if enabled[0] == 0:
        return
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        _, _, _, _, inside = _find_cell(box, shape, at)
        out[at] = 1 if inside else 0


@jit
def _add(right, left):
    for at in range(cuda.grid(1), left.size, cuda.gridsize(1)):
        left[at] += right[at]


@jit
def _add_rows(rows, out):
    for at in range(cuda.grid(1), rows.shape[1], cuda.gridsize(1)):
        total = np.float64(0)
        for row in range(rows.shape[0]):
            total += rows[row, at]
        out[at] = total


@jit
def _fill(out, value):
    for at in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[at] = value
