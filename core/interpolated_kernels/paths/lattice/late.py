"""Where columns are smoothed last: the order of the nodes, and what their shares add up to.

Smoothing a row along columns reads across cache lines, and every map along columns is smoothed along rows and planes
again. With few filters it is cheaper to smooth along rows and planes alone, to let the nodes of each profile along
columns add up to a sum of their own, and to smooth these sums once for every filter, all channels together:

    y[o] = sum over profiles p, u of p[u] * S_p[o + u],
    S_p[q] = sum over the nodes j of profile p of w[j] * M[q + lag[j]].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.axes import Axis, Lines
from interpolated_kernels.problem import Problem

if TYPE_CHECKING:  # planning reads this module and must not load the loops
    from interpolated_kernels.loops import LateColumns

_MOST_FILTERS = 4
"""Filters whose sums may take room beside the maps."""


@dataclass(frozen=True, eq=False)
class LateLines:
    """The sums of the nodes' shares along columns for a block of `n` outputs.

    Share `s` has `counts[s]` of them: value `i` is `S_s[lows[s] + i]`, and stands at `starts[s] + i`. There is room for
    whole vectors, two at least. A sum's coefficients meet outputs at most `reach` before its number.
    """

    n: int
    lows: tuple[int, ...]
    counts: tuple[int, ...]
    starts: list[int]

    @property
    def reach(self) -> int:
        """The most cells by which the coefficients of a profile lie apart."""
        return max(self.counts) - self.n


def smooths_columns_late(problem: Problem, axes: Sequence[Axis], channels: int | None = None) -> bool:
    """Return whether smoothing along columns last makes less work, which depends on no size of x.

    It is done once for so many channels: in forward all of a group. Backward it then comes first, on y's gradient.
    """
    planes, rows, columns = axes
    filters = problem.filters_per_group
    has_gaps = any((np.diff(each.reads) > 1).any() for each in columns.maps)
    if problem.kernel.n_dims == 1 or columns.stride > 1 or has_gaps or filters > _MOST_FILTERS:
        return False
    n_columns, n_rows = len(columns.maps), len(rows.maps)
    along_planes = planes.n_coefficients if problem.kernel.n_dims == 3 else 0
    early = columns.n_coefficients + n_columns * (rows.n_coefficients + n_rows * along_planes)
    late = rows.n_coefficients + n_rows * along_planes
    return late + columns.n_coefficients * filters / (channels or problem.channels_per_group) < early


def order_by_share(axis: Axis, nodes: IntArray, n_columns: int) -> IntArray:
    """Return the nodes profile after profile along columns, otherwise as they come."""
    return nodes[np.argsort(_find_shares(axis, n_columns)[nodes % n_columns], kind="stable")]


def count_of_shares(axis: Axis, nodes: IntArray, n_columns: int) -> list[int]:
    """Return how many of the nodes stand on each profile along columns."""
    return np.bincount(_find_shares(axis, n_columns)[nodes % n_columns], minlength=len(axis.maps)).tolist()


def find_late_lines(axis: Axis, n: int, lanes: int) -> LateLines:
    """Return the sums that a block of so many outputs needs."""
    lows = tuple(int(each.reads.min()) for each in axis.maps)
    counts = tuple(n + int(each.reads.max()) - low for each, low in zip(axis.maps, lows, strict=True))
    sizes = (max(2, -(-count // lanes)) * lanes for count in counts)
    return LateLines(n, lows, counts, [0, *itertools.accumulate(sizes)])


def make_late_columns(axis: Axis, lines: LateLines, at: int, shape: tuple[int, int, int]) -> LateColumns:
    """Return how columns are smoothed last, for the filters, planes and rows of a block; sums begin at `at`."""
    filters, planes, rows = shape
    line, wide = lines.starts[-1], lines.n + 2 * lines.reach
    of_share = list(zip(axis.maps, lines.lows, lines.starts[:-1], strict=True))
    return loops.LateColumns(
        n_taps=axis.n_coefficients,
        offsets=np.concatenate([start + each.reads - low for each, low, start in of_share]),
        coefficients=np.concatenate([each.coefficients for each in axis.maps]),
        at=at, size=planes * rows * line, line=line, columns=lines.n,
        starts=np.array(lines.starts), counts=np.array(lines.counts),
        ends=np.cumsum([0, *(len(each.reads) for each in axis.maps)]),
        offsets_back=np.concatenate([lines.reach + low - each.reads for each, low, _ in of_share]),
        at_outputs=at + filters * planes * rows * line, wide=wide, beside=lines.reach,
    )  # fmt: skip


def make_no_late_columns() -> LateColumns:
    """Return what says that columns are smoothed first."""
    none, zero = np.zeros(0, np.int64), dict.fromkeys(("n_taps", "at", "size", "line", "columns"), 0)
    return loops.LateColumns(
        **zero, offsets=none, coefficients=np.zeros(0), starts=none, counts=none, ends=none, offsets_back=none,
        at_outputs=0, wide=0, beside=0,
    )  # fmt: skip


def find_output_sums(axis: Axis, lines: Lines, lanes: int) -> tuple[LateLines, list[IntArray]]:
    """Return the sums of y's gradient along columns that a block of cells meets, and where their taps read a row of it.

    Value `i` of sum `s` is `sum of p[u] * grad_y[lows[s] + i - u]`; a node reads it for cell `lows[s] + i + lag`.
    """
    found = axis.find_forward_lines(lines.n_of_phase)
    lows = tuple(-int(each.lags.max()) for each in axis.maps)
    sizes = (max(2, -(-count // lanes)) * lanes for count in found.counts)
    sums = LateLines(lines.n_of_phase, lows, found.counts, [0, *itertools.accumulate(sizes)])
    reads = [low - each.reads - lines.output_low for each, low in zip(axis.maps, lows, strict=True)]
    return sums, reads


def _find_shares(axis: Axis, n_columns: int) -> IntArray:
    return axis.spread_over_nodes([np.full(len(each.nodes), index) for index, each in enumerate(axis.maps)], n_columns)
