"""Real transforms over all axes of a tile, without the rows that are known to be zero or are not wanted."""

from __future__ import annotations

import numpy as np

from interpolated_kernels.arrays import FloatArray


def spectra_of(cells: FloatArray, shape: tuple[int, ...], workers: int) -> FloatArray:
    """Return the spectra `(images, frequencies)` of `cells` `(images, *at most shape)`, zeros behind them."""
    from scipy.fft import fft, rfft

    spectra = rfft(cells, n=shape[-1], axis=-1, workers=workers)
    for axis in range(-2, -len(shape) - 1, -1):
        spectra = fft(spectra, n=shape[axis], axis=axis, overwrite_x=True, workers=workers)
    return spectra.reshape(len(cells), -1)


def cells_of(spectra: FloatArray, shape: tuple[int, ...], keep: tuple[int, ...], workers: int) -> FloatArray:
    """Return the first `keep` cells on every axis of spectra `(images, frequencies)`, which are overwritten."""
    from scipy.fft import ifft, irfft

    spectra = spectra.reshape(len(spectra), *shape[:-1], shape[-1] // 2 + 1)
    for axis in range(-len(shape), -1):
        spectra = ifft(spectra, axis=axis, overwrite_x=True, workers=workers)
        spectra = np.moveaxis(np.moveaxis(spectra, axis, 0)[: keep[axis]], 0, axis)
    cells = irfft(spectra, n=shape[-1], axis=-1, workers=workers)
    return np.asarray(cells[..., : keep[-1]])


def n_frequencies(shape: tuple[int, ...]) -> int:
    """Return the number of frequencies of a real transform."""
    return int(np.prod(shape[:-1])) * (shape[-1] // 2 + 1)
