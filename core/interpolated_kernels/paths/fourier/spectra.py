"""Real transforms over all axes of a tile, without the rows that are known to be zero or are not wanted."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import load


def spectra_of(cells: FloatArray, shape: tuple[int, ...], workers: int) -> FloatArray:
    """Return the spectra `(images, frequencies)` of `cells` `(images, *at most shape)`, zeros behind them."""
    fft = load("scipy.fft")
    spectra = fft.rfft(cells, n=shape[-1], axis=-1, workers=workers)
    for axis in range(-2, -len(shape) - 1, -1):
        spectra = fft.fft(spectra, n=shape[axis], axis=axis, overwrite_x=True, workers=workers)
    return spectra.reshape(len(cells), -1)


def cells_of(spectra: FloatArray, shape: tuple[int, ...], keep: tuple[int, ...], workers: int) -> FloatArray:
    """Return the first `keep` cells on every axis of spectra `(images, frequencies)`, which are overwritten."""
    fft = load("scipy.fft")
    spectra = spectra.reshape(len(spectra), *shape[:-1], shape[-1] // 2 + 1)
    for axis in range(-len(shape), -1):
        spectra = fft.ifft(spectra, axis=axis, overwrite_x=True, workers=workers)
        spectra = np.moveaxis(np.moveaxis(spectra, axis, 0)[: keep[axis]], 0, axis)
    cells = fft.irfft(spectra, n=shape[-1], axis=-1, workers=workers)
    return np.asarray(cells[..., : keep[-1]])


def n_frequencies(shape: tuple[int, ...]) -> int:
    """Return the number of frequencies of a real transform."""
    return int(np.prod(shape[:-1])) * (shape[-1] // 2 + 1)
