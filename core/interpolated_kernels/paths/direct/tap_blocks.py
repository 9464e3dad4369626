"""The tables that the direct loops run over: which outputs share their taps, and where each tap reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import BoolArray, IntArray
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


@dataclass(frozen=True, eq=False)
class TapBlocks:
    """Blocks of output channels and their taps, as the loops' `Block` names the columns.

    After the taps of the blocks stand those of the rows that a tile of rows shares.
    """

    blocks: IntArray
    offsets: IntArray
    sources: IntArray
    n_weights: int
    dense_step: int


def find_blocks(support: BoolArray, axes: Sequence[AxisTaps], operands: Operands, x_row: int) -> TapBlocks:
    """Return the blocks of output channels that have the same taps.

    Parameters
    ----------
    support : bool array `(outs of all groups or 1, ins or 1, planes, rows, columns)`
    axes : the taps of planes, rows and columns
    operands : Operands
    x_row : the step between the inputs of neighbouring rows of outputs, in values
    """
    cells, offsets = _outer_taps(axes, support.shape[2:])
    masks = support.reshape(*support.shape[:2], -1)[..., cells]
    shares_rows = len(axes[1].cells) >= _FEWEST_SHARED_ROWS and bool((np.diff(axes[1].offsets) == x_row).all())
    known: dict[bytes, tuple[int, IntArray]] = {}
    known_rows: int | None = None
    all_offsets: list[IntArray] = []
    all_sources: list[IntArray] = []
    blocks, tap_count, weight_count = [], 0, 0
    for group, first, width, mask in _runs(masks, operands):
        key = mask.tobytes()
        if key not in known:
            ins, taps = np.nonzero(np.broadcast_to(mask, (operands.ins, len(cells))))
            all_offsets.append(ins * operands.x_step + offsets[taps])
            all_sources.append(ins * operands.dense_in_step + cells[taps])
            known[key] = (tap_count, all_offsets[-1])
            tap_count += len(taps)
        tap_start, own_offsets = known[key]
        n_taps = len(own_offsets)
        is_whole = shares_rows and width == 1 and n_taps > 0 and bool(mask.all())
        row_tap_start = 0
        rows, columns = (len(axes[1].cells), len(axes[2].cells)) if is_whole else (0, 0)
        if is_whole:
            if known_rows is None:
                shared = _shared_row_offsets(own_offsets.reshape(-1, rows, columns), x_row)
                known_rows = tap_count
                all_offsets.append(shared)
                all_sources.append(np.zeros(len(shared), np.int64))  # keeps both lists in step
                tap_count += len(shared)
            row_tap_start = known_rows
        blocks.append((
            group * operands.outs + first, width, group * operands.ins * operands.x_step, tap_start, n_taps,
            _segment(n_taps, mask, operands.ins, is_whole), weight_count,
            group * operands.dense_group_step + first * operands.dense_out_step, rows, columns, row_tap_start,
        ))  # fmt: skip
        weight_count += width * n_taps
    none = [np.zeros(0, np.int64)]
    return TapBlocks(
        np.array(blocks, np.int64),
        _narrow(np.concatenate(all_offsets or none)),
        np.concatenate(all_sources or none).astype(np.int64),
        weight_count,
        operands.dense_out_step,
    )


def _shared_row_offsets(offsets: IntArray, x_row: int) -> IntArray:
    """Return the offsets of every input row that a tile of rows meets, from those of `(windows, rows, columns)`."""
    rows = np.arange(offsets.shape[1] + ROWS_OF_TILE - 1)
    return (offsets[:, :1, :] + rows[None, :, None] * x_row).ravel()


def _narrow(offsets: IntArray) -> IntArray:
    """Return offsets as int32 where they fit: half the room in the nearest cache."""
    return offsets.astype(np.int32 if offsets.max(initial=0) < 2**31 else np.int64)


def _segment(n_taps: int, mask: BoolArray, ins: int, is_whole: bool) -> int:
    """Return how many taps a task sums at a time, so that what it reads stays in cache.

    Some whole channels, or parts of large windows where `is_whole` rows are not shared.
    """
    if n_taps == 0 or len(mask) > 1:
        return max(n_taps, 1)
    per_channel = n_taps // ins
    if per_channel > _TAPS_OF_SEGMENT and not is_whole:
        return -(-per_channel // -(-per_channel // _TAPS_OF_SEGMENT))
    return per_channel * -(-_TAPS_OF_SEGMENT // (2 * per_channel))


def _outer_taps(axes: Sequence[AxisTaps], window: tuple[int, ...]) -> tuple[IntArray, IntArray]:
    """Return the flat cell and the offset of every tap, last axis fastest."""
    cells = np.ravel_multi_index(np.meshgrid(*(axis.cells for axis in axes), indexing="ij"), window).ravel()
    planes, rows, columns = (axis.offsets for axis in axes)
    return cells, (planes[:, None, None] + rows[None, :, None] + columns[None, None, :]).ravel()


def _runs(masks: BoolArray, operands: Operands) -> Iterator[tuple[int, int, int, BoolArray]]:
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
