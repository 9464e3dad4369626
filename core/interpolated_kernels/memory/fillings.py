"""Dense kernels from weights on the GPU, and back: each kind of `filling`, with the names of `Filling`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.caching import Cache
from interpolated_kernels.filling import Filling, find_filling
from interpolated_kernels.filling.local import LocalFilling
from interpolated_kernels.filling.matrix import MatrixFilling
from interpolated_kernels.filling.splats import SplatFilling
from interpolated_kernels.filling.tensor import TensorFilling
from interpolated_kernels.interpolation.splats import SMALLEST_SUM
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.memory.chains import Chain, Step

_MOST_BYTES = 2 * 2**30
"""Matrices of more bytes are not kept on the GPU: their rows go there again in every call."""


class GpuFilling:
    """The matrix `A` of a kernel on the GPU: `dense = A @ weights`, in float64, as `Filling` has it.

    What a kind is on the GPU is two functions, from the rows of weights `(k, n)` to cells `(k, cells)` and back. A
    weight that is not finite spoils its whole dense kernel.
    """

    def __init__(self, filling: Filling) -> None:
        self.filling, self.kernel = filling, filling.kernel
        kind = next(kind for kind in _KINDS if isinstance(filling, kind))
        self._fill, self._gather = _KINDS[kind](filling)

    def apply(self, bank: Any, dtype: Any) -> Any:
        """Return the dense kernels `(filters, channels, *spatial_window)` of a bank `(filters, channels, n)`."""
        kernel, lead = self.kernel, (bank.shape[0], bank.shape[1])
        rows, flags = cuda_loops.flag_rows(bank.reshape(lead[0] * lead[1], bank.shape[2]))
        cells = self._fill(rows)
        cuda_loops.spoil_rows(flags, cells.reshape(1, *cells.shape))
        if self._support is not None:
            cuda_loops.clear_unreached(self._support, cells.reshape(cells.size))
        dense = cuda_loops.empty((cells.size,), dtype)
        if kernel.interpolates_channels:
            cuda_loops.move_last(cells.reshape(lead[0], cells.size // lead[0]), kernel.window[-1], dense)
            return dense.reshape(lead[0], kernel.window[-1], *kernel.spatial_window)
        cuda_loops.convert(cells.reshape(cells.size), dense)
        return dense.reshape(*lead, *kernel.window)

    def transpose(self, grad_dense: Any, dtype: Any) -> Any:
        """Return the gradient by the bank `(filters, channels, n)` from the one by the dense kernels, in float64."""
        kernel, n_cells = self.kernel, int(np.prod(self.kernel.window))
        n_filters = grad_dense.shape[0]
        cells = cuda_loops.empty((grad_dense.size,), np.float64)
        if kernel.interpolates_channels:
            cuda_loops.move_first(grad_dense.reshape(grad_dense.size), kernel.window[-1], n_filters, cells)
        else:
            cuda_loops.convert(grad_dense.reshape(grad_dense.size), cells)
        if self._support is not None:
            cuda_loops.clear_unreached(self._support, cells)
        rows, flags = cuda_loops.flag_rows(cells.reshape(cells.size // n_cells, n_cells))
        grad = self._gather(rows)
        cuda_loops.spoil_rows(flags, grad.reshape(1, *grad.shape))
        return grad.reshape(n_filters, grad.size // (n_filters * kernel.n_anchors), kernel.n_anchors)

    def vjp(self, grad_dense: Any, bank: Any) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and widths on the host, where the kernel has them."""
        return self.filling.vjp(cuda_loops.download(grad_dense), cuda_loops.download(bank))

    @functools.cached_property
    def _support(self) -> Any:
        """Which cells of which rows some anchor reaches, of one row or of all; None where all do."""
        structure = self.kernel.structure
        if structure.reaches_all:
            return None
        support = structure.support.reshape(len(structure.support), -1)
        return cuda_loops.upload(support.astype(np.uint8))


Functions = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _use_tensor(filling: TensorFilling) -> Functions:
    factors = filling.kernel.factors()
    steps = [Step(axis, columns.entries) for axis, columns in enumerate(factors.axes)]
    chain = Chain(factors.order, factors.grid_shape, steps)
    return lambda rows: chain.apply(rows, np.float64), chain.transpose


def _use_local(filling: LocalFilling) -> Functions:
    n = filling.kernel.n_anchors
    chains = [Chain(np.arange(n), (n,), [Step(0, matrix)]) for matrix in filling.matrices]

    def fill(index: int, rows: Any) -> Any:
        return chains[index].apply(rows, np.float64)

    def gather(index: int, cells: Any) -> Any:
        return chains[index].transpose(cells)

    n_sets, n_cells = len(chains), chains[0].n_out
    return lambda rows: _by_set(rows, n_sets, n_cells, fill), lambda rows: _by_set(rows, n_sets, n, gather)


def _use_matrix(filling: MatrixFilling) -> Functions:
    kernel, n_cells, n = filling.kernel, int(np.prod(filling.kernel.window)), filling.kernel.n_anchors
    keeps = 16 * len(kernel.position_sets) * n_cells * n <= _MOST_BYTES

    def upload(index: int) -> list[tuple[slice, Any, Any]]:
        return [
            (block, cuda_loops.upload(np.ascontiguousarray(matrix.T)), cuda_loops.upload(matrix))
            for block, matrix in filling.blocks(index)
        ]

    load = functools.cache(upload) if keeps else upload

    def fill(index: int, rows: Any) -> Any:
        blocks = load(index)
        if len(blocks) == 1:
            return _multiply(blocks[0][1], rows)
        cells = cuda_loops.empty((len(rows), n_cells), np.float64)
        for block, by_anchor, _ in blocks:
            cuda_loops.put_columns(_multiply(by_anchor, rows), block.start, cells)
        return cells

    def gather(index: int, cells: Any) -> Any:
        total = None
        for block, _, by_cell in load(index):
            part = cuda_loops.take_columns(cells, block.start, by_cell.shape[0])
            found = _multiply(by_cell, part)
            total = found if total is None else cuda_loops.add(total, found)
        return total

    n_sets = len(kernel.position_sets)
    return (
        lambda rows: _by_set(rows, n_sets, n_cells, fill),
        lambda rows: _by_set(rows, n_sets, n, gather),
    )


def _use_splats(filling: SplatFilling) -> Functions:
    kernel = filling.kernel
    profiles, shape = _upload_profiles(filling), (1,) * (3 - len(kernel.window)) + kernel.window
    n_sets, n, n_cells = len(kernel.position_sets), kernel.n_anchors, int(np.prod(kernel.window))

    def fill(rows: Any) -> Any:
        kernels = rows.shape[0] // n_sets
        cells = cuda_loops.empty((n_sets, kernels, *shape), np.float64)
        cuda_loops.spread_splats(rows.reshape(n_sets, kernels, n), profiles, cells)
        return cells.reshape(rows.shape[0], n_cells)

    def gather(cells: Any) -> Any:
        kernels = cells.shape[0] // n_sets
        grad = cuda_loops.empty((n_sets, kernels, n), np.float64)
        cuda_loops.gather_splats(cells.reshape(n_sets, kernels, *shape), profiles, grad)
        return grad.reshape(cells.shape[0], n)

    return fill, gather


_KINDS: dict[type[Filling], Callable[[Any], Functions]] = {
    TensorFilling: _use_tensor,
    LocalFilling: _use_local,
    SplatFilling: _use_splats,
    MatrixFilling: _use_matrix,  # and the solved one, whose rows are its blocks
}


def find_gpu_filling(kernel: InterpolatedKernel) -> GpuFilling:
    """Return the filling of a kernel on the GPU; equal kernels meet the same one while it is kept."""
    return _FILLINGS.get((cuda_loops.current_device(), kernel), lambda: GpuFilling(find_filling(kernel)))


_FILLINGS: Cache[tuple[int, InterpolatedKernel], GpuFilling] = Cache(
    64, 2**30, lambda key, made: key[1].nbytes + made.filling.nbytes
)


def _multiply(matrix: Any, rows: Any) -> Any:
    out = cuda_loops.empty((rows.shape[0], matrix.shape[1]), np.float64)
    cuda_loops.multiply_whole(matrix, rows, out)
    return out


def _by_set(rows: Any, n_sets: int, n_out: int, function: Callable[[int, Any], Any]) -> Any:
    """Return a function of each position set's rows, one set after another."""
    if n_sets == 1:
        return function(0, rows)
    each, out = rows.shape[0] // n_sets, cuda_loops.empty((rows.shape[0], n_out), np.float64)
    for index in range(n_sets):
        found = function(index, rows[index * each : (index + 1) * each])
        cuda_loops.convert(found.reshape(found.size), out[index * each : (index + 1) * each].reshape(found.size))
    return out


def _upload_profiles(filling: SplatFilling) -> Any:
    """Return the profiles of all sets on the GPU, and one over their sums where they are normalized."""
    kernel, splat = filling.kernel, filling._splat
    positions = kernel.position_sets
    widths = splat.full_widths(positions, kernel.width_sets)
    values = [
        np.broadcast_to(
            splat.profiles(np.arange(cells) - positions[..., axis, None], widths[..., axis, None]).values,
            (*positions.shape[:2], cells),
        )
        for axis, cells in enumerate(kernel.window)
    ]
    total = functools.reduce(np.multiply, [profile.sum(axis=-1) for profile in values])
    factors = 1 / (total + SMALLEST_SUM) if splat.normalized else np.ones_like(total)
    ones = [np.ones((*positions.shape[:2], 1))] * (3 - len(values))
    planes, rows, columns = map(cuda_loops.upload, [*ones, *values])
    return cuda_loops.Profiles(planes=planes, rows=rows, columns=columns, factors=cuda_loops.upload(factors))
