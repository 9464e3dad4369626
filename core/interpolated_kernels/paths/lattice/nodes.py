"""The lattice path's nodes: anchors, or the local basis that an axis has, and the weights' way to them and back.

Each anchor is a tap on the map of its column's class. Where an axis's matrix is a local basis times a transform, the
basis' columns can be the taps instead: more of them on fewer and shorter profiles, after the weights went through the
transform, in float64 and rounded once.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray, IntArray
from interpolated_kernels.filling.axes import apply_along, transpose_along
from interpolated_kernels.problem import Problem
from interpolated_kernels.structure import Columns, Factors, LocalBasis

_SMOOTHING = 2.0
"""How many taps of nodes take as long as one multiply-add of the smoothing."""


def choose_nodes(problem: Problem) -> tuple[Columns, ...]:
    """Return the columns whose classes become maps, one entry a spatial axis.

    They are the anchors' own, or those of the axis' basis where it keeps the bound and makes less work for the filters
    of a group: the more filters, the fewer taps count and the more the maps.
    """
    return _choose(problem.kernel.factors(), problem.kernel.n_dims, problem.filters_per_group)


def find_transforms(problem: Problem) -> list[FloatArray | None]:
    """Return, for every spatial axis, what takes weights to its nodes, `(nodes, anchors)`; None for the identity."""
    return [axis.transform if isinstance(axis, LocalBasis) else None for axis in choose_nodes(problem)]


def count_nodes(problem: Problem) -> tuple[int, ...]:
    """Return the number of nodes on every spatial axis."""
    return tuple(len(axis.classes) for axis in choose_nodes(problem))


def find_amplification(problem: Problem) -> float:
    """Return how much the nodes' cancelling may add to rounding errors: 1 for the anchors themselves."""
    return float(np.prod([axis.amplification for axis in choose_nodes(problem) if isinstance(axis, LocalBasis)]))


def count_transform_work(problem: Problem) -> float:
    """Return the multiply-adds that the weights' way to the nodes takes."""
    shape, work = list(problem.kernel.factors().grid_shape[: problem.kernel.n_dims]), 0.0
    for axis, transform in enumerate(find_transforms(problem)):
        if transform is not None:
            work += float(np.prod(shape)) * len(transform)
            shape[axis] = len(transform)
    return problem.filters * problem.channels_per_group * work


@functools.lru_cache(maxsize=256)
def _choose(factors: Factors, n_dims: int, filters: int) -> tuple[Columns, ...]:
    options: list[list[Columns]] = [
        [axis, axis.basis] if axis.basis is not None and axis.basis.keeps_the_bound else [axis]
        for axis in factors.axes[:n_dims]
    ]
    return min(itertools.product(*options), key=lambda axes: _count_work(axes, filters))


def _count_work(axes: Sequence[Columns], filters: int) -> float:
    """Return the multiply-adds of one output: smoothing, the last axis first, then a tap a node and filter."""
    smoothing, maps, nodes = 0, 1, 1
    for axis in reversed(axes):
        smoothing += maps * sum(int(np.count_nonzero(profile)) for profile in axis.profiles)
        maps *= len(axis.profiles)
        nodes *= len(axis.classes)
    return _SMOOTHING * smoothing + filters * nodes


def number_nodes(problem: Problem) -> IntArray:
    """Return where each node's value stands among `transform_weights`: `(filters, channels of a group, nodes)`.

    In the bank itself where nodes are anchors.
    """
    lead = (problem.filters, problem.channels_per_group)
    if stay_in_place(problem):
        n = problem.kernel.n_anchors
        return np.arange(int(np.prod(lead)) * n).reshape(*lead, n)[:, :, problem.kernel.factors().order]
    shape = (*lead, int(np.prod(count_nodes(problem))))
    return np.arange(int(np.prod(shape))).reshape(shape)


def transform_weights(problem: Problem, bank: FloatArray) -> tuple[FloatArray, BoolArray | None]:
    """Return the nodes' values in one row, and which kernels `(filters, channels)` a weight spoils, if any.

    A kernel with a weight that is not finite is spoilt wherever it reaches; its nodes are 0.
    """
    spoilt: BoolArray | None = None
    if not np.isfinite(bank).all():
        spoilt = np.asarray(~np.isfinite(bank).all(axis=-1))
        bank = np.where(spoilt[:, :, None], 0, bank).astype(bank.dtype)
        if problem.kernel.interpolates_channels:
            spoilt = np.repeat(spoilt, problem.channels_per_group, axis=1)
    if stay_in_place(problem):
        return bank.reshape(-1), spoilt
    factors = problem.kernel.factors()
    values = bank[:, :, factors.order].reshape(-1, *factors.grid_shape)
    for axis, transform in enumerate(find_transforms(problem)):
        if transform is not None:
            values = apply_along(transform, values, axis + 1)
    if problem.kernel.interpolates_channels:
        values = np.moveaxis(apply_along(factors.axes[-1].entries, values, values.ndim - 1), -1, 1)
    return values.astype(bank.dtype).reshape(-1), spoilt


def transpose_to_weights(problem: Problem, grad: FloatArray) -> FloatArray:
    """Return the gradient by the bank `(filters, channels, n)` from the one by the nodes, in float64."""
    factors = problem.kernel.factors()
    lead, shape = (problem.filters, problem.channels_per_group), count_nodes(problem)
    spoilt = np.asarray(~np.isfinite(grad).all(axis=-1))
    if problem.kernel.interpolates_channels:
        lead = (problem.filters, 1)
        grad = transpose_along(factors.axes[-1].entries, grad.reshape(problem.filters, -1, np.prod(shape)), 1)
        grad = np.moveaxis(grad, 1, -1)
        shape = (*shape, factors.grid_shape[-1])
    values = grad.reshape(-1, *shape)
    for axis, transform in enumerate(find_transforms(problem)):
        if transform is not None:
            values = transpose_along(transform, values, axis + 1)
    by_anchor = np.empty((*lead, problem.kernel.n_anchors))
    by_anchor[:, :, factors.order] = values.reshape(*lead, -1)
    by_anchor[spoilt.any(axis=1, keepdims=True) if problem.kernel.interpolates_channels else spoilt] = np.nan
    return by_anchor


def stay_in_place(problem: Problem) -> bool:
    """Return whether the nodes' values are the bank's, in the order of the grid."""
    return not problem.kernel.interpolates_channels and all(transform is None for transform in find_transforms(problem))
