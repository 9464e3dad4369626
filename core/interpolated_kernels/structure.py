"""What is true of a kernel whatever its weights: sharing, support, and the classes of a tensor product's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.interpolation.base import Interpolator
from interpolated_kernels.interpolation.tensor_product import TensorProduct, find_grid

_SAME_PROFILE = 2.0**-50


@dataclass(frozen=True, eq=False)
class AxisFactors:
    """One axis of a tensor product: column `node` of its matrix is `profiles[classes[node]]`, shifted."""

    matrix: FloatArray
    """`(cells, nodes)`."""
    profiles: tuple[FloatArray, ...]
    """One a class, without zeros at its ends."""
    classes: IntArray
    """`(nodes,)` int: the class of every grid coordinate."""
    shifts: IntArray
    """`(nodes,)` int, cells."""


@dataclass(frozen=True, eq=False)
class Factors:
    """A tensor product's axes, and where each anchor stands among their nodes."""

    axes: tuple[AxisFactors, ...]
    order: IntArray
    """`(n,)` int: `order[g]` is the anchor at grid node `g`, nodes in C order."""

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The number of nodes on every axis."""
        return tuple(axis.matrix.shape[1] for axis in self.axes)

    @property
    def anchor_classes(self) -> IntArray:
        """The class of every anchor on every axis: `(n, d)` int."""
        return self._by_anchor([axis.classes for axis in self.axes])

    @property
    def anchor_shifts(self) -> IntArray:
        """Where every anchor's profile starts on every axis: `(n, d)` int, cells."""
        return self._by_anchor([axis.shifts for axis in self.axes])

    def _by_anchor(self, values: list[IntArray]) -> IntArray:
        by_node = np.stack([grid.ravel() for grid in np.meshgrid(*values, indexing="ij")], axis=-1)
        by_anchor = np.empty_like(by_node)
        by_anchor[self.order] = by_node
        return by_anchor


@dataclass(frozen=True, eq=False)
class Structure:
    """What a planner may know of a kernel."""

    shared: bool
    """All filters and channels have the same positions."""
    factors: Factors | None
    """The axes of a tensor product on shared positions, else None."""
    support: BoolArray
    """`(sets, *window)` bool: the cells that some anchor can reach, one mask where all position sets have the same."""

    @property
    def separable(self) -> bool:
        """Whether the interpolation matrix is a product of one matrix an axis."""
        return self.factors is not None

    @property
    def classes(self) -> tuple[int, ...] | None:
        """The number of classes on every axis, or None."""
        return None if self.factors is None else tuple(len(axis.profiles) for axis in self.factors.axes)


def find_factors(interpolator: Interpolator, position_sets: FloatArray, window: tuple[int, ...]) -> Factors | None:
    """Return the factors of a tensor product at the first position set, or None for another interpolator."""
    if not isinstance(interpolator, TensorProduct):
        return None
    grid = find_grid(position_sets[0])
    return Factors(tuple(_axis_factors(matrix) for matrix in interpolator.axis_matrices(grid, window)), grid.order)


def _is_same(one: FloatArray, other: FloatArray) -> bool:
    return len(one) == len(other) and bool((abs(one - other) <= _SAME_PROFILE).all())


def _axis_factors(matrix: FloatArray) -> AxisFactors:
    """Sort the columns of a 1-D matrix into classes: shifts of one profile, equal within 2^-50."""
    profiles: list[FloatArray] = []
    classes, shifts = [], []
    for column in matrix.T:
        cells = np.flatnonzero(column)
        profile = column[cells[0] : cells[-1] + 1] if cells.size else np.zeros(0)
        index = next((i for i, other in enumerate(profiles) if _is_same(other, profile)), len(profiles))
        if index == len(profiles):
            profiles.append(profile)
        classes.append(index)
        shifts.append(int(cells[0]) if cells.size else 0)
    return AxisFactors(matrix, tuple(profiles), np.array(classes), np.array(shifts))
