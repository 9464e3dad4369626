"""The input is smoothed once for each class of profiles, then every anchor is one tap: the price of anchors, not cells.

For a tensor product of 1-D interpolation matrices whose columns are shifts of a few profiles,

    y[f] = sum over anchors a of weights[f, a] * (map of a's classes, shifted by a's position).

Where an axis's columns have no profile in common but combine a few short functions, those take the anchors' place.
Exact, not an approximation. The weights' gradient is dot products with the same maps; the gradient by x is the
transpose: anchors' taps into maps, then the smoothing transposed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.machine import Machine
from interpolated_kernels.padding import add_folded, fold_axis, padded_index
from interpolated_kernels.paths.common import Cost, no_parts, room_of, tap_rate, traffic
from interpolated_kernels.paths.lattice.axes import Axis
from interpolated_kernels.paths.lattice.layout import Forward, active_nodes, axes_of, forward_layout, grid_of
from interpolated_kernels.paths.lattice.nodes import (
    amplification_of,
    node_numbers,
    node_values,
    node_values_transpose,
    transform_work,
)
from interpolated_kernels.paths.lattice.sizes import Sizes, forward_sizes, transposed_sizes
from interpolated_kernels.paths.lattice.transposed import Transposed, regions_of, transposed_layout
from interpolated_kernels.paths.path import Part, Prepared, PreparedBankPath
from interpolated_kernels.problem import Problem

ACCURACY = "componentwise"
TAKES = "bank"
SUMS_IN: str | None = None
parts = no_parts

_PRODUCTS_OF_SUM = 4096
_BYTES_OF_PARTIAL_SUMS = 16 * 2**20
_PARTS = 32
_BYTES_OF_FOLD = 16 * 2**20


@dataclass(frozen=True)
class Folding:
    """Padded cells whose gradients are held at once: of some samples, `cells` of the first axis, in so many bands."""

    samples: int
    cells: int
    n_bands: int
    nbytes: int


def folding_of(problem: Problem, workspace_bytes: int) -> Folding:
    """Return the largest bands that fit beside the workspaces; with zeros around x nothing is folded, in one band."""
    length = problem.padded[0]
    if problem.padding_mode == "zeros":
        return Folding(problem.batch, max(length, 1), 1, 0)
    line = 2 * np.dtype(problem.dtype).itemsize * problem.channels * int(np.prod(problem.padded[1:]))
    room = room_of(problem, _BYTES_OF_FOLD, workspace_bytes) // 2
    samples, cells = max(1, min(problem.batch, room // (line * length))), min(length, max(1, room // line))
    return Folding(samples, cells, -(-length // cells), samples * cells * line)


def _workspace_bytes(problem: Problem, axes: Sequence[Axis], forward: Sizes) -> int:
    """Return the bytes of the maps of two threads, and of the nodes' values."""
    values = max(forward.values, transposed_sizes(problem, axes).values)
    nodes = problem.filters * problem.channels_per_group * int(np.prod(grid_of(problem)))
    return np.dtype(problem.dtype).itemsize * (2 * values + 2 * nodes) + min(_BYTES_OF_PARTIAL_SUMS, 8 * _PARTS * nodes)


def supports(problem: Problem) -> str | None:
    """Serve tensor products on shared positions, on the CPU."""
    if problem.device != "cpu":
        return f"its loops run on the CPU, and the arrays are on {problem.device}"
    factors = problem.kernel.structure.factors
    if factors is None:
        return "the kernel is not a tensor product on shared positions: a grid with 'linear' or 'cubic' unlocks it"
    if not all(any(len(profile) for profile in axis.profiles) for axis in factors.axes):
        return "no anchor reaches a cell"
    if problem.kernel.interpolates_channels and not factors.axes[-1].reached.all():
        return "some channel is reached by no anchor"
    return None


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the anchors' taps, and the smoothing of the maps, at the rate of register tiles."""
    itemsize = np.dtype(problem.dtype).itemsize
    axes = axes_of(problem)
    sizes = forward_sizes(problem, axes)
    outputs, columns = float(np.prod(problem.out_spatial, dtype=np.float64)), max(problem.out_spatial[-1], 1)
    tile = (3 if problem.filters_per_group >= 4 else 8) * 32 // itemsize  # of one filter a short row fills no tile
    taps = outputs * problem.filters * problem.channels_per_group * float(np.prod(grid_of(problem)))
    seconds = machine.call_seconds + taps * max(1.0, tile / columns) / tap_rate(problem, machine, shares_inputs=False)
    blocks = problem.channels * outputs / float(np.prod(sizes.counts))
    seconds += blocks * sizes.smoothing / (0.25 * machine.multiply_adds_per_second * 4 / itemsize)
    seconds += transform_work(problem) / machine.mixed_per_second
    seconds += blocks * (1.5 + 0.03 * sizes.lines) * machine.task_seconds + traffic(problem, machine)
    workspaces = _workspace_bytes(problem, axes, sizes)
    extra = workspaces + folding_of(problem, workspaces).nbytes
    return Cost(seconds, extra, f"componentwise, {problem.dtype}")


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Find the maps of every axis."""
    axes = axes_of(problem)
    return PreparedLattice(problem, axes, active_nodes(axes, grid_of(problem)))


@dataclass(frozen=True, eq=False)
class PreparedLattice(PreparedBankPath):
    """What a plan keeps: axes, the nodes that reach a cell, and the tables of each computation, made when asked for."""

    problem: Problem
    axes: tuple[Axis, Axis, Axis]
    nodes: IntArray

    @functools.cached_property
    def forward_tables(self) -> Forward:
        """The tables of forward and of the weights' gradient."""
        return forward_layout(self.problem, self.axes, self.nodes)

    @functools.cached_property
    def packing(self) -> IntArray:
        """Which value of the nodes' bank stands where in the loops' weights."""
        return _pack_weights(node_numbers(self.problem)[:, :, self.nodes], self.problem.groups)

    @functools.cached_property
    def transposed_packing(self) -> IntArray:
        """The same for the gradient by x."""
        problem, (planes, rows, columns) = self.problem, grid_of(self.problem)
        by_group = node_numbers(self.problem).reshape(
            problem.groups, problem.filters_per_group, problem.channels_per_group, planes * rows, columns
        )
        return self.transposed.pack(np.swapaxes(by_group, 1, 2))

    @functools.cached_property
    def transposed(self) -> Transposed:
        """The tables of the gradient by x, of the first band where padding is folded back band by band."""
        return self.transposed_band(0)

    @functools.cached_property
    def folding(self) -> Folding:
        """How the gradient by padded cells is cut."""
        sizes = forward_sizes(self.problem, self.axes)
        return folding_of(self.problem, _workspace_bytes(self.problem, self.axes, sizes))

    def transposed_band(self, band: int) -> Transposed:
        """Return the tables of the gradient by the padded cells of a band."""
        regions, axis = regions_of(self.problem), 3 - self.problem.kernel.n_dims
        low, high = regions[axis]
        first = low + band * self.folding.cells
        regions[axis] = (first, min(first + self.folding.cells, high))
        return transposed_layout(self.problem, self.axes, len(self.nodes), regions)

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        problem, tables = self.problem, self.forward_tables
        values, spoilt = node_values(problem, kernels)
        weights = values[self.packing]
        n_tasks = tables.n_items * problem.groups
        loops.lattice_forward(x.reshape(-1), weights, tables.job, tables.block_size, n_tasks, out.reshape(-1))
        if spoilt is not None:
            out[:, spoilt.any(axis=1)] = np.nan

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        problem = self.problem
        values, spoilt = node_values(problem, kernels)
        weights = values[self.transposed_packing]
        out[...] = 0
        if problem.padding_mode == "zeros":
            tables = self.transposed
            n_tasks = tables.n_tasks * problem.batch
            loops.lattice_grad_x(grad_y.reshape(-1), weights, tables.job, tables.block_size, n_tasks, out.reshape(-1))
        else:
            for band in range(self.folding.n_bands):
                self._add_band(self.transposed_band(band) if band else self.transposed, band, grad_y, weights, out)
        if spoilt is not None:
            _spoil(out, spoilt, problem)

    def _add_band(
        self, tables: Transposed, band: int, grad_y: FloatArray, weights: FloatArray, out: FloatArray
    ) -> None:
        """Add the gradients by a band of padded cells to the cells that they show, some samples at a time."""
        problem, folding = self.problem, self.folding
        first = band * folding.cells
        cells = (min(folding.cells, problem.padded[0] - first), *problem.padded[1:])
        index = padded_index(problem.spatial[0], *problem.padding[0], problem.padding_mode)[first : first + cells[0]]
        for sample in range(0, problem.batch, folding.samples):
            chunk = slice(sample, sample + folding.samples)
            grad = np.zeros((len(out[chunk]), problem.channels, *cells), problem.dtype)
            n_tasks = tables.n_tasks * len(grad)
            loops.lattice_grad_x(
                grad_y[chunk].reshape(-1), weights, tables.job, tables.block_size, n_tasks, grad.reshape(-1)
            )
            for axis in range(1, len(cells)):
                pair = problem.padding[axis]
                grad = fold_axis(grad, axis + 2, problem.spatial[axis], *pair, problem.padding_mode)
            add_folded(out[chunk], grad, 2, index)

    def grad_bank(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)`, in float64."""
        problem, tables = self.problem, self.forward_tables
        n_sums = problem.filters * problem.channels_per_group * len(self.nodes)
        n_parts = max(1, min(_PARTS, _BYTES_OF_PARTIAL_SUMS // (8 * n_sums)))
        grads = np.zeros((n_parts, n_sums))
        loops.lattice_grad_bank(
            grad_y.reshape(-1), x.reshape(-1), tables.job, tables.block_size, tables.n_items, problem.groups,
            _products_of_sum(self), grads,
        )  # fmt: skip
        total = np.zeros((problem.filters, problem.channels_per_group, int(np.prod(grid_of(problem)))))
        total[:, :, self.nodes] = functools.reduce(np.add, grads).reshape(*total.shape[:2], -1)
        total[~np.isfinite(total).all(axis=-1)] = np.nan  # the definition multiplies every cell by every anchor's entry
        return node_values_transpose(problem, total)


def _products_of_sum(state: PreparedLattice) -> int:
    """Return how many products are summed before float64: a map's value may already be a sum of `mass` cells.

    Nodes that cancel add to the errors as more cells would.
    """
    mass = float(np.prod([max(abs(part.coefficients).sum() for part in axis.maps) for axis in state.axes]))
    mass *= amplification_of(state.problem)
    lanes = loops.lanes_of(state.problem.dtype)
    return int(max(lanes, min(_PRODUCTS_OF_SUM, lanes * _PRODUCTS_OF_SUM / mass)))


def _pack_weights(values: IntArray, groups: int) -> IntArray:
    """Return weights in the loops' order: four outs at a time, in, node, out."""
    n_outs, n_ins, n_nodes = len(values) // groups, values.shape[1], values.shape[2]
    values = values.reshape(groups, n_outs, n_ins, n_nodes)
    packed = [
        values[:, outs].reshape(groups, -1, width, n_ins, n_nodes).transpose(0, 1, 3, 4, 2).reshape(groups, -1)
        for outs, width in _tiles(n_outs)
    ]
    return np.concatenate(packed, axis=1).ravel()


def _tiles(count: int) -> list[tuple[slice, int]]:
    """Return the tiles of four, then of two and of one, as the loops take them."""
    fours, twos = count // 4 * 4, count // 2 * 2
    tiles = [(slice(0, fours), 4), (slice(fours, twos), 2), (slice(twos, count), 1)]
    return [tile for tile in tiles if tile[0].stop > tile[0].start]


def _spoil(grad: FloatArray, spoilt: BoolArray, problem: Problem) -> None:
    """Put NaN at every cell of x that a kernel with a non-finite weight reaches."""
    reached = functools.reduce(np.multiply.outer, [_reached(problem, axis) for axis in range(problem.kernel.n_dims)])
    by_group = spoilt.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group).any(axis=1)
    grad[:, by_group.ravel()] = np.where(reached, np.nan, grad[:, by_group.ravel()])


def _reached(problem: Problem, axis: int) -> BoolArray:
    """Return which cells of x some tap of some output meets, along one axis."""
    taps = np.flatnonzero(problem.kernel.factors().axes[axis].reached) * problem.dilation[axis]
    outputs = np.arange(problem.out_spatial[axis]) * problem.stride[axis]
    shown = padded_index(problem.spatial[axis], *problem.padding[axis], problem.padding_mode)
    cells = shown[np.unique(outputs[:, None] + taps)]
    reached = np.zeros(problem.spatial[axis], bool)
    reached[cells[cells >= 0]] = True
    return reached
