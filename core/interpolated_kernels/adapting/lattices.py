"""A tensor product as a few plain convolutions, for engines made of a framework's own operators.

Along each axis the columns of the 1-D matrix fall into classes, shifts of one profile. So

1. `weights @ to_nodes.T` brings the weights to the nodes of the grid, group after group;
2. x is convolved with each class's profile along the first axis, each result with each class's along the second, and
   so on: a map for every combination of classes;
3. each group's nodes stand evenly, so that one dilated convolution of its map, from its first node on, is its share
   of y.

In 1-D, linear anchors at 0, 2, 4 and 6 of a window of 7 have the profiles (1, 1/2), (1/2, 1, 1/2) and (1/2, 1): three
maps, and three groups. Those of the first and the last have one node, whose profile starts at cell 0 and at cell 5; the
second has two, at 1 and 3: one convolution of two taps with a dilation of 2.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.structure import AxisFactors, Columns, LocalBasis

_MOVED = 16
"""What it costs to write and read back one value of a map or of a group's share, in multiply-adds."""


class Group(NamedTuple):
    """The nodes of one combination of classes; tuples have an entry a spatial axis.

    Attributes
    ----------
    classes : tuple of int
        Which of an axis's profiles made the map.
    counts : tuple of int
        Nodes along the axis.
    first, step : tuple of int, cells
        Where the first node's profile starts, and how far apart the nodes are.
    start : int
        The group's first row of `to_nodes` (of one channel).
    """

    classes: tuple[int, ...]
    counts: tuple[int, ...]
    first: tuple[int, ...]
    step: tuple[int, ...]
    start: int


@dataclass(frozen=True, eq=False)
class Lattice:
    """The three steps' numbers.

    Attributes
    ----------
    to_nodes : array of float64
        `(nodes, n)`; `(channels * nodes, n)` where channels are interpolated.
    profiles : tuple of tuple of array of float64
        By axis and class.
    groups : tuple of Group
    """

    to_nodes: FloatArray
    profiles: tuple[tuple[FloatArray, ...], ...]
    groups: tuple[Group, ...]

    def count(self, filters: int, channels: int, channels_per_group: int, inputs_per_output: float) -> float:
        """Return the multiply-adds of one output cell, with what it costs to move maps and shares."""
        n_maps, per_input = 1, 0
        for profiles in self.profiles:
            per_input += n_maps * sum(len(profile) + _MOVED for profile in profiles)
            n_maps *= len(profiles)
        taps = sum(math.prod(group.counts) for group in self.groups) * channels_per_group + _MOVED * len(self.groups)
        return filters * taps + channels * per_input * inputs_per_output


@functools.lru_cache(maxsize=256)
def choose_lattice(
    kernel: InterpolatedKernel, weights_shape: tuple[int, ...], channels: int, groups: int, stride: tuple[int, ...]
) -> Lattice | None:
    """Return the lattice where it takes fewer multiply-adds than the dense kernel, else None.

    Parameters
    ----------
    kernel : InterpolatedKernel
    weights_shape : tuple of int
        As `conv` takes them.
    channels, groups : int
        Of x; a tied kernel's channels are summed before.
    stride : tuple of int

    Returns
    -------
    Lattice or None
        None too where there is none: no tensor product on shared positions, or an uneven grid.
    """
    if not has_lattice(kernel):
        return None
    lattice = find_lattice(kernel)
    filters = weights_shape[0] if len(weights_shape) > 1 else 1
    inputs = groups if kernel.channel_mode == "tied" and len(weights_shape) > 1 else channels
    dense = float(filters * (inputs // groups) * math.prod(kernel.spatial_window))
    return lattice if lattice.count(filters, inputs, inputs // groups, math.prod(stride)) < dense else None


def has_lattice(kernel: InterpolatedKernel) -> bool:
    """Return whether a kernel is a tensor product on shared positions whose classes of columns stand evenly."""
    factors = kernel.structure.factors
    return factors is not None and all(map(_find_even_columns, factors.axes[: kernel.n_dims]))


@functools.lru_cache(maxsize=64)
def find_lattice(kernel: InterpolatedKernel) -> Lattice:
    """Return the lattice of a kernel that has one."""
    factors = kernel.factors()
    chosen = [_choose_columns(axis) for axis in factors.axes[: kernel.n_dims]]
    groups, nodes = _find_groups(chosen)
    to_grid = functools.reduce(np.kron, [_read_transform(columns) for columns in chosen])[nodes]
    if kernel.interpolates_channels:
        along_channels = factors.axes[-1].matrix
        columns = to_grid.shape[1] * along_channels.shape[1]
        to_grid = np.einsum("ck,gs->cgsk", along_channels, to_grid).reshape(-1, columns)
    to_nodes = np.empty_like(to_grid)
    to_nodes[:, factors.order] = to_grid
    return Lattice(to_nodes, tuple(columns.profiles for columns in chosen), groups)


def _find_groups(chosen: list[Columns]) -> tuple[tuple[Group, ...], IntArray]:
    """Return the groups, and the nodes of the grid in their order."""
    groups, nodes, start = [], [], 0
    shape = [len(columns.classes) for columns in chosen]
    grid = np.arange(math.prod(shape)).reshape(shape)
    for classes in itertools.product(*(range(len(columns.profiles)) for columns in chosen)):
        members = [_find_members(columns, index) for columns, index in zip(chosen, classes, strict=True)]
        places = [columns.shifts[along] for columns, along in zip(chosen, members, strict=True)]
        counts = tuple(len(along) for along in members)
        step = tuple(int(at[1] - at[0]) if len(at) > 1 else 1 for at in places)
        groups.append(Group(classes, counts, tuple(int(at[0]) for at in places), step, start))
        nodes.append(grid[np.ix_(*members)].ravel())
        start += math.prod(counts)
    return tuple(groups), np.concatenate(nodes)


def _find_even_columns(axis: AxisFactors) -> list[Columns]:
    """Return those of an axis's columns and its local basis that stand evenly."""
    candidates: list[Columns] = [axis]
    if axis.basis is not None and axis.basis.keeps_the_bound:
        candidates.append(axis.basis)
    return [columns for columns in candidates if _stands_evenly(columns)]


def _choose_columns(axis: AxisFactors) -> Columns:
    """Return whichever has less to convolve with."""
    return min(_find_even_columns(axis), key=lambda columns: sum(map(len, columns.profiles)))


def _stands_evenly(columns: Columns) -> bool:
    """Return whether every class has cells, and columns the same number of cells apart."""
    shifts = [columns.shifts[_find_members(columns, index)] for index in range(len(columns.profiles))]
    return all(map(len, columns.profiles)) and all(
        len(set(np.diff(at))) < 2 and (np.diff(at) > 0).all() for at in shifts
    )


def _find_members(columns: Columns, index: int) -> IntArray:
    """Return the columns of a class, from the first cell on."""
    members = np.flatnonzero(columns.classes == index)
    return members[np.argsort(columns.shifts[members], kind="stable")]


def _read_transform(columns: Columns) -> FloatArray:
    """Return what brings an axis's weights to its columns: `(columns, anchors of the axis)`."""
    return columns.transform if isinstance(columns, LocalBasis) else np.eye(len(columns.classes))
