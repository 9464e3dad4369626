"""Splats: dense kernels from profiles an axis, `sum over anchors of weight * rows (x) columns`, and the transpose.

A task is one set of positions, for all weights that share it. All is float64, summed in the anchors' order, by the
tiles that sum taps: an anchor is a tap, its profile along columns the line that is read, and its weight times its
profiles along planes and rows the coefficient. For n anchors, each of `cells = planes + rows + columns` profile values,
and `lines = planes * rows`, the workspace of a thread is

    spread | profiles n x cells | scales n | shares n x 4 | slack |

    gather | profiles n x cells | gradient lines x columns | transposed columns x lines |
           | shares 4 x max(lines, columns) | by row 4 x lines | by column 4 x columns | sums cells | slack |

An anchor's profiles are `| planes | rows | columns |`, and its `sums`, their gradients, likewise. Shares are the taps'
coefficients for up to four output rows (or anchors) that a tile sums at once. Whole vectors read into the slack.

For one axis and two anchors of profiles `p` and `q`, cell c of a kernel of weights `v, w` is `v s p[c] + w t q[c]`, the
scales being `s = 1 / (sum p + 1e-7)` and t alike. Back from the gradient `g` of all cells, `by column` is g itself,
v's gradient is `s sum_c g[c] p[c]`, the `whole`, and the position's is `v s sum_c (g[c] - whole) p'[c]`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from interpolated_kernels.loops.compile.apart import load_apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.threads import launch, thread_id, workspace
from interpolated_kernels.loops.filling_profiles import (
    PROFILES,
    Anchors,
    Gradients,
    Layout,
    Profile,
    Pull,
    make_profile_loop,
    make_slope_loop,
    n_profile_cells,
    scale_anchor,
)
from interpolated_kernels.loops.tiles.copies import clear_values
from interpolated_kernels.loops.tiles.lines import Lines, Places, Taps, sum_taps, tile_width
from interpolated_kernels.tile_sizes import VECTORS_OF_SLACK, count_lanes

_FEWEST_PRODUCTS = 2**16
_SLACK = VECTORS_OF_SLACK * count_lanes(np.float64)  # values that whole vectors may read beyond a line's end


class Scratch(NamedTuple):
    """What a launch allocates: a row of scratch memory for every thread, and where each tap reads, in values."""

    work: Any
    offsets: Any


@jit(inner=True)
def _sum_products(weights, offsets, layout, work, dense):
    """Write the dense kernels `(kernels * planes * rows, columns)` of one set: a matrix product, rows by fours."""
    n_anchors, n_rows = weights.shape[1], layout.planes * layout.rows
    n_cells, columns = n_profile_cells(layout), layout.planes + layout.rows
    scales = n_anchors * n_cells
    shares = scales + n_anchors
    for anchor in range(n_anchors):
        work[scales + anchor] = scale_anchor(work, anchor * n_cells, layout)
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


class ContractionPlaces(NamedTuple):
    """Where a kernel's gradient and its contractions stand in the workspace: see the picture above."""

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
        plane, behind = row // layout.rows, layout.planes + row % layout.rows
        work[places.sums + plane] += along * work[at + behind]
        work[places.sums + behind] += along * work[at + plane]
    for column in range(layout.columns):
        work[places.sums + layout.planes + layout.rows + column] = work[by_column + index * layout.columns + column]
    for plane in range(layout.planes):
        whole += work[places.sums + plane] * work[at + plane]
    return whole


def _make_spread(profile: Profile) -> Any:
    """Return the launch that writes dense kernels."""
    write_profiles = make_profile_loop(profile)

    @jit(inner=True)
    def spread_set(anchors, one, layout, offsets, work, dense):
        write_profiles(anchors, one, layout, work)
        _sum_products(anchors.weights[one], offsets, layout, work, dense)

    @jit
    def spread_serial(anchors, layout, scratch, dense):
        for one in range(len(anchors.positions)):
            spread_set(anchors, one, layout, scratch.offsets, scratch.work[0], dense[one])

    @jit(parallel=True)
    def spread_parallel(anchors, layout, scratch, dense):
        for one in prange(len(anchors.positions)):
            spread_set(anchors, np.int64(one), layout, scratch.offsets, scratch.work[thread_id()], dense[one])

    def spread(anchors: Anchors, layout: Layout, dense: Any) -> None:
        """Write the dense kernels `(sets, kernels * cells)`."""
        load_apart(dense.dtype, "taps")
        n_anchors, n_cells = anchors.positions.shape[1], layout.planes + layout.rows + layout.columns
        is_worth_it = dense.size * n_anchors > _FEWEST_PRODUCTS
        scratch = Scratch(
            work=workspace(n_anchors * (n_cells + 5) + _SLACK, dense.dtype),
            offsets=np.arange(n_anchors, dtype=np.int32) * np.int32(n_cells),
        )
        launch(spread_parallel, spread_serial, is_worth_it, anchors, layout, scratch, dense)

    return spread


def _make_gather_set(profile: Profile) -> Any:
    """Return the loop over one set: the gradient by its weights is written, those by positions and widths added."""
    write_profiles, add_slopes = make_profile_loop(profile), make_slope_loop(profile)

    @jit(inner=True)
    def gather_set(grad, anchors, one, layout, offsets, work, grads):
        n_anchors, n_cells = anchors.positions.shape[1], n_profile_cells(layout)
        places = _places(n_anchors, layout)
        write_profiles(anchors, one, layout, work)
        for kernel in range(anchors.weights.shape[1]):
            _copy_gradient(grad, kernel, layout, places, work)
            first = 0
            while first < n_anchors:
                width = tile_width(n_anchors - first)
                _contract(first, width, offsets, layout, places, work)
                for index in range(width):
                    anchor = first + index
                    scale = scale_anchor(work, anchor * n_cells, layout)
                    whole = scale * _contract_rows(anchor, index, layout, places, work)
                    grads.weights[one, kernel, anchor] = whole
                    pull = Pull(
                        one=one, anchor=anchor, profiles=anchor * n_cells, sums=places.sums,
                        factor=anchors.weights[one, kernel, anchor] * scale, whole=whole,
                    )  # fmt: skip
                    add_slopes(anchors, pull, layout, work, grads)
                first += width

    return gather_set


def _make_gather(profile: Profile) -> Any:
    """Return the launch that takes a gradient of dense kernels back to the anchors."""
    gather_set = _make_gather_set(profile)

    @jit
    def gather_serial(grad, anchors, layout, scratch, grads):
        for one in range(len(anchors.positions)):
            gather_set(grad[one], anchors, one, layout, scratch.offsets, scratch.work[0], grads)

    @jit(parallel=True)
    def gather_parallel(grad, anchors, layout, scratch, grads):
        for one in prange(len(anchors.positions)):
            gather_set(grad[one], anchors, np.int64(one), layout, scratch.offsets, scratch.work[thread_id()], grads)

    def gather(grad: Any, anchors: Anchors, layout: Layout, grads: Gradients) -> None:
        """Write the gradient by weights, and add those by positions and widths, from that by dense kernels."""
        load_apart(grad.dtype, "taps")
        n_anchors, lines, columns = anchors.positions.shape[1], layout.planes * layout.rows, layout.columns
        n_cells = layout.planes + layout.rows + columns
        is_worth_it = grad.size * n_anchors > _FEWEST_PRODUCTS
        size = (n_anchors + 1) * n_cells + 2 * lines * columns + 8 * (lines + columns)
        offsets = np.concatenate([np.arange(columns) * lines, np.arange(lines) * columns]).astype(np.int32)
        scratch = Scratch(work=workspace(size + _SLACK, grad.dtype), offsets=offsets)
        launch(gather_parallel, gather_serial, is_worth_it, grad, anchors, layout, scratch, grads)

    return gather


class Family(NamedTuple):
    """The launches of one profile."""

    spread: Any
    gather: Any


SPLATS = {name: Family(spread=_make_spread(row), gather=_make_gather(row)) for name, row in PROFILES.items()}
"""By profile."""
