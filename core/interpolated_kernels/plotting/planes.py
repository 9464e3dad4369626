"""A kernel's window cut into planes of rows and columns, and which anchors are drawn on which."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.kernel import InterpolatedKernel

_MOST_PLANES = 25
_LONGEST = 8.0


@dataclass(frozen=True)
class Planes:
    """The window and the anchors of a kernel with one set of positions, as (plane, row, column).

    Kernels of one or two axes have leading axes of length 1, on which all anchors stand at 0.

    Attributes
    ----------
    kernel : InterpolatedKernel
    """

    kernel: InterpolatedKernel

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """How many planes, rows and columns there are."""
        return (1,) * (3 - self.kernel.n_dims) + self.kernel.window

    @functools.cached_property
    def positions(self) -> FloatArray:
        """The anchors' `(n, 3)` positions in window cells."""
        own = self.kernel.position_sets[0]
        return np.hstack([np.zeros((len(own), 3 - self.kernel.n_dims)), own])

    @functools.cached_property
    def drawn(self) -> IntArray:
        """The indices of the planes that have a picture: all up to 25, else every second, every third, ..."""
        n_planes = self.shape[0]
        return np.arange(0, n_planes, -(-n_planes // _MOST_PLANES))

    def find_anchors(self, plane: int) -> IntArray:
        """Return the indices of the anchors to which this one of the planes drawn is the nearest, the first of two."""
        nearest = np.abs(self.positions[:, :1] - self.drawn).argmin(axis=1)
        return np.flatnonzero(self.drawn[nearest] == plane)

    @functools.cached_property
    def bounds(self) -> FloatArray:
        """The first and the last (row, column) that every plane shows: all cells, to their edges, and all anchors."""
        anchors, last_cell = self.positions[:, 1:], np.array(self.shape[1:]) - 1.0
        return np.stack([np.minimum(anchors.min(axis=0), 0.0) - 0.5, np.maximum(anchors.max(axis=0), last_cell) + 0.5])

    @property
    def cell_aspect(self) -> float:
        """A cell's height over its width: 1, but where a plane would be more than 8 times as long as wide."""
        height, width = self.bounds[1] - self.bounds[0]
        return float(np.clip(1.0, width / (_LONGEST * height), _LONGEST * width / height))

    @property
    def width_by_height(self) -> float:
        """A plane's width over its height, as it is drawn: 1/8 to 8."""
        height, width = self.bounds[1] - self.bounds[0]
        return float(width / (height * self.cell_aspect))
