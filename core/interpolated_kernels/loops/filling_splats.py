"""Splats: dense kernels from profiles an axis, `sum over anchors of weight * rows (x) columns`, and the transpose.

A task is one set of positions, for all weights that share it. A profile is `finish(argument(offset, width))`; its
slopes by position and by width come from its value. All is float64, summed in the anchors' order.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.tiles.lines import Lines, Places, Taps, sum_taps, tile_width
from interpolated_kernels.loops.tiles.runs import clear_values
from interpolated_kernels.loops.tiles.vectors import power_of_two

_SMALLEST_SUM = 1e-7
_SMALLEST_SIGMA = 0.27
_FEWEST_PRODUCTS = 2**16
_SLACK = 64  # values that whole vectors may read beyond a line's end

_ROUNDING = 1.5 * 2.0**52
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # their sum is ln 2 to 1e-26
_FACTORIALS = tuple(1.0 / math.factorial(power) for power in range(13, -1, -1))


class Layout(NamedTuple):
    """The window `(planes, rows, columns)`, one on axes that are not there; how many are; and what is normalized."""

    planes: int
    rows: int
    columns: int
    n_axes: int
    normalized: bool


@jit(inner=True)
def _exp(values, count):
    """Replace values of at most 0 by their exponentials, to about one unit in the last place; subnormals are kept."""
    for index in range(count):
        x = max(values[index], -746.0)
        power = (x * _LOG2_E + _ROUNDING) - _ROUNDING
        rest = (x - power * _LN2_HIGH) - power * _LN2_LOW
        total = 0.0
        for coefficient in _FACTORIALS:
            total = total * rest + coefficient
        half = (power * 0.5 + _ROUNDING) - _ROUNDING
        values[index] = total * power_of_two(half + _ROUNDING) * power_of_two((power - half) + _ROUNDING)


@jit(inner=True)
def _keep(values, count):
    """Leave values as they are."""


@jit(inner=True)
def _gaussian(offset, width):
    scaled = offset / (abs(width) + _SMALLEST_SIGMA)
    return -0.5 * scaled * scaled


@jit(inner=True)
def _gaussian_slopes(value, offset, width):
    sigma = abs(width) + _SMALLEST_SIGMA
    slope = value * offset / (sigma * sigma)
    return slope, slope * offset / sigma * _sign(width)


@jit(inner=True)
def _triangle(offset, width):
    return max(abs(width) + 1.0 - abs(offset), 0.0)


@jit(inner=True)
def _triangle_slopes(value, offset, width):
    inside = 1.0 if value > 0 else 0.0
    return inside * _sign(offset), inside * _sign(width)


@jit(inner=True)
def _share_slopes(value, offset, width):
    return (1.0 if 0 < offset <= 1 else 0.0) - (1.0 if -1 < offset <= 0 else 0.0), 0.0


@jit(inner=True)
def _sign(value):
    return 1.0 if value > 0 else (-1.0 if value < 0 else 0.0)


def _profile_loop(argument, finish):
    """Return the loop that writes the profiles of a set's anchors, `(n, planes + rows + columns)`."""

    @jit(inner=True)
    def profiles(positions, widths, layout, work):
        n_cells = layout.planes + layout.rows + layout.columns
        for anchor in range(len(positions)):
            at = anchor * n_cells
            for axis in range(3):
                cells = (layout.planes, layout.rows, layout.columns)[axis]
                own = axis - 3 + layout.n_axes
                if own < 0:
                    work[at] = 0.0 if finish is _exp else 1.0
                else:
                    position, width = positions[anchor, own], widths[anchor, own]
                    for cell in range(cells):
                        work[at + cell] = argument(cell - position, width)
                at += cells
        finish(work, len(positions) * n_cells)

    return profiles


@jit(inner=True)
def _sums(work, at, layout):
    """Return the sums of an anchor's profiles along planes, rows and columns."""
    planes = rows = columns = 0.0
    for cell in range(layout.planes):
        planes += work[at + cell]
    for cell in range(layout.rows):
        rows += work[at + layout.planes + cell]
    for cell in range(layout.columns):
        columns += work[at + layout.planes + layout.rows + cell]
    return planes, rows, columns


@jit(inner=True)
def _scale(work, at, layout):
    """Return what an anchor's product of profiles is multiplied by."""
    if not layout.normalized:
        return 1.0
    planes, rows, columns = _sums(work, at, layout)
    return 1.0 / (planes * rows * columns + _SMALLEST_SUM)


@jit(inner=True)
def _spread(weights, offsets, layout, work, dense):
    """Write the dense kernels `(kernels * planes * rows, columns)` of one set: a matrix product, rows by fours."""
    n_anchors, n_rows = weights.shape[1], layout.planes * layout.rows
    n_cells, columns = n_profile_cells(layout), layout.planes + layout.rows
    scales = n_anchors * n_cells
    shares = scales + n_anchors
    for anchor in range(n_anchors):
        work[scales + anchor] = _scale(work, anchor * n_cells, layout)
    for kernel in range(len(weights)):
        first = 0
        while first < n_rows:
            width = tile_width(n_rows - first)
            for anchor in range(n_anchors):
                at, weight = anchor * n_cells, weights[kernel, anchor] * work[scales + anchor]
                for index in range(width):
                    plane, row = (first + index) // layout.rows, (first + index) % layout.rows
                    work[shares + anchor * width + index] = weight * work[at + plane] * work[at + layout.planes + row]
            target = (kernel * n_rows + first) * layout.columns
            lines = Lines(1, 1, layout.columns, Places(columns, 0, 0), Places(target, 0, 0))
            sum_taps(width, work, Taps(work, shares, offsets, 0, n_anchors), lines, False, dense, layout.columns)
            first += width


@jit(inner=True)
def n_profile_cells(layout):
    """Return how many values the profiles of an anchor are."""
    return layout.planes + layout.rows + layout.columns


class ContractionPlaces(NamedTuple):
    """Where a kernel's gradient and its contractions stand in the workspace, behind the profiles."""

    grad: int
    transposed: int
    shares: int
    by_row: int
    by_column: int
    sums: int


@jit(inner=True)
def _places(n_anchors, layout):
    n_rows, columns = layout.planes * layout.rows, layout.columns
    grad = n_anchors * n_profile_cells(layout)
    transposed = grad + n_rows * columns
    shares = transposed + columns * n_rows
    by_row = shares + 4 * max(n_rows, columns)
    by_column = by_row + 4 * n_rows
    return ContractionPlaces(grad, transposed, shares, by_row, by_column, by_column + 4 * columns)


@jit(inner=True)
def _copy_gradient(grad, kernel, layout, places, work):
    """Copy a kernel's gradient, and its transpose, to where whole vectors may read beyond it."""
    n_rows = layout.planes * layout.rows
    for row in range(n_rows):
        for column in range(layout.columns):
            value = grad[(kernel * n_rows + row) * layout.columns + column]
            work[places.grad + row * layout.columns + column] = value
            work[places.transposed + column * n_rows + row] = value


@jit(inner=True)
def _contract(first, width, offsets, layout, places, work):
    """Contract a kernel's gradient with the profiles of `width` anchors: along columns, and along planes and rows."""
    n_rows, columns, n_cells = layout.planes * layout.rows, layout.columns, n_profile_cells(layout)
    for index in range(width):
        at = (first + index) * n_cells
        for column in range(columns):
            work[places.shares + column * width + index] = work[at + layout.planes + layout.rows + column]
    lines = Lines(1, 1, n_rows, Places(places.transposed, 0, 0), Places(places.by_row, 0, 0))
    sum_taps(width, work, Taps(work, places.shares, offsets, 0, columns), lines, False, work, n_rows)
    for index in range(width):
        at = (first + index) * n_cells
        for row in range(n_rows):
            share = work[at + row // layout.rows] * work[at + layout.planes + row % layout.rows]
            work[places.shares + row * width + index] = share
    lines = Lines(1, 1, columns, Places(places.grad, 0, 0), Places(places.by_column, 0, 0))
    taps = Taps(work, places.shares, offsets, columns, columns + n_rows)
    sum_taps(width, work, taps, lines, False, work, columns)


@jit(inner=True)
def _contract_rows(anchor, index, layout, places, work):
    """Write an anchor's contractions, axis by axis, and return the one with all its profiles."""
    at, by_row, by_column = anchor * n_profile_cells(layout), places.by_row, places.by_column
    rows, whole = layout.planes * layout.rows, 0.0
    clear_values(work, places.sums, layout.planes + layout.rows)
    for row in range(rows):
        along = work[by_row + index * rows + row]
        plane, own = row // layout.rows, layout.planes + row % layout.rows
        work[places.sums + plane] += along * work[at + own]
        work[places.sums + own] += along * work[at + plane]
    for column in range(layout.columns):
        work[places.sums + layout.planes + layout.rows + column] = work[by_column + index * layout.columns + column]
    for plane in range(layout.planes):
        whole += work[places.sums + plane] * work[at + plane]
    return whole


def _slope_loop(slopes):
    """Return the loop that adds an anchor's profile gradients, times the profiles' slopes."""

    @jit(inner=True)
    def add(positions, widths, anchor, at, sums, factor, whole, layout, work, grad_positions, grad_widths):
        totals = _sums(work, at, layout)
        for axis in range(3):
            cells = (layout.planes, layout.rows, layout.columns)[axis]
            own = axis - 3 + layout.n_axes
            if own >= 0:
                others = totals[(axis + 1) % 3] * totals[(axis + 2) % 3]
                position, width = positions[anchor, own], widths[anchor, own]
                for cell in range(cells):
                    by_position, by_width = slopes(work[at + cell], cell - position, width)
                    share = factor * (work[sums + cell] - (whole * others if layout.normalized else 0.0))
                    grad_positions[anchor, own] += share * by_position
                    grad_widths[anchor, own] += share * by_width
            at, sums = at + cells, sums + cells

    return add


class Family(NamedTuple):
    """The launches of one family of profiles."""

    spread: Any
    gather: Any


def _family(argument, finish, slopes):
    """Return the launches of one family."""
    profiles, add_slopes = _profile_loop(argument, finish), _slope_loop(slopes)

    @jit(inner=True)
    def spread_set(weights, positions, widths, offsets, layout, work, dense):
        profiles(positions, widths, layout, work)
        _spread(weights, offsets, layout, work, dense)

    @jit
    def spread_serial(weights, positions, widths, offsets, layout, work, dense):
        for one in range(len(positions)):
            spread_set(weights[one], positions[one], widths[one], offsets, layout, work[0], dense[one])

    @jit(parallel=True)
    def spread_parallel(weights, positions, widths, offsets, layout, work, dense):
        for one in prange(len(positions)):
            spread_set(weights[one], positions[one], widths[one], offsets, layout, work[thread_id()], dense[one])

    @jit(inner=True)
    def gather_set(grad, weights, positions, widths, offsets, layout, work, grad_weights, grad_positions, grad_widths):
        n_anchors, n_cells = len(positions), n_profile_cells(layout)
        places = _places(n_anchors, layout)
        profiles(positions, widths, layout, work)
        for kernel in range(len(weights)):
            _copy_gradient(grad, kernel, layout, places, work)
            first = 0
            while first < n_anchors:
                width = tile_width(n_anchors - first)
                _contract(first, width, offsets, layout, places, work)
                for index in range(width):
                    anchor = first + index
                    scale = _scale(work, anchor * n_cells, layout)
                    whole = _contract_rows(anchor, index, layout, places, work)
                    grad_weights[kernel, anchor] = scale * whole
                    add_slopes(
                        positions, widths, anchor, anchor * n_cells, places.sums, weights[kernel, anchor] * scale,
                        scale * whole, layout, work, grad_positions, grad_widths,
                    )  # fmt: skip
                first += width

    @jit
    def gather_serial(
        grad, weights, positions, widths, offsets, layout, work, grad_weights, grad_positions, grad_widths
    ):
        for one in range(len(positions)):
            gather_set(
                grad[one], weights[one], positions[one], widths[one], offsets, layout, work[0], grad_weights[one],
                grad_positions[one], grad_widths[one],
            )  # fmt: skip

    @jit(parallel=True)
    def gather_parallel(
        grad, weights, positions, widths, offsets, layout, work, grad_weights, grad_positions, grad_widths
    ):
        for one in prange(len(positions)):
            gather_set(
                grad[one], weights[one], positions[one], widths[one], offsets, layout, work[thread_id()],
                grad_weights[one], grad_positions[one], grad_widths[one],
            )  # fmt: skip

    def spread(weights: Any, positions: Any, widths: Any, layout: Layout, dense: Any) -> None:
        """Write the dense kernels `(sets, kernels * cells)` of weights `(sets, kernels, n)`."""
        load_apart(dense.dtype)
        n_anchors, n_cells = positions.shape[1], layout.planes + layout.rows + layout.columns
        is_worth_it = dense.size * n_anchors > _FEWEST_PRODUCTS
        work = workspace(n_anchors * (n_cells + 5) + _SLACK, dense.dtype)
        offsets = np.arange(n_anchors, dtype=np.int32) * np.int32(n_cells)
        launch(spread_parallel, spread_serial, is_worth_it, weights, positions, widths, offsets, layout, work, dense)

    def gather(
        grad: Any, weights: Any, positions: Any, widths: Any, layout: Layout, grad_weights: Any, grad_positions: Any,
        grad_widths: Any,
    ) -> None:  # fmt: skip
        """Write the gradient by weights, and add those by positions and widths, from the dense kernels' gradient."""
        load_apart(grad.dtype)
        n_anchors, n_rows, columns = positions.shape[1], layout.planes * layout.rows, layout.columns
        n_cells = layout.planes + layout.rows + columns
        is_worth_it = grad.size * n_anchors > _FEWEST_PRODUCTS
        size = (n_anchors + 1) * n_cells + 2 * n_rows * columns + 8 * (n_rows + columns)
        offsets = np.concatenate([np.arange(columns) * n_rows, np.arange(n_rows) * columns]).astype(np.int32)
        launch(
            gather_parallel, gather_serial, is_worth_it, grad, weights, positions, widths, offsets, layout,
            workspace(size + _SLACK, grad.dtype), grad_weights, grad_positions, grad_widths,
        )  # fmt: skip

    return Family(spread, gather)


SPLATS = {
    "gaussian": _family(_gaussian, _exp, _gaussian_slopes),
    "triangle": _family(_triangle, _keep, _triangle_slopes),
    "share": _family(_triangle, _keep, _share_slopes),
}
"""By profile: "share" is a triangle of width 0 whose slope at a kink is the one towards larger positions."""
