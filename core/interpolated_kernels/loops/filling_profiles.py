"""Profiles of splats along one axis, their slopes by position and by width, and their sums: per anchor, in float64.

A profile is `finish(argument(offset, width))`, `finish` running over a whole buffer at once; its slopes come from its
value. An anchor's profiles stand one behind the other: planes, rows, columns.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.tiles.vectors import power_of_two

_SMALLEST_SUM = 1e-7
_SMALLEST_SIGMA = 0.27

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


class Anchors(NamedTuple):
    """Weights `(sets, kernels, n)` of every set's anchors, and their positions and widths, `(sets, n, d)`."""

    weights: Any
    positions: Any
    widths: Any


class Gradients(NamedTuple):
    """The gradients by weights, positions and widths, shaped as these."""

    weights: Any
    positions: Any
    widths: Any


class Pull(NamedTuple):
    """What pulls at one anchor: where its profiles and their gradients stand, a factor, and all profiles' product."""

    one: int
    anchor: int
    profiles: int
    sums: int
    factor: float
    whole: float


class Profile(NamedTuple):
    """The formulas of one profile. `finish` takes `neutral` to 1, the value along an axis that is not there."""

    argument: Any
    finish: Any
    neutral: float
    slopes: Any


@jit(inner=True)
def n_profile_cells(layout):
    """Return how many values the profiles of an anchor are."""
    return layout.planes + layout.rows + layout.columns


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


PROFILES = {
    "gaussian": Profile(argument=_gaussian, finish=_exp, neutral=0.0, slopes=_gaussian_slopes),
    "triangle": Profile(argument=_triangle, finish=_keep, neutral=1.0, slopes=_triangle_slopes),
    "share": Profile(argument=_triangle, finish=_keep, neutral=1.0, slopes=_share_slopes),
}
"""By name: "share" is a triangle of width 0 whose slope at a kink is the one towards larger positions."""


def make_profile_loop(profile: Profile) -> Any:
    """Return the loop that writes the profiles of a set's anchors, `(n, planes + rows + columns)`."""
    argument, finish, neutral = profile.argument, profile.finish, profile.neutral

    @jit(inner=True)
    def write_profiles(anchors, one, layout, work):
        n_anchors, n_cells = anchors.positions.shape[1], n_profile_cells(layout)
        for anchor in range(n_anchors):
            at = anchor * n_cells
            for axis in range(3):
                cells = (layout.planes, layout.rows, layout.columns)[axis]
                coordinate = axis - 3 + layout.n_axes
                if coordinate < 0:
                    work[at] = neutral
                else:
                    position = anchors.positions[one, anchor, coordinate]
                    width = anchors.widths[one, anchor, coordinate]
                    for cell in range(cells):
                        work[at + cell] = argument(cell - position, width)
                at += cells
        finish(work, n_anchors * n_cells)

    return write_profiles


def make_slope_loop(profile: Profile) -> Any:
    """Return the loop that adds an anchor's profile gradients, times the profiles' slopes."""
    slopes = profile.slopes

    @jit(inner=True)
    def add_slopes(anchors, pull, layout, work, grads):
        at, sums = pull.profiles, pull.sums
        totals = sum_profiles(work, at, layout)
        for axis in range(3):
            cells = (layout.planes, layout.rows, layout.columns)[axis]
            coordinate = axis - 3 + layout.n_axes
            if coordinate >= 0:
                # Normalizing, A's denominator has a slope too: the other axes' sums times this profile's.
                others = totals[(axis + 1) % 3] * totals[(axis + 2) % 3]
                position = anchors.positions[pull.one, pull.anchor, coordinate]
                width = anchors.widths[pull.one, pull.anchor, coordinate]
                for cell in range(cells):
                    by_position, by_width = slopes(work[at + cell], cell - position, width)
                    share = pull.factor * (work[sums + cell] - (pull.whole * others if layout.normalized else 0.0))
                    grads.positions[pull.one, pull.anchor, coordinate] += share * by_position
                    grads.widths[pull.one, pull.anchor, coordinate] += share * by_width
            at, sums = at + cells, sums + cells

    return add_slopes


@jit(inner=True)
def sum_profiles(work, at, layout):
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
def scale_anchor(work, at, layout):
    """Return what an anchor's product of profiles is multiplied by."""
    if not layout.normalized:
        return 1.0
    planes, rows, columns = sum_profiles(work, at, layout)
    return 1.0 / (planes * rows * columns + _SMALLEST_SUM)
