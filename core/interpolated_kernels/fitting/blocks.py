"""Outputs in blocks: boxes of one sample, as large as memory allows."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.fitting.convolving import count_needed_bytes
from interpolated_kernels.fitting.groups import Group

_DEFAULT_MEMORY = 64 * 2**20


@dataclass(frozen=True)
class Block:
    """Some outputs of one sample: a range an axis."""

    sample: int
    outputs: tuple[range, ...]

    @property
    def cells(self) -> tuple[slice, ...]:
        """The outputs as slices of y's spatial axes."""
        return tuple(slice(wanted.start, wanted.stop) for wanted in self.outputs)


@dataclass(frozen=True)
class Blocks:
    """How one group's outputs are cut, and what its convolutions may use beside a block."""

    group: Group
    n_samples: int
    sizes: tuple[int, ...]
    """A block's outputs on every axis."""
    room: int
    """Bytes."""

    @property
    def n_outputs(self) -> int:
        """The outputs of the largest block."""
        return int(np.prod(self.sizes))

    def walk(self) -> Iterator[Block]:
        """Yield every block, sample by sample."""
        axes = [
            [range(first, min(first + size, count)) for first in range(0, count, size)]
            for size, count in zip(self.sizes, self.group.problem.out_spatial, strict=True)
        ]
        for sample in range(self.n_samples):
            for outputs in itertools.product(*axes):
                yield Block(sample, outputs)


def find_blocks(group: Group, n_samples: int, max_memory: int | None) -> Blocks:
    """Return the blocks of a group: whole samples where they fit into 3/4 of the memory; the rest is for plans.

    Raises
    ------
    ValueError
        If not even one output fits.
    """
    memory = _DEFAULT_MEMORY if max_memory is None else max_memory
    sizes = _fill(group, 3 * memory // 4)
    while (least := _count_bytes(group, sizes) + _count_plan_bytes(group, sizes, memory)) > memory:
        if max(sizes) == 1:
            raise ValueError(f"`max_memory` must be at least {least} bytes for these equations, got {memory}.")
        axis = next(axis for axis, size in enumerate(sizes) if size > 1)
        sizes = (*sizes[:axis], sizes[axis] // 2, *sizes[axis + 1 :])
    return Blocks(group, n_samples, sizes, memory - _count_bytes(group, sizes))


def _fill(group: Group, memory: int) -> tuple[int, ...]:
    """Return the outputs, an axis each, that fit: the first axes are cut first, the last ones stay whole."""
    whole = group.problem.out_spatial
    for axis, count in enumerate(whole):
        before, after = (1,) * axis, whole[axis + 1 :]

        def count_bytes(size: int, before: tuple[int, ...] = before, after: tuple[int, ...] = after) -> int:
            return _count_bytes(group, (*before, size, *after))

        if size := bisect.bisect_right(range(1, count + 1), memory, key=count_bytes):
            return (*before, size, *after)
    return (1,) * len(whole)


def _count_bytes(group: Group, sizes: tuple[int, ...]) -> int:
    """Return the bytes of a block: its cells as they came and in float64, its columns or predictions, and y."""
    problem, filters = group.problem.cut(sizes), group.problem.filters
    rows = max(group.n_columns, 2 * filters) + filters + 4
    n_cells, n_outputs = problem.channels * int(np.prod(problem.spatial)), int(np.prod(sizes))
    return 8 * (3 * n_cells + rows * n_outputs)


def _count_plan_bytes(group: Group, sizes: tuple[int, ...], memory: int) -> int:
    """Return the bytes that convolutions need beside a block, one filter at a time; of the last blocks too."""
    room, whole = memory - _count_bytes(group, sizes), group.problem.out_spatial
    lasts = ({size, count % size or size} for size, count in zip(sizes, whole, strict=True))
    problems = [group.problem.cut(each) for each in itertools.product(*lasts)]
    shares = {(share, channels) for share in group.shares for channels in (1, share.count)}
    return max(
        count_needed_bytes(share.describe(problem, 1, channels), room)
        for problem in problems
        for share, channels in shares
    )
