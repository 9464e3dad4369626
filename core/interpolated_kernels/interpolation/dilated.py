"""The baseline: anchors alone, zeros between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.interpolation.base import Interpolator
from interpolated_kernels.interpolation.local import LocalMatrix


@dataclass(frozen=True)
class Dilated(Interpolator):
    """Zeros but at the anchors, which stand on whole cells inside the window: an ordinary dilated or sparse kernel.

    Source: Yu and Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions", 2016, equation 2.
    """

    exact: ClassVar[bool] = True
    distinct: ClassVar[bool] = True
    whole_cells: ClassVar[bool] = True

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise unless the anchors are distinct, whole and inside the window."""
        super().check(positions, window)
        whole = (positions == np.round(positions)).all(axis=1)
        inside = ((positions >= 0) & (positions < np.array(window))).all(axis=1)
        bad = np.flatnonzero(~(whole & inside))
        if bad.size:
            raise AnchorError(
                f"`positions` must be whole cells inside the window {window} for `dilated`, got {name_anchors(bad)} "
                f"at {positions[bad[0]].tolist()}. Round them, or choose an interpolator for real positions."
            )
        return None

    def local_matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> LocalMatrix:
        """Return a single 1 in the row of every anchor's cell, and nothing in the others."""
        cells = np.ravel_multi_index(tuple(positions.astype(np.intp).T), window)
        columns, values = np.zeros((int(np.prod(window)), 1), np.int32), np.zeros((int(np.prod(window)), 1))
        columns[cells, 0], values[cells] = np.arange(len(positions)), 1.0
        return LocalMatrix(columns, values, len(positions))

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return a single 1 in every column, at the anchor's cell."""
        return self.local_matrix(positions, window, widths).dense()

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the anchors' cells."""
        mask = np.zeros(window, dtype=bool)
        mask[tuple(positions.astype(np.intp).T)] = True
        return mask
