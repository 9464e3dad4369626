"""Splats: dense kernels of many position sets at once from profiles an axis, without their matrix."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling.base import Filling
from interpolated_kernels.interpolation import Splat
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import loops


def find_profile(kernel: InterpolatedKernel) -> str | None:
    """Return the name of the loops that know the kernel's profiles, or None where only its matrix does."""
    # Loops know three axes: three spatial ones and interpolated channels are four.
    return kernel.interpolator.find_profile() if len(kernel.window) <= 3 else None


class SplatFilling(Filling):
    """`A` anchor by anchor: a product of one profile an axis, over its sum where normalized."""

    name = "splats"

    @classmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Serve the splats that the loops know."""
        return find_profile(kernel) is not None

    @property
    def nbytes(self) -> int:
        """Nothing is kept."""
        return 0

    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return the products of profiles, and the profiles themselves."""
        return self.kernel.n_anchors * (float(np.prod(self.kernel.window)) + 40.0 * sum(self.kernel.window))

    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells."""
        cells = np.empty((*rows.shape[:2], int(np.prod(self.kernel.window))))
        anchors = self._anchors(rows, self.kernel.position_sets, self.kernel.width_sets)
        self._loops.spread(anchors, self._layout, cells.reshape(len(cells), -1))
        return cells

    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose."""
        nothing = np.zeros((*cells.shape[:2], self.kernel.n_anchors))
        return self._gradients(cells, nothing, self.kernel.position_sets, self.kernel.width_sets)[0]

    def move(
        self, cells: FloatArray, rows: FloatArray, positions: FloatArray, widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and widths, all sets at once."""
        return self._gradients(cells, rows, positions, widths)[1:]

    def sum_columns(self) -> FloatArray:
        """Return the profiles' sums, none being negative: the transpose of a window of ones."""
        cells = np.ones((len(self.kernel.position_sets), 1, int(np.prod(self.kernel.window))))
        return self.gather(cells, cells.dtype)[:, 0]

    def gain(self) -> float:
        """Return the mean over cells from the profiles' sums of squares."""
        kernel, widths, total = self.kernel, self.kernel.width_sets, 0.0
        for index, positions in enumerate(kernel.position_sets):
            splat = self._splat
            total += splat.sum_of_squares(positions, kernel.window, None if widths is None else widths[index])
        return total / (len(kernel.position_sets) * int(np.prod(kernel.window)))

    @property
    def _splat(self) -> Splat:
        return cast(Splat, self.kernel.interpolator)  # no other has a profile

    def _gradients(
        self, cells: FloatArray, rows: FloatArray, positions: FloatArray, widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the gradients by weights, positions and widths."""
        grads = loops.SplatGradients(
            weights=np.empty(rows.shape), positions=np.zeros(positions.shape), widths=np.zeros(positions.shape)
        )
        flat = np.ascontiguousarray(cells, np.float64).reshape(len(cells), -1)
        self._loops.gather(flat, self._anchors(rows, positions, widths), self._layout, grads)
        return grads.weights, grads.positions, grads.widths

    @property
    def _loops(self) -> Any:
        """The launches for this profile."""
        return loops.SPLATS[str(find_profile(self.kernel))]

    @property
    def _layout(self) -> Any:
        """The window as loops know it, with leading axes of one cell."""
        window = self.kernel.window
        planes, rows, columns = (1,) * (3 - len(window)) + window
        return loops.SplatLayout(
            planes=planes, rows=rows, columns=columns, n_axes=len(window), normalized=self._splat.normalized
        )

    def _anchors(self, rows: FloatArray, positions: FloatArray, widths: FloatArray | None) -> Any:
        """Return weights, positions and widths as loops take them: contiguous, and every width there."""
        full = self._splat.full_widths(positions, widths)
        arrays = (np.ascontiguousarray(array, dtype=np.float64) for array in (rows, positions, full))
        return loops.SplatAnchors(*arrays)
