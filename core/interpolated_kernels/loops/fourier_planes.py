"""Transforms of planes of real cells, one a lane, and back: rows and then columns, columns and then rows.

A spectrum is `columns // 2 + 1` runs, one a frequency of the rows: all real parts, of every frequency of the columns,
and zeros up to whole vectors, then all imaginary parts. In a thread's workspace, of 4 x 4 cells for example:

    cells of a row, lane by lane      x00 x01 x02 x03 ...            `lines`
    the same, cell by cell            x00.. x01.. x02.. x03..        `far`: even cells real, odd ones imaginary
    its 3 frequencies                 real.. imaginary.. (3 times)   a row of `plane`
    a column of 4 frequencies         real.. imaginary.. (4 times)   `whole`, then 2 runs of every lane's spectrum

Every function runs on the thread that calls it: the Fourier path gives each of its threads tiles of its own. All that a
lane holds depends on its own image alone, so its bits do not depend on what it is transformed with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.compile.apart import load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Floats, Numbers, Packed, opener
from interpolated_kernels.loops.tiles.register import lanes_in
from interpolated_kernels.loops.transforms.butterflies import (
    add_correlation,
    add_product,
    join_pair,
    multiply,
    split_pair,
    turn,
    turn_and_size,
)
from interpolated_kernels.loops.transforms.lines import Passes, find_passes, transform_line, turns
from interpolated_kernels.loops.transforms.written import Strip
from interpolated_kernels.tile_sizes import count_lanes


class Shape(NamedTuple):
    """A plane's transform: of its columns, and of its rows as half as many complex values."""

    rows: Passes
    halves: Passes
    pairs: Floats
    """What ties a row's frequencies to those of its even and its odd cells."""


class Sources(NamedTuple):
    """Where planes read an array: for every cell of every tile, the row and the column that it shows, -1 if it is 0."""

    shape: Shape
    rows: Numbers
    columns: Numbers
    n_rows: int
    """Rows that show anything; those behind them are 0."""
    pitch: int
    """From one row of the array to the next."""


class Targets(NamedTuple):
    """What planes are made of products of spectra, and where they are written, every `step`-th cell."""

    shape: Shape
    n_terms: int
    first_step: int
    second_step: int
    """From the spectra of one term to those of the next."""
    n_rows: int
    row_step: int
    column_step: int
    pitch: int
    factors: Floats
    """The sign of the second spectra's imaginary parts, and what cells are multiplied by."""


_open_sources, _open_targets = opener(Sources), opener(Targets)


def describe_plane(shape: tuple[int, ...]) -> Shape:
    """Return the transform of a plane, of an even number of columns."""
    rows, columns = shape
    return Shape(find_passes(rows), find_passes(columns // 2), turns(np.arange(columns // 4 + 1), columns))


def make_workspace(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return one thread's workspace: zeros, since lanes that no image takes are computed with all the same."""
    (rows, columns), lanes = shape, count_lanes(dtype)
    longest = max(rows, columns // 2) + lanes
    plane = rows * (columns // 2 + 1) * 2 * lanes
    return np.zeros(plane + 3 * 2 * lanes * longest + (columns + lanes) * lanes + 2 * lanes * lanes, dtype)


class _Rooms(NamedTuple):
    plane: Any
    whole: Any
    near: Any
    far: Any
    lines: Any
    block: Any


@jit(inner=True, returns_arrays=True)
def _cut_workspace(work, rows, halves, lanes):
    plane = rows * (halves + 1) * 2 * lanes
    line = 2 * lanes * (max(rows, halves) + lanes)
    lines = (2 * halves + lanes) * lanes
    end = plane + 3 * line
    return _Rooms(
        work[:plane], work[plane : plane + line], work[plane + line : plane + 2 * line], work[plane + 2 * line : end],
        work[end : end + lines], work[end + lines :],
    )  # fmt: skip


@jit(inner=True)
def _gather_row(sources, image, cells, row, line):
    """Copy a row of one plane, with zeros where it shows nothing."""
    shown = sources.rows[image[1] + row]
    if shown < 0:
        line[:] = 0
        return
    start = image[0] + shown * sources.pitch
    if image[4] >= 0:
        here, there = image[3], image[3] + image[4]
        line[:here] = 0
        _copy(cells[start + image[5] :], line[here:there])
        line[there:] = 0
        return
    for j in range(line.size):
        column = sources.columns[image[2] + j] if j < 2 * sources.shape.halves.length else -1
        line[j] = cells[start + column] if column >= 0 else 0


@jit(inner=True)
def _copy(source, target):
    for j in range(target.size):
        target[j] = source[j]


def transform_planes(sources: Packed, images: Any, cells: Any, work: Any, sizes: Any, spectra: Any) -> None:
    """Write spectra, twice what they are, and the sum of every plane's absolute values, a bound on its spectrum.

    A row of `images` is where a plane's array begins, where its tables of rows and of columns do, and its run of
    columns that show something: their place in the plane, their number (-1: no run), their place in the array.
    """
    load_apart(cells.dtype, "transforms")
    _transform_planes(*sources, images, cells, work, sizes, spectra)


@jit
def _transform_planes(numbers, offsets, coefficients, images, cells, work, sizes, spectra):
    sources = _open_sources(numbers, offsets, coefficients)
    rows, halves, lanes = sources.shape.rows.length, sources.shape.halves.length, lanes_in(cells)
    rooms = _cut_workspace(work, rows, halves, lanes)
    rooms.plane[sources.n_rows * (halves + 1) * 2 * lanes :] = 0
    for first in range(0, len(images), lanes):
        total = rooms.block[:lanes]
        total[:] = 0
        for row in range(sources.n_rows):
            _transform_row(sources, images, first, cells, row, rooms)
        last = min(first + lanes, len(images))
        sizes[first:last] = total[: last - first]
        _transform_columns(sources.shape, rooms, spectra, first)


@jit(inner=True)
def _transform_row(sources, images, first, cells, row, rooms):
    halves, lanes = sources.shape.halves.length, lanes_in(cells)
    width = (2 * halves + lanes - 1) // lanes * lanes
    for lane in range(min(lanes, len(images) - first)):  # what other lanes hold does not matter
        image = images[first + lane]
        _gather_row(sources, image, cells, row, rooms.lines[lane * width : lane * width + width])
    for j in range(0, width, lanes):
        turn_and_size(Strip(rooms.lines, j, width), Strip(rooms.far, j * lanes, lanes), Strip(rooms.block, 0, 0))
    step = 2 * lanes
    passes = sources.shape.halves
    transform_line(passes, Strip(rooms.far, 0, step), Strip(rooms.whole, 0, step), lanes, rooms.near, rooms.far)
    for k in range(halves // 2 + 1):
        pair = Strip(rooms.whole, k * step, ((halves - k) % halves - k) * step)
        target = Strip(rooms.plane, (row * (halves + 1) + k) * step, (halves - 2 * k) * step)
        split_pair(pair, lanes, target, sources.shape.pairs, 2 * k)


@jit(inner=True)
def _transform_columns(shape, rooms, spectra, first):
    halves, lanes = shape.halves.length, lanes_in(spectra)
    padded = (shape.rows.length + lanes - 1) // lanes * lanes
    step = 2 * lanes
    rooms.whole[shape.rows.length * step : padded * step] = 0
    for k in range(halves + 1):
        column = Strip(rooms.plane, k * step, (halves + 1) * step)
        transform_line(shape.rows, column, Strip(rooms.whole, 0, step), lanes, rooms.near, rooms.far)
        for part in range(2):
            start = ((first * (halves + 1) + k) * 2 + part) * padded
            for row in range(0, padded, lanes):
                target = Strip(spectra, start + row, (halves + 1) * 2 * padded)
                turn(Strip(rooms.whole, row * step + part * lanes, step), target)


def transform_planes_back(
    targets: Packed, images: Any, first_spectra: Any, second_spectra: Any, work: Any, cells: Any
) -> None:
    """Write the cells of planes whose spectra are sums of products, twice the true ones both.

    A row of `images` is the first term's two spectra, where the plane's cells go, and how many rows and columns do.
    """
    load_apart(cells.dtype, "transforms")
    _transform_planes_back(*targets, images, first_spectra, second_spectra, work, cells)


@jit
def _transform_planes_back(numbers, offsets, coefficients, images, first_spectra, second_spectra, work, cells):
    targets = _open_targets(numbers, offsets, coefficients)
    rows, halves, lanes = targets.shape.rows.length, targets.shape.halves.length, lanes_in(cells)
    rooms = _cut_workspace(work, rows, halves, lanes)
    step = 2 * lanes
    for first in range(0, len(images), lanes):
        for k in range(halves + 1):
            _mix_column(targets, images, first, first_spectra, second_spectra, k, rooms)
            column = Strip(rooms.plane, k * step + lanes, (halves + 1) * step)
            source = Strip(rooms.whole, lanes, step)
            transform_line(targets.shape.rows, source, column, -lanes, rooms.near, rooms.far)
        for row in range(0, targets.n_rows, targets.row_step):
            _transform_row_back(targets.shape, row, rooms)
            _write_rows(targets, images, first, row, rooms.lines, cells)


@jit(inner=True)
def _mix_column(targets, images, first, first_spectra, second_spectra, k, rooms):
    """Sum the terms of a column of all lanes' spectra."""
    halves, lanes = targets.shape.halves.length, lanes_in(first_spectra)
    padded = (targets.shape.rows.length + lanes - 1) // lanes * lanes
    size, factors = (halves + 1) * 2 * padded, targets.factors
    for row in range(0, padded, lanes):
        at = 2 * k * padded + row
        for lane in range(min(lanes, len(images) - first)):  # what other lanes hold does not matter
            image = images[first + lane]
            mixed = Strip(rooms.block, lane * lanes, lanes * lanes)
            a, b = image[0] * size + at, image[1] * size + at
            multiply(Strip(first_spectra, a, 0), Strip(second_spectra, b, 0), padded, factors, 0, mixed)
            for _ in range(1, targets.n_terms):
                a += targets.first_step * size
                b += targets.second_step * size
                add_product(Strip(first_spectra, a, 0), Strip(second_spectra, b, 0), padded, factors, 0, mixed)
        for part in range(2):
            start = row * 2 * lanes + part * lanes
            turn(Strip(rooms.block, part * lanes * lanes, lanes), Strip(rooms.whole, start, 2 * lanes))


@jit(inner=True)
def _transform_row_back(shape, row, rooms):
    halves, lanes = shape.halves.length, lanes_in(rooms.plane)
    step = 2 * lanes
    width = (2 * halves + lanes - 1) // lanes * lanes
    for k in range(halves // 2 + 1):
        pair = Strip(rooms.plane, (row * (halves + 1) + k) * step, (halves - 2 * k) * step)
        join_pair(pair, lanes, Strip(rooms.far, k * step, (halves - 2 * k) * step), shape.pairs, 2 * k)
    source = Strip(rooms.far, lanes, step)
    transform_line(shape.halves, source, Strip(rooms.whole, lanes, step), -lanes, rooms.near, rooms.far)
    for j in range(0, width, lanes):
        turn(Strip(rooms.whole, j * lanes, lanes), Strip(rooms.lines, j, width))


@jit(inner=True)
def _write_rows(targets, images, first, row, lines, cells):
    """Write what is wanted of a row of every lane's plane."""
    lanes, scale = lanes_in(cells), targets.factors[1]
    width = (2 * targets.shape.halves.length + lanes - 1) // lanes * lanes
    for lane in range(min(lanes, len(images) - first)):
        image = images[first + lane]
        wanted = row // targets.row_step
        if wanted >= image[3]:
            continue
        start, count = image[2] + wanted * targets.pitch, image[4]
        _write_cells(lines[lane * width :], targets.column_step, scale, cells[start : start + count])


@jit(inner=True)
def _write_cells(line, step, scale, cells):
    if step == 1:
        for j in range(cells.size):
            cells[j] = line[j] * scale
    else:
        for j in range(cells.size):
            cells[j] = line[j * step] * scale


@jit
def mix_planes(places, terms, first_spectra, second_spectra, run, sign, mixed):
    """Write sums of products of spectra: a row of `places` is the first term's two, and where the sum goes.

    `terms` is how many there are, and how far from one term's spectra to the next one's; a spectrum is of runs of real
    parts and as many imaginary parts; `sign`, an array of one, is -1 where the second is to be conjugate.
    """
    lanes, size = lanes_in(mixed), mixed.shape[1]
    flat, first_flat, second_flat = mixed.reshape(-1), first_spectra.reshape(-1), second_spectra.reshape(-1)
    for start in range(0, size, 2 * run):
        for at in range(start, start + run, lanes):
            for k in range(len(places)):
                a, b = places[k, 0] * size + at, places[k, 1] * size + at
                target = Strip(flat, places[k, 2] * size + at, run)
                multiply(Strip(first_flat, a, 0), Strip(second_flat, b, 0), run, sign, 0, target)
                for _ in range(1, terms[0]):
                    a += terms[1] * size
                    b += terms[2] * size
                    add_product(Strip(first_flat, a, 0), Strip(second_flat, b, 0), run, sign, 0, target)


@jit
def add_plane_correlations(tiles, x, y, filters_per_group, run, sums):
    """Add `x[tile, c] * conj(y[tile, f])` to `sums[f, c]` for some tiles, in order: c is a channel of f's group.

    A spectrum is of runs of real parts and as many imaginary parts.
    """
    lanes, channels = lanes_in(sums), sums.shape[1]
    for start in range(0, sums.shape[2], 2 * run):
        for f in range(sums.shape[0]):
            first = f // filters_per_group * channels
            for c in range(channels):
                for tile in tiles:
                    _add_run(x[tile, first + c, start:], y[tile, f, start:], run, sums[f, c, start:], lanes)


@jit(inner=True)
def _add_run(x, y, run, sums, lanes):
    for at in range(0, run, lanes):
        add_correlation(Strip(x, at, 0), Strip(y, at, 0), run, Strip(sums, at, 0))
