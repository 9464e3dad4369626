"""What every kind of filling has: banks to dense kernels and back, the channel axis, and cells that nothing reaches."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.machine import Machine


class AnyFilling(Protocol):
    """The matrix of a kernel as gradients use it, on the host or on a GPU: see `Filling`."""

    def apply(self, bank: Any, dtype: Any) -> Any:
        """Return the dense kernels of a bank."""

    def transpose(self, grad_dense: Any, dtype: Any) -> Any:
        """Return the gradient by the bank."""

    def vjp(self, grad_dense: Any, bank: Any) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and widths, on the host."""


class Filling(ABC):
    """The matrix `A` of a kernel: `dense = A @ weights` for every filter and channel, in float64.

    A kind says what `fill` and `gather` do for the rows `(sets, kernels, n)` of each position set, and to the cells
    `(sets, kernels, cells)`. All values that it gets are finite: a weight that is not spoils its whole dense kernel,
    whatever the kind, as it does in the definition, where every cell meets every weight.
    """

    name: ClassVar[str]

    def __init__(self, kernel: InterpolatedKernel) -> None:
        self.kernel = kernel

    @classmethod
    @abstractmethod
    def serves(cls, kernel: InterpolatedKernel) -> bool:
        """Return whether this kind can fill the kernel's window, and well."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The bytes that are kept between calls."""

    @abstractmethod
    def multiply_adds(self, dtype: np.dtype[Any]) -> float:
        """Return the work of filling one kernel, in multiply-adds at the rate of `Machine.mixed_per_second`."""

    @abstractmethod
    def fill(self, rows: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the cells `(sets, kernels, cells)` of rows of weights `(sets, kernels, n)`.

        A kind may round as the results' `dtype` allows.
        """

    @abstractmethod
    def gather(self, cells: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
        """Return the transpose of `fill`."""

    @abstractmethod
    def gain(self) -> float:
        """Return the mean over cells of `sum_a A[cell, a]^2`."""

    @abstractmethod
    def sum_columns(self) -> FloatArray:
        """Return the sum over cells of `abs(A)` for each anchor, `(sets, n)` in float64."""

    def sum_sizes(self, bank: FloatArray) -> FloatArray:
        """Return the sum over cells and channels of `abs(A) abs(weights)` for each filter of a bank."""
        rows = _by_set(np.abs(bank, dtype=np.float64), len(self.kernel.position_sets))
        return np.asarray((rows * self._column_sums[:, None]).sum(axis=-1).reshape(bank.shape[:2]).sum(axis=1))

    @functools.cached_property
    def _column_sums(self) -> FloatArray:
        return self.sum_columns()

    def seconds(self, n_kernels: int, dtype: Any, machine: Machine) -> float:
        """Return the predicted seconds of one call for so many kernels, filters times channels of a group."""
        work = self.multiply_adds(np.dtype(dtype)) + 4 * float(np.prod(self.kernel.window))
        return machine.call_seconds + n_kernels * work / machine.mixed_per_second

    def peak_bytes(self, n_kernels: int) -> int:
        """Return the bytes of one call: what is kept, and the kernels in float64 and in the dtype of loops."""
        return self.nbytes + 2 * 8 * n_kernels * int(np.prod(self.kernel.window))

    def apply(self, bank: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """Return the dense kernels `(filters, channels, *spatial_window)` of a bank `(filters, channels, n)`.

        In `dtype`; cells that no anchor can reach are 0.
        """
        kernel, dtype = self.kernel, np.dtype(dtype)
        rows = _by_set(np.ascontiguousarray(bank, np.float64), len(kernel.position_sets))
        spoilt = None if np.isfinite(rows).all() else np.asarray(~np.isfinite(rows).all(axis=-1))
        cells = self.fill(rows if spoilt is None else np.where(spoilt[..., None], 0.0, rows), dtype)
        if spoilt is not None:
            cells[spoilt] = np.nan
        dense = self._masked(cells.reshape(*bank.shape[:2], *kernel.window))
        if kernel.interpolates_channels:
            dense = np.ascontiguousarray(np.moveaxis(dense[:, 0], -1, 1))
        return dense.astype(dtype, copy=False)

    def transpose(self, grad_dense: FloatArray, dtype: Any = np.float64) -> FloatArray:
        """Return the gradient by the bank `(filters, channels, n)` from the one by the dense kernels, in float64."""
        cells, shape = self._flatten(grad_dense)
        cells = _by_set(cells, len(self.kernel.position_sets))
        spoilt = None if np.isfinite(cells).all() else np.asarray(~np.isfinite(cells).all(axis=-1))
        grad = self.gather(cells if spoilt is None else np.where(spoilt[..., None], 0.0, cells), np.dtype(dtype))
        if spoilt is not None:
            grad[spoilt] = np.nan
        return grad.reshape(*shape, self.kernel.n_anchors)

    def vjp(self, grad_dense: FloatArray, bank: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and widths, in the shapes that the kernel was given, in float64.

        Position sets that are equal have gradients of their own.

        Raises
        ------
        AnchorError
            Where the interpolator has no derivative at these positions.
        """
        kernel, cells = self.kernel, self._with_channels_last(grad_dense)
        cells = np.ascontiguousarray(cells, np.float64).reshape(*cells.shape[:2], int(np.prod(kernel.window)))
        positions = kernel.collapse_sets(kernel.positions)
        widths = None if kernel.widths is None else kernel.collapse_sets(kernel.widths)
        cells, rows = _by_set(cells, len(positions)), _by_set(np.ascontiguousarray(bank, np.float64), len(positions))
        by_positions, by_widths = self.move(cells, rows, positions, widths)
        if widths is None or by_widths is None or kernel.widths is None:
            return by_positions.reshape(kernel.positions.shape), None
        return by_positions.reshape(kernel.positions.shape), by_widths.reshape(kernel.widths.shape)

    def move(
        self, cells: FloatArray, rows: FloatArray, positions: FloatArray, widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions `(sets, n, d)` and widths for gradients by cells and rows of weights."""
        grads = [
            self.kernel.interpolator.kernels_vjp(
                cells[index], rows[index], each, self.kernel.window, None if widths is None else widths[index]
            )
            for index, each in enumerate(positions)
        ]
        known = [grad for _, grad in grads if grad is not None]
        return np.stack([grad for grad, _ in grads]), np.stack(known) if known else None

    def _flatten(self, grad_dense: FloatArray) -> tuple[FloatArray, tuple[int, int]]:
        """Return `(filters, channels, cells)` in float64, 0 where no anchor reaches, and the bank's leading axes."""
        kernel, grad_dense = self.kernel, self._with_channels_last(grad_dense)
        lead = (grad_dense.shape[0], grad_dense.shape[1])
        spared = grad_dense if kernel.structure.reaches_all else grad_dense.copy()  # what is masked is not the caller's
        cells = np.ascontiguousarray(self._masked(spared), np.float64)
        return cells.reshape(*lead, int(np.prod(kernel.window))), lead

    def _with_channels_last(self, grad_dense: FloatArray) -> FloatArray:
        """Return `(filters, channels, *window)`, one channel where the window's last axis is theirs."""
        return np.moveaxis(grad_dense, 1, -1)[:, None] if self.kernel.interpolates_channels else grad_dense

    def _masked(self, dense: FloatArray) -> FloatArray:
        """Put 0 where no anchor reaches, whatever the values (0 * NaN is NaN): a tap is a matter of structure."""
        structure, kernel = self.kernel.structure, self.kernel
        if not structure.reaches_all:
            support = structure.support
            lead = (len(support), 1) if kernel.positions.ndim < 4 or len(support) == 1 else dense.shape[:2]
            dense[np.broadcast_to(~support.reshape(*lead, *kernel.window), dense.shape)] = 0.0
        return dense


def _by_set(values: FloatArray, n_sets: int) -> FloatArray:
    """Return `(filters, channels, k)` as `(sets, kernels of a set, k)`."""
    return values.reshape(n_sets, values.shape[0] * values.shape[1] // n_sets, values.shape[2])
