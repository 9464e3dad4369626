"""What is true of a kernel whatever its weights: sharing, support, and the classes of a tensor product's columns."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.interpolation.axes import AxisProduct, Entries
from interpolated_kernels.interpolation.base import Interpolator

_SAME_PROFILE = 2.0**-50

_ALIKE = 2.0**-20
"""Profiles are sought among those whose middle entries, cut to multiples of this, are neighbours."""

_NOTHING = 2.0**-960
"""Shares so small that no weight lifts them into sight: they say nothing about cancelling."""


@dataclass(frozen=True, eq=False)
class Columns:
    """A 1-D matrix by its columns: column j is `profiles[classes[j]]`, shifted by `shifts[j]` cells."""

    entries: Entries
    """`(cells, columns)`, whole or by the few entries of its rows."""
    profiles: tuple[FloatArray, ...]
    """One a class, without zeros at its ends."""
    classes: IntArray
    """`(columns,)` int."""
    shifts: IntArray
    """`(columns,)` int, cells."""

    @property
    def matrix(self) -> FloatArray:
        """The whole matrix `(cells, columns)`."""
        return self.entries.dense()

    @functools.cached_property
    def reached(self) -> BoolArray:
        """Which cells some column reaches: `(cells,)` bool."""
        return self.entries.reaches()


@dataclass(frozen=True, eq=False)
class LocalBasis(Columns):
    """The short functions that an axis's matrix combines, as columns: the axis's matrix is `matrix @ transform`.

    Convolving with the functions, after the weights went through the transform, gives the same for less. It costs
    digits where functions cancel, so it serves the lattice path only where `keeps_the_bound`.
    """

    transform: FloatArray
    """`(columns, anchors of the axis)`."""

    @functools.cached_property
    def amplification(self) -> float:
        """How many times more rounding errors weigh at most, since the functions cancel.

        The largest ratio of an entry of `abs(matrix) @ abs(transform)` to that of `abs(matrix @ transform)`; infinite
        where the latter alone is 0.
        """
        matrix = self.matrix
        exact, sizes = np.abs(matrix @ self.transform), np.abs(matrix) @ np.abs(self.transform)
        counted = sizes > _NOTHING
        with np.errstate(divide="ignore"):
            return float(np.max(sizes[counted] / exact[counted], initial=1.0))

    @functools.cached_property
    def keeps_the_bound(self) -> bool:
        """Whether errors stay within the bound of one tap a cell.

        That is, half the columns times the amplification are at most the cells: a product meets half of its sum's
        roundings on average. Positions and window alone decide it.
        """
        n_reaching = sum(len(self.profiles[index]) > 0 for index in self.classes.tolist())
        return self.amplification * n_reaching <= 2 * self.entries.shape[0]


@dataclass(frozen=True, eq=False)
class AxisFactors(Columns):
    """One axis of a tensor product, its columns being the anchors along it; and the local basis, where it has one."""

    basis: LocalBasis | None = None


@dataclass(frozen=True, eq=False)
class Factors:
    """A tensor product's axes, and where each anchor stands on the grid of their columns."""

    axes: tuple[AxisFactors, ...]
    order: IntArray
    """`(n,)` int: `order[g]` is the anchor at grid node `g`, nodes in C order."""

    @property
    def grid_shape(self) -> tuple[int, ...]:
        """The number of anchors along every axis."""
        return tuple(axis.entries.shape[1] for axis in self.axes)

    @property
    def anchor_classes(self) -> IntArray:
        """The class of every anchor's column on every axis: `(n, d)` int."""
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

    @functools.cached_property
    def reaches_all(self) -> bool:
        """Whether every cell of every position set is reached."""
        return bool(self.support.all())

    @property
    def separable(self) -> bool:
        """Whether the interpolation matrix is a product of one matrix an axis."""
        return self.factors is not None

    @property
    def classes(self) -> tuple[int, ...] | None:
        """The number of classes of the anchors' columns on every axis, or None."""
        return None if self.factors is None else tuple(len(axis.profiles) for axis in self.factors.axes)


def find_factors(interpolator: Interpolator, position_sets: FloatArray, window: tuple[int, ...]) -> Factors | None:
    """Return the factors of a tensor product at the first position set, or None for another interpolator."""
    axes = interpolator.find_axes(position_sets[0], window)
    return None if axes is None else Factors(tuple(_axis_factors(product) for product in axes.products), axes.order)


def _axis_factors(product: AxisProduct) -> AxisFactors:
    basis = None
    if product.basis is not None and product.transform is not None:
        basis = LocalBasis(product.basis, *_find_classes(product.basis), product.transform)
    return AxisFactors(product.matrix, *_find_classes(product.matrix), basis)


def _find_classes(entries: Entries) -> tuple[tuple[FloatArray, ...], IntArray, IntArray]:
    """Return profiles, equal within 2^-50, and the class and shift of every column of a 1-D matrix.

    A column is compared with the profiles of its length whose middle is close, so that a thousand classes take no
    longer than their columns.
    """
    profiles: list[FloatArray] = []
    alike: dict[tuple[int, int], list[int]] = {}
    classes, shifts = [], []
    for shift, profile in _profiles(entries):
        middle = float(profile[len(profile) // 2]) if len(profile) else 0.0
        key = int(np.floor(middle / _ALIKE))
        near = sorted(itertools.chain(*(alike.get((len(profile), beside), ()) for beside in (key - 1, key, key + 1))))
        index = next((i for i in near if (abs(profiles[i] - profile) <= _SAME_PROFILE).all()), len(profiles))
        if index == len(profiles):
            profiles.append(profile)
            alike.setdefault((len(profile), key), []).append(index)
        classes.append(index)
        shifts.append(shift)
    return tuple(profiles), np.array(classes), np.array(shifts)


def _profiles(entries: Entries) -> Iterator[tuple[int, FloatArray]]:
    """Yield for every column its first cell and its entries from there, without zeros at the ends."""
    for cells, values in entries.by_column():
        profile = np.zeros(int(cells.max() - cells.min()) + 1 if cells.size else 0)
        np.add.at(profile, cells - cells.min(initial=entries.shape[0]), values)
        yield int(cells.min()) if cells.size else 0, profile
