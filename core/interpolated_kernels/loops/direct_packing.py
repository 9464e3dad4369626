"""The direct path's packing: padding and the phases of strides become plain rows, copied run by run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch
from interpolated_kernels.loops.tiles.copies import clear_values, copy_spaced


class Copies(NamedTuple):
    """What is packed of an image of `x_planes` of `x_rows` of `x_columns`: tables of planes and rows, runs of columns.

    Index -1 gives zeros. A run is the first of its columns, the first that it shows, the step between the latter, and
    how many they are.
    """

    x_planes: int
    x_rows: int
    x_columns: int
    planes: NDArray[np.int64]
    rows: NDArray[np.int64]
    runs: NDArray[np.int64]
    n_columns: int


def pack(source: Any, copies: Copies, packed: Any) -> None:
    """Copy cells of all images, flat, into flat `packed` `(images, planes, rows, columns)`."""
    launch(_pack_parallel, _pack_serial, packed.size > 2**18, source, copies, packed)


@jit(inner=True)
def _pack_image(source, copies, packed, image):
    target = image * copies.planes.size * copies.rows.size * copies.n_columns
    for plane in copies.planes:
        for row in copies.rows:
            start = ((image * copies.x_planes + plane) * copies.x_rows + row) * copies.x_columns
            if plane < 0 or row < 0:
                clear_values(packed, target, copies.n_columns)
            else:
                _pack_row(source, start, copies.runs, packed, target)
            target += copies.n_columns


@jit(inner=True)
def _pack_row(source, start, runs, packed, target):
    for run in range(len(runs)):
        at, first, step, count = target + runs[run, 0], start + runs[run, 1], runs[run, 2], runs[run, 3]
        if runs[run, 1] < 0:
            clear_values(packed, at, count)
        else:
            copy_spaced(packed, at, source, first, step, count)


@jit(inner=True)
def _count_images(copies, packed):
    return packed.size // max(copies.planes.size * copies.rows.size * copies.n_columns, 1)


@jit
def _pack_serial(source, copies, packed):
    for image in range(_count_images(copies, packed)):
        _pack_image(source, copies, packed, image)


@jit(parallel=True)
def _pack_parallel(source, copies, packed):
    for image in prange(_count_images(copies, packed)):
        _pack_image(source, copies, packed, np.int64(image))
