"""One axis as its anchors see it: the maps that they stand on, and where each map reads the input.

Let `s` and `d` be the axis' stride and dilation. Column j of the axis matrix is a profile of few coefficients
`p[u]`, shifted by `t[j]` cells. So anchor j's share of output o is its weight times `M[o + lag[j]]`, where

    M[q] = sum over u of p[u] * x[q * s + phase + u * d],    t[j] * d = lag[j] * s + phase,

and all anchors of one profile and phase read the same map `M`. Transposed, `G[q]` gathers weights times y's gradient,
and x's gradient at cell `k * s + r` is the sum of `p[u] * G[k - e]` over the coefficients with
`phase + u * d = e * s + r`. A block of outputs `o0 .. o0 + n` (of inputs `k0 .. k0 + n`) needs a bounded piece of every
map, whose lines are numbered the same in all blocks.

Outputs that differ by other than multiples of `d / gcd(s, d)` share no input, so such an axis falls into that many
interleaved problems without dilation: the blocks of each read only what they use.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.structure import Columns


@dataclass(frozen=True, eq=False)
class Map:
    """The anchors of one profile and phase: `M[q] = sum of coefficients * x[q * stride + reads]`."""

    coefficients: FloatArray
    reads: IntArray
    nodes: IntArray
    lags: IntArray


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines that a block of `n` outputs (or inputs) needs: inputs by phase, maps, and their taps.

    Counted from the block's start, line `phase * phase_step + i * line_step` of the inputs is cell
    `(low + i) * stride + phases[phase]`: phase after phase, or `in_order` of the cells. Line `i` of map `m`,
    `i < counts[m]`, is `M_m[lows[m] + i]`; and outputs from `output_low` on, `n_outputs` of them, are written or read.
    """

    phases: tuple[int, ...]
    low: int
    n_of_phase: int
    lows: tuple[int, ...]
    counts: tuple[int, ...]
    output_low: int
    n_outputs: int
    in_order: bool = False

    @property
    def n_inputs(self) -> int:
        """Lines of input."""
        return len(self.phases) * self.n_of_phase

    @property
    def phase_step(self) -> int:
        """The input lines from one phase to the next."""
        return 1 if self.in_order else self.n_of_phase

    @property
    def line_step(self) -> int:
        """The input lines between neighbours of one phase."""
        return len(self.phases) if self.in_order else 1

    def place_maps(self, multiple: int = 1, least: int = 1) -> list[int]:
        """Return the first line of every map, each of `least` multiples or more; the last entry is their total."""
        return [0, *itertools.accumulate(max(least, -(-count // multiple)) * multiple for count in self.counts)]


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis: its maps, with stride and dilation reduced, and its interleaved problems.

    Problem `p` has the outputs `n_problems * o + p` and the padded cells `cell_step * k + p * problem_step`.
    """

    out: int
    stride: int
    cell_step: int
    n_problems: int
    problem_step: int
    maps: tuple[Map, ...]

    @property
    def spacing(self) -> int:
        """The lines between neighbouring nodes of the map that most nodes stand on, or 0 if these are uneven."""
        lags = np.sort(max((each.lags for each in self.maps), key=len))
        return int(lags[1] - lags[0]) if len(lags) > 1 and len(set(np.diff(lags).tolist())) == 1 else 0

    @functools.cached_property
    def phases(self) -> tuple[int, ...]:
        """The cells modulo the stride that some map reads."""
        return tuple(sorted({int(read) % self.stride for each in self.maps for read in each.reads}))

    @property
    def n_coefficients(self) -> int:
        """Coefficients of all maps."""
        return sum(len(each.reads) for each in self.maps)

    @property
    def n_nodes(self) -> int:
        """The nodes that reach a cell."""
        return sum(len(each.nodes) for each in self.maps)

    def count_outputs(self, problem: int) -> int:
        """Return how many outputs an interleaved problem has."""
        return max(0, -((problem - self.out) // self.n_problems))

    def find_forward_lines(self, n: int, in_order: bool = False) -> Lines:
        """Return the lines that `n` outputs read."""
        lows = tuple(int(each.lags.min()) for each in self.maps)
        highs = tuple(int(each.lags.max()) for each in self.maps)
        steps = [each.reads // self.stride for each in self.maps]
        low = min(first + int(step.min()) for first, step in zip(lows, steps, strict=True))
        high = max(last + int(step.max()) for last, step in zip(highs, steps, strict=True))
        counts = tuple(n + last - first for first, last in zip(lows, highs, strict=True))
        return Lines(self.phases, low, n + high - low, lows, counts, output_low=0, n_outputs=n, in_order=in_order)

    def find_grad_lines(self, n: int) -> Lines:
        """Return the lines that the gradient of `n` inputs of every phase reads."""
        steps = [each.reads // self.stride for each in self.maps]
        lows = tuple(-int(step.max()) for step in steps)
        counts = tuple(n + int(step.max()) - int(step.min()) for step in steps)
        output_low = min(low - int(each.lags.max()) for low, each in zip(lows, self.maps, strict=True))
        output_high = max(
            low + count - int(each.lags.min()) for low, count, each in zip(lows, counts, self.maps, strict=True)
        )
        return Lines(self.phases, 0, n, lows, counts, output_low, output_high - output_low)

    def find_smoothing(self, lines: Lines) -> list[tuple[IntArray, FloatArray]]:
        """Return for every map the input line that each coefficient meets at the map's first line."""
        taps = []
        for each, low in zip(self.maps, lines.lows, strict=True):
            order = np.argsort(each.reads % self.stride, kind="stable")
            reads = each.reads[order]
            phase = np.searchsorted(self.phases, reads % self.stride)
            places = (low + reads // self.stride - lines.low) * lines.line_step
            taps.append((phase * lines.phase_step + places, each.coefficients[order]))
        return taps

    def find_spreading(self, lines: Lines, firsts: list[int]) -> list[tuple[IntArray, FloatArray]]:
        """Return for every phase of the inputs the map line that each coefficient meets at the first input.

        The lines of map `m` start at `firsts[m]`.
        """
        taps = []
        for phase in self.phases:
            at, values = [], []
            for each, low, first in zip(self.maps, lines.lows, firsts, strict=True):
                chosen = np.flatnonzero(each.reads % self.stride == phase)[::-1]
                at.append(first - low - each.reads[chosen] // self.stride)
                values.append(each.coefficients[chosen])
            taps.append((np.concatenate(at), np.concatenate(values)))
        return taps

    def spread_over_nodes(self, values: list[IntArray], n_nodes: int) -> IntArray:
        """Return one value a node from one array a map, -1 for nodes that reach no cell."""
        by_node = np.full(n_nodes, -1)
        for each, of_map in zip(self.maps, values, strict=True):
            by_node[each.nodes] = of_map
        return by_node

    def find_excess(self, lines: Lines) -> IntArray:
        """Return `(nodes, 3)` for the gradient of inputs: a node, its map, and by how much y's line exceeds the map's.

        Nodes come with rising excess: neighbours are reached by the same lines of y's gradient.
        """
        rows = [
            (node, index, low - lag - lines.output_low)
            for index, (each, low) in enumerate(zip(self.maps, lines.lows, strict=True))
            for node, lag in zip(each.nodes.tolist(), each.lags.tolist(), strict=True)
        ]
        return np.array(sorted(rows, key=lambda row: (row[2], row[0])), np.int64)

    def cut_outputs(self, n: int) -> IntArray:
        """Return the blocks of at most `n` outputs, `(3, blocks)`: first output, first padded cell, outputs."""
        blocks = [
            (
                self.n_problems * first + problem,
                self.cell_step * self.stride * first + problem * self.problem_step,
                min(n, count - first),
            )
            for problem in range(self.n_problems)
            for count in [self.count_outputs(problem)]
            for first in range(0, count, n)
        ]
        return np.array(blocks, np.int64).reshape(-1, 3).T

    def cut_cells(self, n: int, region: tuple[int, int]) -> IntArray:
        """Return the blocks of at most `n` cells of a phase that cover a region of padded cells, `(5, blocks)`.

        The first of these cells in its interleaved problem, and as a padded cell; how many; the problem; its outputs.
        """
        blocks = []
        for problem in range(min(self.n_problems, self.out)):
            base = problem * self.problem_step
            first = -((base - region[0]) // self.cell_step) // self.stride
            last = (region[1] - 1 - base) // self.cell_step // self.stride
            blocks += [
                (k, self.cell_step * self.stride * k + base, min(n, last + 1 - k), problem, self.count_outputs(problem))
                for k in range(first, last + 1, n)
            ]
        return np.array(blocks, np.int64).reshape(-1, 5).T


def make_axis(columns: Columns, out: int, stride: int, dilation: int, splits: bool) -> Axis:
    """Return the axis of a 1-D matrix; `splits` it into interleaved problems without dilation."""
    common = math.gcd(stride, dilation) if splits else 1
    maps = _find_maps(columns, stride // common, 1 if splits else dilation)
    n_problems, cell_step = (dilation // common, dilation) if splits else (1, 1)
    return Axis(out, stride // common, cell_step, n_problems, stride, maps)


def make_dense_axis(window: int, out: int, stride: int, dilation: int) -> Axis:
    """Return the axis of a window whose every cell is a tap: its maps are the phases of the stride, unsmoothed."""
    starts, one = np.arange(window) * dilation, np.ones(1)
    maps = [
        Map(
            one, np.array([phase]), np.flatnonzero(starts % stride == phase), starts[starts % stride == phase] // stride
        )
        for phase in sorted(set((starts % stride).tolist()))
    ]
    return Axis(out, stride, 1, 1, stride, tuple(maps))


@functools.lru_cache(maxsize=256)
def _find_maps(columns: Columns, stride: int, dilation: int) -> tuple[Map, ...]:
    maps = []
    for index, profile in enumerate(columns.profiles):
        cells = np.flatnonzero(profile)
        if not cells.size:
            continue
        nodes = np.flatnonzero(columns.classes == index)
        starts = columns.shifts[nodes] * dilation
        for phase in sorted(set((starts % stride).tolist())):
            chosen = starts % stride == phase
            maps.append(Map(profile[cells], phase + cells * dilation, nodes[chosen], starts[chosen] // stride))
    return tuple(maps)


@dataclass(frozen=True)
class Growth:
    """How the lines of a block grow with its size n: inputs `slope * n + rest`, outputs and every map `n + rest`."""

    inputs: tuple[int, int]
    maps: tuple[int, ...]
    outputs: int
    coefficients: float
    nodes: tuple[int, ...]

    def lines(self, n: IntArray, multiple: int = 1, least: int = 1) -> IntArray:
        """Return the lines of all maps, each filled up to `least` multiples or more."""
        return np.sum([np.maximum(least, -(-(n + rest) // multiple)) * multiple for rest in self.maps], axis=0)

    def taps(self, n: IntArray, multiple: int = 1, least: int = 1) -> IntArray:
        """Return the sum over nodes of the lines of their maps."""
        return np.sum(
            [
                np.maximum(least, -(-(n + rest) // multiple)) * multiple * nodes
                for rest, nodes in zip(self.maps, self.nodes, strict=True)
            ],
            axis=0,
        )


@functools.lru_cache(maxsize=512)
def find_growth(maps: tuple[Map, ...], stride: int, transposed: bool) -> Growth:
    """Return how the lines of an axis' blocks grow."""
    axis = Axis(1, stride, 1, 1, stride, maps)
    one, two = ((axis.find_grad_lines(n) if transposed else axis.find_forward_lines(n)) for n in (1, 2))
    slope = two.n_inputs - one.n_inputs
    return Growth(
        (slope, one.n_inputs - slope),
        tuple(count - 1 for count in one.counts),
        one.n_outputs - 1,
        axis.n_coefficients / len(maps),
        tuple(len(each.nodes) for each in maps),
    )


@functools.cache
def make_absent_axis() -> Axis:
    """Return the axis of one cell that stands for a leading axis which the problem lacks."""
    one, zero = np.ones(1), np.zeros(1, np.int64)
    return Axis(1, 1, 1, 1, 1, (Map(one, zero, zero, zero),))


def sum_over_axes(axes: Sequence[Axis], by_axis: list[list[IntArray]], grid: Sequence[int]) -> IntArray:
    """Return the sum over axes of one value a node, nodes in C order; -1 for nodes that reach no cell."""
    along = [axis.spread_over_nodes(values, n) for axis, values, n in zip(axes, by_axis, grid, strict=True)]
    planes, rows, columns = np.meshgrid(*along, indexing="ij")
    missing = (planes < 0) | (rows < 0) | (columns < 0)
    return np.where(missing, -1, planes + rows + columns).ravel()


def find_active_nodes(axes: Sequence[Axis], grid: Sequence[int]) -> IntArray:
    """Return the nodes that reach a cell, rows fastest: a tile of rows runs along them."""
    nothing = [[np.zeros(len(each.nodes), np.int64) for each in axis.maps] for axis in axes]
    nodes = np.arange(int(np.prod(grid))).reshape(grid).transpose(0, 2, 1).ravel()
    return nodes[sum_over_axes(axes, nothing, grid)[nodes] >= 0]
