"""What is fitted: x, y and sample weights, checked in pieces and read in blocks, never converted or padded whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.bands import cut_outputs
from interpolated_kernels.fitting.blocks import Block
from interpolated_kernels.fitting.convolving import Convolver
from interpolated_kernels.fitting.groups import Group
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, eq=False)
class Piece:
    """A block that was read: finite, in float64, with the outputs flat.

    `cells` `(1, channels, *spatial)` are those that the problem's outputs see, `targets` `(filters, outputs)` y, and
    `weights` `(outputs,)` the sample weights, 0 for what is left out; None where all are 1.
    """

    problem: Problem
    cells: FloatArray
    targets: FloatArray
    weights: FloatArray | None

    @property
    def n_outputs(self) -> int:
        """The outputs that are not left out."""
        return self.targets.shape[1] if self.weights is None else int(np.count_nonzero(self.weights))


@dataclass(frozen=True, eq=False)
class Samples:
    """x and y as `(batch, channels, *spatial)` and `(batch, filters, *out)`, in whatever dtype and layout they came.

    `sample_weights` have y's shape, or are None. `has_missing`: some of x or y is NaN, and is to be left out.
    """

    x: FloatArray
    y: FloatArray
    sample_weights: FloatArray | None
    has_missing: bool

    def differ_by_filter(self) -> bool:
        """Return whether filters have sample weights, or missing outputs, of their own."""
        for number in range(1, self.y.shape[1]):
            for first, other in walk_pieces(self.y[:, 0], self.y[:, number]) if self.has_missing else ():
                if (np.isnan(first) != np.isnan(other)).any():
                    return True
            weights = self.sample_weights
            for first, other in () if weights is None else walk_pieces(weights[:, 0], weights[:, number]):
                if (first != other).any():
                    return True
        return False

    def read(self, group: Group, block: Block, convolver: Convolver) -> Piece:
        """Return a block of a group's outputs, and what they see."""
        one = slice(block.sample, block.sample + 1)
        problem, cells = cut_outputs(group.problem, self.x[one, group.channels], block.outputs)
        cells = np.array(cells, np.float64, order="C")
        targets = np.array(self.y[block.sample, group.filters][(slice(None), *block.cells)], np.float64, order="C")
        targets = targets.reshape(len(targets), -1)
        weights = None
        if self.sample_weights is not None:  # the same for all filters of the group
            first = self.sample_weights[block.sample, group.filters.start]
            weights = np.array(first[block.cells], np.float64).ravel()
        if self.has_missing:
            missing = np.isnan(targets[0])
            if (absent := np.isnan(cells)).any():
                missing |= group.find_seen(problem, cells, convolver)
                cells[absent] = 0
            if missing.any():
                weights = np.where(missing, 0.0, 1.0 if weights is None else weights)
                targets[:, missing] = 0
        return Piece(problem, cells, targets, weights)


def check_finite(name: str, array: FloatArray, missing: str) -> bool:
    """Return whether an array holds NaN, which is to be left out.

    Raises
    ------
    ValueError
        For infinite values; for NaN unless missing is "omit".
    """
    has_missing = False
    for piece in walk_pieces(array):
        if not np.isfinite(piece).all():
            if np.isinf(piece).any():
                raise ValueError(
                    f"`{name}` must be finite, got infinite values: put NaN there and pass missing='omit' to leave out "
                    "what sees them."
                )
            has_missing = True
    if has_missing and missing != "omit":
        raise ValueError(
            f"`{name}` must be finite, got NaN: pass missing='omit' to leave out the outputs that are NaN or see one."
        )
    return has_missing


def check_sample_weights(weights: FloatArray, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless sample weights have y's shape, are finite and not negative."""
    if weights.shape != shape:
        raise ValueError(f"`sample_weights` must have y's shape {shape}, got {weights.shape}.")
    for piece in walk_pieces(weights):
        if not (np.isfinite(piece) & (piece >= 0)).all():
            raise ValueError(
                "`sample_weights` must be finite and at least 0, got other values: 0 leaves an output out."
            )


def walk_pieces(*arrays: FloatArray) -> Iterator[Any]:
    """Yield flat pieces of an array, or tuples of pieces of several of one shape, without a copy of the whole."""
    with np.nditer(arrays, flags=("buffered", "external_loop", "zerosize_ok"), buffersize=2**16) as pieces:
        yield from pieces
