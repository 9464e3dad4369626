"""The direct path on a GPU: every cell of the window is a node, and dense kernels are the nodes' values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.paths.axes import make_dense_axis
from interpolated_kernels.paths.common import extend_axes
from interpolated_kernels.paths.on_cuda.maps import DeviceArray, Maps
from interpolated_kernels.paths.path import PreparedEngine
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, eq=False)
class PreparedDirectOnCuda(PreparedEngine):
    """The maps of a problem: x with its padding, by the phases of the strides."""

    problem: Problem
    maps: Maps

    def forward(self, x: DeviceArray, kernels: DeviceArray, out: DeviceArray) -> None:
        """Write y."""
        self.maps.convolve(x, kernels.reshape(kernels.size), out)

    def grad_x(self, grad_y: DeviceArray, kernels: DeviceArray, out: DeviceArray) -> None:
        """Write the gradient by x."""
        finite, others, any_other = cuda_loops.split_finite(kernels.reshape(kernels.size))
        self.maps.gather(grad_y, finite, out, (others, any_other))

    def grad_dense(self, grad_y: DeviceArray, x: DeviceArray) -> Any:
        """Return the gradient by the dense kernels `(filters, channels_per_group, *window)`, in float64."""
        problem = self.problem
        grad = self.maps.sum_products(grad_y, x)
        return grad.reshape(problem.filters, problem.channels_per_group, *problem.window)


def make_dense_maps(problem: Problem) -> Maps:
    """Return the maps of a problem whose taps are the cells of its support."""
    windows, strides = extend_axes(problem.window, 1), extend_axes(problem.stride, 1)
    outs, dilations = extend_axes(problem.out_spatial, 1), extend_axes(problem.dilation, 1)
    planes, rows, columns = map(make_dense_axis, windows, outs, strides, dilations)
    shape = (problem.filters, problem.channels_per_group, int(np.prod(windows)))
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    has_tap = problem.support.reshape(*problem.support.shape[:2], shape[2])
    return Maps(problem, (planes, rows, columns), windows, numbers, has_tap)


def prepare_direct_on_cuda(problem: Problem) -> PreparedDirectOnCuda:
    """Describe the maps; their tables are made when they are asked for."""
    return PreparedDirectOnCuda(problem, make_dense_maps(problem))
