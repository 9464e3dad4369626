"""The parts of a pass: which filters have which taps, where each reads and writes, and how weights are packed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
from interpolated_kernels.lazy import cuda_loops


@dataclass(frozen=True)
class Channels:
    """Groups, the filters (outs) and summed channels (ins) of each, and the channels' distances in x and y."""

    groups: int
    outs: int
    ins: int
    x_step: int
    y_step: int


@dataclass(frozen=True)
class Region:
    """A box of outputs whose taps are the same: where it begins in a channel of y, its sizes, and its taps."""

    y_start: int
    shape: tuple[int, int, int]
    nodes: IntArray
    """The node of every tap."""
    offsets: IntArray
    """What each reads beside the output's own place in a channel of x."""


@dataclass(eq=False)
class Packing:
    """The tables of a pass as they grow: a column a part, all taps one after another, and each weight's source."""

    columns: list[tuple[int, ...]] = field(default_factory=list)
    offsets: list[IntArray] = field(default_factory=list)
    sources: list[IntArray] = field(default_factory=list)
    n_taps: int = 0
    n_weights: int = 0


@dataclass(frozen=True, eq=False)
class Pass:
    """The taps as CUDA's loops take them, and which value of the kernels each packed weight is, -1 for none."""

    parts: IntArray
    """`(parts, fields of loops.cuda.Parts)`."""
    offsets: IntArray
    sources: IntArray
    filters: int
    """How many filters a thread makes."""


def make_pass(
    channels: Channels, regions: Sequence[Region], numbers: IntArray, has_tap: BoolArray, tiles: Sequence[int]
) -> Pass:
    """Return the parts of a pass.

    Parameters
    ----------
    channels : Channels
    regions : sequence of Region
    numbers : int array `(groups * outs, ins, nodes)`
        Where the kernels' values stand.
    has_tap : bool array `(groups * outs or 1, ins or 1, nodes)`
        Which of them are taps.
    tiles : sequence of int
        How many filters a thread may make.
    """
    width = _choose_tile(channels.outs, tiles)
    packing, known = Packing(), {}
    for region, (group, first, count, mask) in itertools.product(regions, _group_outs(has_tap, channels, width)):
        at_node = np.broadcast_to(mask, (channels.ins, mask.shape[1]))[:, region.nodes]
        key = (id(region), at_node.tobytes())
        ins, taps = np.nonzero(at_node)
        if key not in known:
            known[key] = packing.n_taps
            packing.offsets.append(ins * channels.x_step + region.offsets[taps])
            packing.n_taps += len(taps)
        out = group * channels.outs + first
        packing.columns.append((
            group * channels.ins * channels.x_step, region.y_start + out * channels.y_step, *region.shape, count,
            known[key], len(taps), packing.n_weights,
        ))  # fmt: skip
        sources = np.full((len(taps), width), -1)
        sources[:, :count] = numbers[out : out + count][:, ins, region.nodes[taps]].T
        packing.sources.append(sources.ravel())
        packing.n_weights += sources.size
    return Pass(
        parts=np.array(packing.columns, np.int64).reshape(-1, len(cuda_loops.Parts._fields)),
        offsets=np.concatenate([*packing.offsets, np.zeros(1, np.int64)]),  # an empty array has no place on a GPU
        sources=np.concatenate([*packing.sources, np.full(1, -1)]),
        filters=width,
    )


def _choose_tile(outs: int, tiles: Sequence[int]) -> int:
    """Return the filters of a tile whose products and loads cost least: a tap is read once a tile."""
    return min(tiles, key=lambda width: -(-outs // width) * (width + 2))


def _group_outs(has_tap: BoolArray, channels: Channels, width: int) -> Iterator[tuple[int, int, int, BoolArray]]:
    """Yield group, first out, count and taps `(ins or 1, nodes)` of neighbours that have the same taps."""
    for group in range(channels.groups):
        first = 0
        while first < channels.outs:
            masks = (
                has_tap[group * channels.outs + first : (group + 1) * channels.outs] if len(has_tap) > 1 else has_tap
            )
            count = min(width, channels.outs - first)
            if len(has_tap) > 1:
                alike = [bool((mask == masks[0]).all()) for mask in masks[:count]]
                count = alike.index(False) if False in alike else count
            yield group, first, count, masks[0]
            first += count
