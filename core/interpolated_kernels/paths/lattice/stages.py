"""Tables that both directions of the lattice path lay out alike: stages, runs, axes and arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.paths.axes import Axis, Lines, make_absent_axis, make_axis
from interpolated_kernels.paths.common import extend_axes, index_axes
from interpolated_kernels.paths.lattice.nodes import choose_nodes, count_nodes
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import VECTORS_OF_SLACK, count_lanes

if TYPE_CHECKING:  # planning reads this module and must not load the loops
    from interpolated_kernels.loops import Arrays, AxisLines, PaddedAxis, RunTable, Stage

SLACK = VECTORS_OF_SLACK * count_lanes(np.float32)
"""Values behind a workspace that whole vectors may read beyond a line's end."""


class TapSum(NamedTuple):
    """One sum of a stage: so many rows of so many columns from `target` on, each of its taps `offsets` away."""

    rows: int
    columns: int
    target: int
    offsets: IntArray
    coefficients: FloatArray


def make_axes(problem: Problem) -> tuple[Axis, Axis, Axis]:
    """Return the axes of planes, rows and columns."""
    nodes = choose_nodes(problem)
    last = len(nodes) - 1
    axes = [
        make_axis(columns, out, stride, dilation, splits=index < last)
        for index, (columns, out, stride, dilation) in enumerate(
            zip(nodes, problem.out_spatial, problem.stride, problem.dilation, strict=True)
        )
    ]
    planes, rows, columns = [make_absent_axis()] * (3 - len(axes)) + axes
    return planes, rows, columns


def count_grid(problem: Problem) -> tuple[int, int, int]:
    """Return the nodes along planes, rows and columns."""
    return extend_axes(count_nodes(problem), 1)


def find_runs(offsets: IntArray, step: int, before: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield offset, number and count of taps that are `step` apart; so many taps come before all."""
    ends = np.flatnonzero(np.diff(offsets) != step) + 1
    for first, last in itertools.pairwise([0, *ends.tolist(), len(offsets)]):
        yield int(offsets[first]), before + first, last - first


def make_run_table(runs: Sequence[tuple[int, int, int]]) -> RunTable:
    """Return runs as the loops take them."""
    starts, taps, counts = np.array(runs, np.int64).reshape(-1, 3).T
    return loops.RunTable(starts=starts, taps=taps, counts=counts)


def make_stage(sums: Sequence[TapSum], step: int, phases: int = 1) -> Stage:
    """Return the stage of some sums, which read lines of `step` values, `phases` lines on for every further row.

    Along columns, `step` 1, rows share none.
    """
    runs: list[tuple[int, int, int]] = []
    tap_ends, run_ends = [0], [0]
    for one in sums:
        if step > 1:
            runs += find_runs(one.offsets, phases * step, tap_ends[-1])
        tap_ends.append(tap_ends[-1] + len(one.offsets))
        run_ends.append(len(runs))
    return loops.Stage(
        n=len(sums),
        rows=np.array([one.rows for one in sums], np.int64),
        columns=np.array([one.columns for one in sums], np.int64),
        targets=np.array([one.target for one in sums], np.int64),
        tap_ends=np.array(tap_ends),
        run_ends=np.array(run_ends),
        nearest=np.array([one.offsets.min() // step for one in sums], np.int64),
        farthest=np.array([one.offsets.max() // step for one in sums], np.int64),
        offsets=np.concatenate([np.zeros(0, np.int64), *(one.offsets for one in sums)]),
        coefficients=np.concatenate([np.zeros(0), *(one.coefficients for one in sums)]),
        runs=make_run_table(runs),
    )


def make_axis_lines(index: int, axis: Axis, lines: Lines) -> AxisLines:
    """Return the cell of every input line of an axis; of a row only where phases begin."""
    at = np.arange(lines.n_of_phase) if index < 2 else np.zeros(1, np.int64)
    by_phase = axis.cell_step * (axis.stride * (lines.low + at) + np.array(lines.phases)[:, None])
    cells = (by_phase.T if lines.in_order else by_phase).ravel()
    return loops.AxisLines(n_lines=len(cells), lines=cells)


def make_padded_axis(problem: Problem, index: int, axis: Axis, lines: Lines) -> PaddedAxis:
    """Return the cell of every input line of an axis, and what padded cells show."""
    shown = index_axes(problem)[index]
    before, _ = extend_axes(problem.padding, (0, 0))[index]
    after = before + extend_axes(problem.spatial, 1)[index]
    return loops.PaddedAxis(
        **make_axis_lines(index, axis, lines)._asdict(),
        n_cells=len(shown),
        shown=shown,
        low=before,
        high=after,
        is_zero_outside=bool((shown[:before] < 0).all() and (shown[after:] < 0).all()),
    )


def make_arrays(problem: Problem, axes: Sequence[Axis], n_nodes: int, x_shape: tuple[int, int, int]) -> Arrays:
    """Return where the arrays lie; `x_shape` is the spatial shape of x, or of the padded x that is written."""
    y_planes, y_rows, y_columns = extend_axes(problem.out_spatial, 1)
    return loops.Arrays(
        groups=problem.groups, ins=problem.channels_per_group, outs=problem.filters_per_group, n_nodes=n_nodes,
        x_channel=int(np.prod(x_shape)), x_plane=x_shape[1] * x_shape[2], x_row=x_shape[2],
        y_channel=y_planes * y_rows * y_columns, y_plane=y_rows * y_columns, y_row=y_columns,
        plane_step=y_rows * y_columns * axes[0].n_problems, row_step=y_columns * axes[1].n_problems,
    )  # fmt: skip
