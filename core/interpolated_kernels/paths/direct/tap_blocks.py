"""The tables that the direct loops run over: which outputs share their taps, and where each tap reads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
from interpolated_kernels.lazy import loops
from interpolated_kernels.tile_sizes import ROWS_OF_TILE

_WIDEST = 4
_FEWEST_SHARED_ROWS = 8
"""Below this many rows of a window the tile's partly filled rows cost more than sharing gains."""

_TAPS_OF_SEGMENT = 512


@dataclass(frozen=True)
class AxisTaps:
    """The taps of one axis in summing order: cells of the window, and how far off they read, in values."""

    cells: IntArray
    offsets: IntArray


@dataclass(frozen=True)
class Operands:
    """Output channels (outs) and summed channels (ins) of a group, and their steps in the input and the dense bank."""

    groups: int
    outs: int
    ins: int
    x_step: int
    dense_group_step: int
    dense_out_step: int
    dense_in_step: int


def find_blocks(has_tap: BoolArray, axes: Sequence[AxisTaps], operands: Operands, x_row: int) -> loops.DirectTaps:
    """Return the blocks of output channels that have the same taps, and these taps.

    Parameters
    ----------
    has_tap : bool array `(outs of all groups or 1, ins or 1, planes, rows, columns)`
    axes : the taps of planes, rows and columns
    operands : Operands
    x_row : the step between the inputs of neighbouring rows of outputs, in values
    """
    cells, offsets = _combine_axes(axes, has_tap.shape[2:])
    masks = has_tap.reshape(*has_tap.shape[:2], -1)[..., cells]
    rows, columns = len(axes[1].cells), len(axes[2].cells)
    can_share = rows >= _FEWEST_SHARED_ROWS and bool((np.diff(axes[1].offsets) == x_row).all())
    lists, blocks, n_weights = _TapLists(), [], 0
    for group, first, width, mask in _group_outputs(masks, operands):
        find_taps = functools.partial(_list_taps, mask, cells, offsets, operands)
        tap_start, n_taps = lists.place(mask.tobytes(), find_taps)
        shares_rows = can_share and width == 1 and n_taps > 0 and bool(mask.all())
        row_tap_start = 0
        if shares_rows:
            find_rows = functools.partial(_list_shared_rows, offsets.reshape(-1, rows, columns), operands, x_row)
            row_tap_start, _ = lists.place("shared rows", find_rows)
        blocks.append(
            loops.TapBlock(
                first=group * operands.outs + first,
                width=width,
                x_start=group * operands.ins * operands.x_step,
                tap_start=tap_start,
                n_taps=n_taps,
                segment=_size_segment(n_taps, mask, operands.ins, shares_rows),
                weights_start=n_weights,
                dense_start=group * operands.dense_group_step + first * operands.dense_out_step,
                window_rows=rows if shares_rows else 0,
                window_columns=columns if shares_rows else 0,
                row_tap_start=row_tap_start,
            )
        )
        n_weights += width * n_taps
    return lists.close(blocks, operands.dense_out_step, n_weights)


@dataclass(eq=False)
class _TapLists:
    """The taps of all blocks; those that several blocks have stand there once."""

    offsets: list[IntArray] = field(default_factory=list)
    sources: list[IntArray] = field(default_factory=list)
    known: dict[bytes | str, tuple[int, int]] = field(default_factory=dict)
    n_taps: int = 0

    def place(self, key: bytes | str, find: Callable[[], tuple[IntArray, IntArray]]) -> tuple[int, int]:
        """Return the start and the number of the taps of a key; those that are not there yet are found."""
        if key not in self.known:
            offsets, sources = find()
            self.offsets.append(offsets)
            self.sources.append(sources)
            self.known[key] = (self.n_taps, len(offsets))
            self.n_taps += len(offsets)
        return self.known[key]

    def close(self, blocks: list[loops.TapBlock], dense_step: int, n_weights: int) -> loops.DirectTaps:
        """Return the tables of the blocks and of all taps."""
        none = [np.zeros(0, np.int64)]
        return loops.DirectTaps(
            blocks=np.array(blocks, np.int64).reshape(len(blocks), len(loops.TapBlock._fields)),
            offsets=_narrow(np.concatenate(self.offsets or none)),
            sources=np.concatenate(self.sources or none).astype(np.int64),
            dense_step=dense_step,
            n_weights=n_weights,
        )


def _list_taps(mask: BoolArray, cells: IntArray, offsets: IntArray, operands: Operands) -> tuple[IntArray, IntArray]:
    """Return offset and source of every tap of a mask `(ins or 1, taps of a window)`, channel by channel."""
    ins, taps = np.nonzero(np.broadcast_to(mask, (operands.ins, len(cells))))
    return ins * operands.x_step + offsets[taps], ins * operands.dense_in_step + cells[taps]


def _list_shared_rows(offsets: IntArray, operands: Operands, x_row: int) -> tuple[IntArray, IntArray]:
    """Return the offsets of every input row that a tile of rows meets, from those of `(planes, rows, columns)`."""
    rows = np.arange(offsets.shape[1] + ROWS_OF_TILE - 1)
    of_channel = offsets[:, :1, :] + rows[None, :, None] * x_row
    shared = (np.arange(operands.ins)[:, None] * operands.x_step + of_channel.ravel()).ravel()
    return shared, np.zeros(len(shared), np.int64)  # their weights are those of the block's own taps


def _narrow(offsets: IntArray) -> IntArray:
    """Return offsets as int32 where they fit: half the room in the nearest cache."""
    return offsets.astype(np.int32 if offsets.max(initial=0) < 2**31 else np.int64)


def _size_segment(n_taps: int, mask: BoolArray, ins: int, shares_rows: bool) -> int:
    """Return how many taps a task sums at a time, so that what it reads stays in cache.

    Some whole channels, or parts of large windows whose rows are not shared.
    """
    if n_taps == 0 or len(mask) > 1:
        return max(n_taps, 1)
    per_channel = n_taps // ins
    if per_channel > _TAPS_OF_SEGMENT and not shares_rows:
        return -(-per_channel // -(-per_channel // _TAPS_OF_SEGMENT))
    return per_channel * -(-_TAPS_OF_SEGMENT // (2 * per_channel))


def _combine_axes(axes: Sequence[AxisTaps], window: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Return the flat cell and the offset of every tap, last axis fastest."""
    cells = np.ravel_multi_index(np.meshgrid(*(axis.cells for axis in axes), indexing="ij"), window).ravel()
    planes, rows, columns = (axis.offsets for axis in axes)
    return cells, (planes[:, None, None] + rows[None, :, None] + columns[None, None, :]).ravel()


def _group_outputs(masks: BoolArray, operands: Operands) -> Iterator[tuple[int, int, int, BoolArray]]:
    """Yield `(group, first, width, mask)`: up to four neighbouring outs with equal masks, counted in their group."""
    for group in range(operands.groups):
        first = 0
        while first < operands.outs:
            mask = masks[(group * operands.outs + first) % len(masks)]
            width = 1
            while (
                width < _WIDEST
                and first + width < operands.outs
                and (len(masks) == 1 or bool((masks[group * operands.outs + first + width] == mask).all()))
            ):
                width += 1
            yield group, first, width, mask
            first += width
