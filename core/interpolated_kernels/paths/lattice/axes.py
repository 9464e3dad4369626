"""One axis of the lattice path: the maps that its anchors stand on, and where each map reads the input.

Let `s` and `d` be the axis' stride and dilation. Column j of the axis matrix is a profile of few coefficients
`p[u]`, shifted by `t[j]` cells. So anchor j's share of output o is its weight times `M[o + lag[j]]`, where

    M[q] = sum over u of p[u] * x[q * s + phase + u * d],    t[j] * d = lag[j] * s + phase,

and all anchors of one profile and phase read the same map `M`. Transposed, `G[q]` gathers weights times y's gradient,
and x's gradient at cell `k * s + r` is the sum of `p[u] * G[k - e]` over the coefficients with
`phase + u * d = e * s + r`. A block of outputs `o0 .. o0 + n` (of inputs `k0 .. k0 + n`) needs a bounded piece of every
map, whose lines are numbered the same in all blocks.

Outputs that differ by other than multiples of `d / gcd(s, d)` share no input, so such an axis falls into that many
problems without dilation: the blocks of each read only what they use.
"""

from __future__ import annotations

import functools
import itertools
import math
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

    Line `firsts()[m] + i` of the maps is `M_m[lows[m] + i]` counted from the block's start, `i < counts[m]`; line
    `phase * span + i` of the inputs is cell `(low + i) * stride + phases[phase]`.
    """

    phases: tuple[int, ...]
    low: int
    span: int
    lows: tuple[int, ...]
    counts: tuple[int, ...]
    outputs_low: int
    outputs_span: int

    @property
    def n_inputs(self) -> int:
        """Lines of input."""
        return len(self.phases) * self.span

    def firsts(self, multiple: int = 1) -> list[int]:
        """Return the first line of every map where each starts at a multiple; the last entry is their total."""
        return [0, *itertools.accumulate(-(-count // multiple) * multiple for count in self.counts)]


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis: its maps, with stride and dilation reduced, and how padded cells and outputs fall into problems.

    Problem `rest` has the outputs `residues * o + rest` and the padded cells `unit * k + rest * step`.
    """

    out: int
    window: int
    stride: int
    unit: int
    residues: int
    step: int
    maps: tuple[Map, ...]

    @property
    def spacing(self) -> int:
        """The lines between neighbouring nodes of the map that most nodes stand on, or 0 if these are uneven."""
        lags = np.sort(max((part.lags for part in self.maps), key=len))
        return int(lags[1] - lags[0]) if len(lags) > 1 and len(set(np.diff(lags).tolist())) == 1 else 0

    @functools.cached_property
    def phases(self) -> tuple[int, ...]:
        """The cells modulo the stride that some map reads."""
        return tuple(sorted({int(read) % self.stride for part in self.maps for read in part.reads}))

    @property
    def n_coefficients(self) -> int:
        """Coefficients of all maps."""
        return sum(len(part.reads) for part in self.maps)

    @property
    def n_nodes(self) -> int:
        """The nodes that reach a cell."""
        return sum(len(part.nodes) for part in self.maps)

    def outputs_of(self, rest: int) -> int:
        """Return how many outputs problem `rest` has."""
        return max(0, -((rest - self.out) // self.residues))

    def forward_lines(self, n: int) -> Lines:
        """Return the lines that `n` outputs read."""
        lows = tuple(int(part.lags.min()) for part in self.maps)
        highs = tuple(int(part.lags.max()) for part in self.maps)
        steps = [part.reads // self.stride for part in self.maps]
        low = min(first + int(step.min()) for first, step in zip(lows, steps, strict=True))
        high = max(last + int(step.max()) for last, step in zip(highs, steps, strict=True))
        counts = tuple(n + last - first for first, last in zip(lows, highs, strict=True))
        return Lines(self.phases, low, n + high - low, lows, counts, 0, n)

    def transposed_lines(self, n: int) -> Lines:
        """Return the lines that the gradient of `n` inputs of every phase reads."""
        steps = [part.reads // self.stride for part in self.maps]
        lows = tuple(-int(step.max()) for step in steps)
        counts = tuple(n + int(step.max()) - int(step.min()) for step in steps)
        outputs_low = min(low - int(part.lags.max()) for low, part in zip(lows, self.maps, strict=True))
        outputs_high = max(
            low + count - int(part.lags.min()) for low, count, part in zip(lows, counts, self.maps, strict=True)
        )
        return Lines(self.phases, 0, n, lows, counts, outputs_low, outputs_high - outputs_low)

    def smoothing(self, lines: Lines) -> list[tuple[IntArray, FloatArray]]:
        """Return for every map the input line that each coefficient meets at the map's first line."""
        taps = []
        for part, low in zip(self.maps, lines.lows, strict=True):
            order = np.argsort(part.reads % self.stride, kind="stable")
            reads = part.reads[order]
            phase = np.searchsorted(self.phases, reads % self.stride)
            taps.append((phase * lines.span + low + reads // self.stride - lines.low, part.coefficients[order]))
        return taps

    def spreading(self, lines: Lines, firsts: list[int]) -> list[tuple[IntArray, FloatArray]]:
        """Return for every phase of the inputs the map line that each coefficient meets at the first input.

        The lines of map `m` start at `firsts[m]`.
        """
        taps = []
        for phase in self.phases:
            at, values = [], []
            for part, low, first in zip(self.maps, lines.lows, firsts, strict=True):
                chosen = np.flatnonzero(part.reads % self.stride == phase)[::-1]
                at.append(first - low - part.reads[chosen] // self.stride)
                values.append(part.coefficients[chosen])
            taps.append((np.concatenate(at), np.concatenate(values)))
        return taps

    def nodes(self, values: list[IntArray], n_nodes: int) -> IntArray:
        """Return one value a node from one array a map, -1 for nodes that reach no cell."""
        by_node = np.full(n_nodes, -1)
        for part, own in zip(self.maps, values, strict=True):
            by_node[part.nodes] = own
        return by_node

    def reached(self, lines: Lines) -> IntArray:
        """Return `(nodes, 3)` for the gradient of inputs: a node, its map, and by how much y's line exceeds the map's.

        Nodes come with rising excess: neighbours are reached by the same lines of y's gradient.
        """
        rows = [
            (node, index, low - lag - lines.outputs_low)
            for index, (part, low) in enumerate(zip(self.maps, lines.lows, strict=True))
            for node, lag in zip(part.nodes.tolist(), part.lags.tolist(), strict=True)
        ]
        return np.array(sorted(rows, key=lambda row: (row[2], row[0])), np.int64)

    def forward_blocks(self, n: int) -> IntArray:
        """Return `(blocks, 3)`: first output, first padded cell, number of outputs."""
        rows = [
            (self.residues * first + rest, self.unit * self.stride * first + rest * self.step, min(n, count - first))
            for rest in range(self.residues)
            for count in [self.outputs_of(rest)]
            for first in range(0, count, n)
        ]
        return np.array(rows, np.int64).reshape(-1, 3)

    def transposed_blocks(self, n: int, region: tuple[int, int]) -> IntArray:
        """Return `(blocks, 5)` over padded cells of a region: first k, first cell, number of k, rest, its outputs."""
        rows = []
        for rest in range(min(self.residues, self.out)):
            base = rest * self.step
            first = -((base - region[0]) // self.unit) // self.stride
            last = (region[1] - 1 - base) // self.unit // self.stride
            rows += [
                (k, self.unit * self.stride * k + base, min(n, last + 1 - k), rest, self.outputs_of(rest))
                for k in range(first, last + 1, n)
            ]
        return np.array(rows, np.int64).reshape(-1, 5)


def axis_of(columns: Columns, out: int, stride: int, dilation: int, splits: bool) -> Axis:
    """Return the axis of a 1-D matrix; `splits` it into problems without dilation."""
    common = math.gcd(stride, dilation) if splits else 1
    residues, unit = (dilation // common, dilation) if splits else (1, 1)
    maps = _maps_of(columns, stride // common, 1 if splits else dilation)
    return Axis(out, columns.entries.shape[0], stride // common, unit, residues, stride, maps)


@functools.lru_cache(maxsize=256)
def _maps_of(columns: Columns, stride: int, dilation: int) -> tuple[Map, ...]:
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

    def lines(self, n: IntArray, multiple: int = 1) -> IntArray:
        """Return the lines of all maps, each filled up to a multiple."""
        return np.sum([-(-(n + rest) // multiple) * multiple for rest in self.maps], axis=0)

    def taps(self, n: IntArray, multiple: int = 1) -> IntArray:
        """Return the sum over nodes of the lines of their maps."""
        pairs = zip(self.maps, self.nodes, strict=True)
        return np.sum([-(-(n + rest) // multiple) * multiple * nodes for rest, nodes in pairs], axis=0)


@functools.lru_cache(maxsize=512)
def growth_of(maps: tuple[Map, ...], stride: int, transposed: bool) -> Growth:
    """Return how the lines of an axis' blocks grow."""
    axis = Axis(1, 1, stride, 1, 1, stride, maps)
    one, two = ((axis.transposed_lines(n) if transposed else axis.forward_lines(n)) for n in (1, 2))
    slope = two.n_inputs - one.n_inputs
    return Growth(
        (slope, one.n_inputs - slope),
        tuple(count - 1 for count in one.counts),
        one.outputs_span - 1,
        axis.n_coefficients / len(maps),
        tuple(len(part.nodes) for part in maps),
    )


@functools.cache
def absent_axis() -> Axis:
    """Return the axis of one cell that stands for a leading axis which the problem lacks."""
    one, zero = np.ones(1), np.zeros(1, np.int64)
    return Axis(1, 1, 1, 1, 1, 1, (Map(one, zero, zero, zero),))
