"""The checks of positions and windows: what every kernel passes.

Positions are in window cells: the centre of the first cell is 0 on every axis; axes in array order (row, column, ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_reals, is_int, is_sequence, show
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError

_MOST_AXES = 4  # three of space, and the channels
_MOST_CELLS = 2**31


def as_window(window: int | Sequence[int], n_axes: int | None = None) -> tuple[int, ...]:
    """Return `window` as a tuple of positive ints; an int stands for every one of `n_axes` axes.

    Raises
    ------
    TypeError
        If an entry is not an integer.
    ValueError
        If an entry is below 1, the number of entries is not `n_axes` (or, where that is not given, from 1 to 4), or the
        window has more than 2^31 cells.
    """
    entries: tuple[Any, ...] = tuple(window) if is_sequence(window) else (window,) * (n_axes or 1)
    for entry in entries:
        if not is_int(entry):
            raise TypeError(f"`window` must be an int or a tuple of ints, got {show(window)}.")
        if entry < 1:
            raise ValueError(f"`window` must be at least 1 cell on every axis, got {show(window)}.")
    if n_axes is not None and len(entries) != n_axes:
        raise ValueError(f"`window` must have {n_axes} entries to match the positions' columns, got {show(window)}.")
    if not 1 <= len(entries) <= _MOST_AXES:
        raise ValueError(
            f"`window` must have 1, 2 or 3 spatial axes, and maybe a channel axis, got {len(entries)} axes."
        )
    cells = tuple(map(int, entries))
    if math.prod(cells) > _MOST_CELLS:
        raise ValueError(f"`window` must span at most 2^31 cells, got {show(window)}.")
    return cells


def as_positions(positions: Any) -> FloatArray:
    """Return a read-only float64 copy of `positions`, shape `(n, d)`, `(filters, n, d)` or `(filters, channels, n, d)`.

    Raises
    ------
    TypeError
        If they are not real numbers.
    ValueError
        If the shape is another, or there are no anchors.
    AnchorError
        If a coordinate is NaN or infinite; the message names the anchors.
    """
    array = as_reals("positions", positions)
    if array.ndim not in (2, 3, 4):
        raise ValueError(
            "`positions` must have shape (n, d), (filters, n, d) or (filters, channels_per_group, n, d), "
            f"got {array.shape}."
        )
    if 0 in array.shape:
        raise ValueError(f"`positions` must hold at least one anchor, got shape {array.shape}.")
    array = (
        np.array(array, dtype=np.float64, order="C") + 0.0
    )  # + 0.0 turns -0.0 into 0.0: equal positions, equal bytes
    bad = np.flatnonzero(~np.isfinite(array).all(axis=-1).reshape(-1, array.shape[-2]).all(axis=0))
    if bad.size:
        raise AnchorError(f"`positions` must be finite, got NaN or infinity at {name_anchors(bad)}.")
    array.flags.writeable = False
    return array


def as_widths(widths: Any, positions: FloatArray, width_axes: int, interpolator: str) -> FloatArray:
    """Return a read-only float64 copy of `widths` for checked positions `(..., n, d)`.

    Shaped as these where `width_axes` is 1, `(..., n)` where it is 0; `interpolator` names whose they are, in messages.

    Raises
    ------
    TypeError
        If they are not real numbers.
    ValueError
        If the shape is another.
    AnchorError
        If one is NaN or infinite; the message names the anchors.
    """
    array = as_reals("widths", widths)
    expected = positions.shape[: positions.ndim - 1 + width_axes]
    if array.shape != expected:
        one = "a position and axis" if width_axes else "an anchor"
        raise ValueError(f"`widths` must have shape {expected}, one {one}, for {interpolator}, got {array.shape}.")
    array = np.array(array, dtype=np.float64, order="C") + 0.0
    anchor_axis = positions.ndim - 2
    others = tuple(axis for axis in range(array.ndim) if axis != anchor_axis)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=others))
    if bad.size:
        raise AnchorError(f"`widths` must be finite, got NaN or infinity at {name_anchors(bad)}.")
    array.flags.writeable = False
    return array


def name_anchors(indices: Any, limit: int = 6) -> str:
    """Return a short text that names anchors by index, for messages."""
    listed = [str(int(index)) for index in indices]
    shown = ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
    return f"anchor{'s' if len(listed) > 1 else ''} {shown}"


def check_distinct(positions: FloatArray) -> None:
    """Raise if two of the `(n, d)` positions are equal.

    Raises
    ------
    AnchorError
        Naming the first equal pair and how many anchors repeat an earlier one.
    """
    _, first, inverse = np.unique(positions, axis=0, return_index=True, return_inverse=True)
    repeats = np.flatnonzero(first[inverse.ravel()] != np.arange(len(positions)))
    if repeats.size:
        twin = int(first[inverse.ravel()[repeats[0]]])
        raise AnchorError(
            f"`positions` must be distinct for an interpolator that is exact at its anchors: {name_anchors(repeats)} "
            f"repeat an earlier one (anchor {int(repeats[0])} stands on anchor {twin}). Move or remove them."
        )
