"""The lattice path on a GPU: nodes on the maps of their classes, and the weights' way to them and back."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.memory.chains import Chain, Step
from interpolated_kernels.paths.axes import make_absent_axis, make_axis
from interpolated_kernels.paths.common import count_kernels, extend_axes
from interpolated_kernels.paths.lattice.nodes import (
    choose_nodes,
    count_nodes,
    find_amplification,
    find_transforms,
    number_nodes,
    stay_in_place,
)
from interpolated_kernels.paths.lattice.prepared import find_reached
from interpolated_kernels.paths.on_cuda.maps import DeviceArray, Maps
from interpolated_kernels.paths.path import PreparedBankPath
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, eq=False)
class PreparedLatticeOnCuda(PreparedBankPath):
    """The maps of the axes' classes, and the matrices that take weights to the nodes."""

    problem: Problem
    maps: Maps

    def forward(self, x: DeviceArray, kernels: DeviceArray, out: DeviceArray) -> None:
        """Write y."""
        problem = self.problem
        values, spoilt = self._to_nodes(kernels)
        self.maps.convolve(x, values, out)
        shape = (problem.batch, problem.filters, int(np.prod(problem.out_spatial)))
        cuda_loops.spoil_rows(spoilt, out.reshape(*shape))

    def grad_x(self, grad_y: DeviceArray, kernels: DeviceArray, out: DeviceArray) -> None:
        """Write the gradient by x."""
        problem = self.problem
        values, spoilt = self._to_nodes(kernels)
        self.maps.gather(grad_y, values, out)
        by_group = cuda_loops.sum_flags(spoilt, problem.groups, problem.filters_per_group)
        shape = (problem.batch, problem.channels, *extend_axes(problem.spatial, 1))
        cuda_loops.spoil_reached(by_group, self._reached, out.reshape(*shape))

    def grad_bank(self, grad_y: DeviceArray, x: DeviceArray) -> Any:
        """Return the gradient by the bank `(filters, channels_per_group, n)`, in float64."""
        problem, grad = self.problem, self.maps.sum_products(grad_y, x)
        n_rows = count_kernels(problem)
        rows, flags = cuda_loops.flag_rows(grad.reshape(n_rows, grad.size // n_rows))
        by_anchor = rows if self._chain is None else self._chain.transpose(rows)
        cuda_loops.spoil_rows(flags, by_anchor.reshape(1, *by_anchor.shape))
        return by_anchor.reshape(problem.filters, n_rows // problem.filters, problem.kernel.n_anchors)

    def _to_nodes(self, bank: DeviceArray) -> tuple[DeviceArray, DeviceArray]:
        """Return the nodes' values in one row, and which kernels a weight spoils; their nodes are 0."""
        rows, flags = cuda_loops.flag_rows(bank.reshape(bank.shape[0] * bank.shape[1], bank.shape[2]))
        values = rows if self._chain is None else self._chain.apply(rows, self.problem.dtype)
        return values.reshape(values.size), flags

    @functools.cached_property
    def _chain(self) -> Chain | None:
        return None if stay_in_place(self.problem) else make_node_chain(self.problem)

    @functools.cached_property
    def _reached(self) -> tuple[DeviceArray, DeviceArray, DeviceArray]:
        """Which cells of x some tap meets, along planes, rows and columns."""
        along = [find_reached(self.problem, axis) for axis in range(self.problem.kernel.n_dims)]
        planes, rows, columns = extend_axes([each.astype(np.uint8) for each in along], np.ones(1, np.uint8))
        return cuda_loops.upload(planes), cuda_loops.upload(rows), cuda_loops.upload(columns)


def make_node_chain(problem: Problem) -> Chain:
    """Return the way from anchors to nodes: their order on the grid, then the matrices of the axes that have one.

    Where channels are interpolated, the last axis goes from its anchors to the channels, which end up last.
    """
    factors = problem.kernel.factors()
    matrices: list[Any] = list(find_transforms(problem))
    if problem.kernel.interpolates_channels:
        matrices.append(factors.axes[-1].entries)
    return Chain(factors.order, factors.grid_shape, [Step(axis, matrix) for axis, matrix in enumerate(matrices)])


def make_lattice_maps(problem: Problem) -> Maps:
    """Return the maps of the axes' classes."""
    found = [
        make_axis(columns, out, stride, dilation, splits=False)
        for columns, out, stride, dilation in zip(
            choose_nodes(problem), problem.out_spatial, problem.stride, problem.dilation, strict=True
        )
    ]
    planes, rows, columns = extend_axes(found, make_absent_axis())
    grid = extend_axes(count_nodes(problem), 1)
    shape = (problem.filters, problem.channels_per_group, int(np.prod(grid)))
    numbers = number_nodes(problem)
    if problem.kernel.interpolates_channels:  # the chain leaves channels last
        numbers = np.swapaxes(np.arange(numbers.size).reshape(shape[0], shape[2], shape[1]), 1, 2)
    mass = float(np.prod([max(abs(each.coefficients).sum() for each in axis.maps) for axis in found]))
    return Maps(
        problem, (planes, rows, columns), grid, numbers.reshape(shape), np.ones((1, 1, shape[2]), bool),
        mass * find_amplification(problem),
    )  # fmt: skip


def prepare_lattice_on_cuda(problem: Problem) -> PreparedLatticeOnCuda:
    """Describe the maps; their tables are made when they are asked for."""
    return PreparedLatticeOnCuda(problem, make_lattice_maps(problem))
