"""The walk over a lattice's groups, by operators that a framework brings: the sum of their shares is y."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from interpolated_kernels.adapting.lattices import Group, Lattice
from interpolated_kernels.adapting.settling import Settled
from interpolated_kernels.arrays import FloatArray


@dataclass(frozen=True)
class LatticeOperators:
    """What a framework convolves maps with; axes are counted from the first spatial one."""

    narrow: Callable[[Any, int, int, Any], Any]
    """A map, an axis, its first cell and the number of cells that are kept."""
    smooth: Callable[[Any, FloatArray, int, int], Any]
    """A map convolved with a profile along an axis with a dilation, each channel by itself."""
    tap: Callable[[Any, Group, tuple[int, ...]], Any]
    """A map convolved with the nodes of a group, with a dilation an axis, and the strides of y."""


def add_shares(
    x: Any, lattice: Lattice, settled: Settled, out_spatial: Sequence[Any], operators: LatticeOperators
) -> Any:
    """Return y: the sum of all groups' shares.

    Parameters
    ----------
    x : array of the framework
        With its padding.
    lattice : Lattice
    settled : Settled
    out_spatial : sequence
        y's sizes, numbers of Python or of the framework.
    operators : LatticeOperators

    Returns
    -------
    array of the framework
        Maps are kept as long as groups need them: those of a group differ from the last one's along the last axes.
    """
    maps: list[Any] = [x]
    before: tuple[int, ...] = ()
    y = None
    for group in lattice.groups:
        kept = next((axis for axis, index in enumerate(group.classes) if before[axis : axis + 1] != (index,)), 0)
        del maps[kept + 1 :]
        for axis in range(kept, len(group.classes)):
            profile, apart = lattice.profiles[axis][group.classes[axis]], settled.dilation[axis]
            reach = (group.counts[axis] - 1) * group.step[axis] * apart
            span = (out_spatial[axis] - 1) * settled.stride[axis] + reach + (len(profile) - 1) * apart + 1
            seen = operators.narrow(maps[axis], axis, group.first[axis] * apart, span)
            maps.append(operators.smooth(seen, profile, axis, apart))
        before = group.classes
        steps = tuple(cells * apart for cells, apart in zip(group.step, settled.dilation, strict=True))
        share = operators.tap(maps[-1], group, steps)
        y = share if y is None else y + share
    return y
