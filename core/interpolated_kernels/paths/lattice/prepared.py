"""The lattice path's three computations, on tables that are laid out when they are asked for."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.padding import add_folded, fold_axis, index_axis
from interpolated_kernels.paths.axes import Axis
from interpolated_kernels.paths.common import extend_axes
from interpolated_kernels.paths.lattice.folding import Folding, choose_folding
from interpolated_kernels.paths.lattice.forward import ForwardLayout, lay_out_forward
from interpolated_kernels.paths.lattice.grad_x import GradXLayout, lay_out_grad_x
from interpolated_kernels.paths.lattice.nodes import (
    find_amplification,
    number_nodes,
    transform_weights,
    transpose_to_weights,
)
from interpolated_kernels.paths.lattice.sizes import (
    BYTES_OF_PARTIAL_SUMS,
    PARTS,
    choose_output_block,
    count_workspace_bytes,
)
from interpolated_kernels.paths.lattice.stages import count_grid
from interpolated_kernels.paths.path import PreparedBankPath
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import count_lanes

_PRODUCTS_OF_SUM = 4096


@dataclass(frozen=True, eq=False)
class PreparedLattice(PreparedBankPath):
    """The axes, the nodes that reach a cell, and the tables of each computation, made when asked for."""

    problem: Problem
    axes: tuple[Axis, Axis, Axis]
    nodes: IntArray

    @functools.cached_property
    def forward_layout(self) -> ForwardLayout:
        """The tables of forward and of the weights' gradient."""
        return lay_out_forward(self.problem, self.axes, self.nodes)

    @functools.cached_property
    def packing(self) -> IntArray:
        """Which value of the nodes' bank stands where in the loops' weights."""
        return _pack_weights(number_nodes(self.problem)[:, :, self.nodes], self.problem.groups)

    @functools.cached_property
    def grad_x_packing(self) -> IntArray:
        """The same for the gradient by x."""
        problem, (planes, rows, columns) = self.problem, count_grid(self.problem)
        by_group = number_nodes(self.problem).reshape(
            problem.groups, problem.filters_per_group, problem.channels_per_group, planes * rows, columns
        )
        return self.grad_x_layout.pack_weights(np.swapaxes(by_group, 1, 2))

    @functools.cached_property
    def grad_x_layout(self) -> GradXLayout:
        """The tables of the gradient by x, of the first band where padding is folded back band by band."""
        return self.lay_out_band(0)

    @functools.cached_property
    def folding(self) -> Folding:
        """How the gradient by padded cells is cut."""
        size = choose_output_block(self.problem, self.axes)
        return choose_folding(self.problem, count_workspace_bytes(self.problem, self.axes, size))

    def lay_out_band(self, band: int) -> GradXLayout:
        """Return the tables of the gradient by the padded cells of a band."""
        regions, axis = list(extend_axes(self.problem.regions, (0, 1))), 3 - self.problem.kernel.n_dims
        low, high = regions[axis]
        first = low + band * self.folding.cells
        regions[axis] = (first, min(first + self.folding.cells, high))
        return lay_out_grad_x(self.problem, self.axes, len(self.nodes), regions)

    def forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write y."""
        problem, layout = self.problem, self.forward_layout
        values, spoilt = transform_weights(problem, kernels)
        weights = values[self.packing]
        n_tasks = layout.n_blocks * problem.groups
        loops.lattice_forward(x.reshape(-1), weights, layout.tables, layout.work_size, n_tasks, out.reshape(-1))
        if spoilt is not None:
            out[:, spoilt.any(axis=1)] = np.nan

    def grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray) -> None:
        """Write the gradient by x."""
        problem = self.problem
        values, spoilt = transform_weights(problem, kernels)
        weights = values[self.grad_x_packing]
        out[...] = 0
        if not any(problem.folds):
            layout = self.grad_x_layout
            n_tasks = layout.n_tasks * problem.batch
            loops.lattice_grad_x(grad_y.reshape(-1), weights, layout.tables, layout.work_size, n_tasks, out.reshape(-1))
        else:
            for band in range(self.folding.n_bands):
                self._add_band(self.lay_out_band(band) if band else self.grad_x_layout, band, grad_y, weights, out)
        if spoilt is not None:
            _spoil(out, spoilt, problem)

    def _add_band(
        self, layout: GradXLayout, band: int, grad_y: FloatArray, weights: FloatArray, out: FloatArray
    ) -> None:
        """Add the gradients by a band of padded cells to the cells that they show, some samples at a time."""
        problem, folding = self.problem, self.folding
        shown = [index_axis(problem, axis)[slice(*region)] for axis, region in enumerate(problem.regions)]
        shown[0] = shown[0][band * folding.cells : (band + 1) * folding.cells]
        for sample in range(0, problem.batch, folding.samples):
            chunk = slice(sample, sample + folding.samples)
            grad = np.zeros((len(out[chunk]), problem.channels, *map(len, shown)), problem.dtype)
            n_tasks, given = layout.n_tasks * len(grad), grad_y[chunk].reshape(-1)
            loops.lattice_grad_x(given, weights, layout.tables, layout.work_size, n_tasks, grad.reshape(-1))
            for axis in range(1, len(shown)):
                grad = fold_axis(grad, axis + 2, shown[axis], problem.spatial[axis])
            add_folded(out[chunk], grad, 2, shown[0])

    def grad_bank(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)`, in float64."""
        problem, layout = self.problem, self.forward_layout
        n_sums = problem.filters * problem.channels_per_group * len(self.nodes)
        n_parts = max(1, min(PARTS, BYTES_OF_PARTIAL_SUMS // (8 * n_sums)))
        grads = np.zeros((n_parts, n_sums))
        work = loops.Work(n_parts, layout.n_blocks, problem.groups, self._count_products_of_sum())
        loops.lattice_grad_bank(grad_y.reshape(-1), x.reshape(-1), layout.tables, layout.work_size, work, grads)
        total = np.zeros((problem.filters, problem.channels_per_group, int(np.prod(count_grid(problem)))))
        total[:, :, self.nodes] = functools.reduce(np.add, grads).reshape(*total.shape[:2], -1)
        total[~np.isfinite(total).all(axis=-1)] = np.nan  # the definition multiplies every cell by every anchor's entry
        return transpose_to_weights(problem, total)

    def _count_products_of_sum(self) -> int:
        """Return how many products are summed before float64: a map's value may already be a sum of `mass` cells.

        Nodes that cancel add to the errors as more cells would.
        """
        mass = float(np.prod([max(abs(each.coefficients).sum() for each in axis.maps) for axis in self.axes]))
        mass *= find_amplification(self.problem)
        lanes = count_lanes(self.problem.dtype)
        return int(max(lanes, min(_PRODUCTS_OF_SUM, lanes * _PRODUCTS_OF_SUM / mass)))


def _pack_weights(values: IntArray, groups: int) -> IntArray:
    """Return weights in the loops' order: four outs at a time, in, node, out."""
    n_outs, n_ins, n_nodes = len(values) // groups, values.shape[1], values.shape[2]
    values = values.reshape(groups, n_outs, n_ins, n_nodes)
    packed = [
        values[:, outs].reshape(groups, -1, width, n_ins, n_nodes).transpose(0, 1, 3, 4, 2).reshape(groups, -1)
        for outs, width in _split_filters(n_outs)
    ]
    return np.concatenate(packed, axis=1).ravel()


def _split_filters(count: int) -> list[tuple[slice, int]]:
    """Return the tiles of four, then of two and of one, as the loops take them."""
    fours, twos = count // 4 * 4, count // 2 * 2
    tiles = [(slice(0, fours), 4), (slice(fours, twos), 2), (slice(twos, count), 1)]
    return [tile for tile in tiles if tile[0].stop > tile[0].start]


def _spoil(grad: FloatArray, spoilt: BoolArray, problem: Problem) -> None:
    """Put NaN at every cell of x that a kernel with a non-finite weight reaches."""
    reached = functools.reduce(
        np.multiply.outer, [find_reached(problem, axis) for axis in range(problem.kernel.n_dims)]
    )
    by_group = spoilt.reshape(problem.groups, problem.filters_per_group, problem.channels_per_group).any(axis=1)
    grad[:, by_group.ravel()] = np.where(reached, np.nan, grad[:, by_group.ravel()])


def find_reached(problem: Problem, axis: int) -> BoolArray:
    """Return which cells of x some tap of some output meets, along one axis."""
    taps = np.flatnonzero(problem.kernel.factors().axes[axis].reached) * problem.dilation[axis]
    outputs = np.arange(problem.out_spatial[axis]) * problem.stride[axis]
    shown = index_axis(problem, axis)
    cells = shown[np.unique(outputs[:, None] + taps)]
    reached = np.zeros(problem.spatial[axis], bool)
    reached[cells[cells >= 0]] = True
    return reached
