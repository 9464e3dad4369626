"""Products of spectra, cell by cell: channels are mixed here, so that each filter needs one inverse transform.

Every function runs on the thread that calls it: the Fourier path gives each of its threads tiles of its own. Frequency
cells are taken in blocks that stay in the nearest cache while a sum runs over its terms.
"""

from __future__ import annotations

from interpolated_kernels.loops.compile.jit import jit

CELLS_OF_BLOCK = 1024


@jit
def correlate_spectra(x, kernels, first, filters_per_group, y):
    """Write `y[i] = sum over c of x[c] * conj(kernels[f, c])`, f being `first + i` and c a channel of f's group."""
    channels = kernels.shape[1]
    for low in range(0, y.shape[1], CELLS_OF_BLOCK):
        high = min(low + CELLS_OF_BLOCK, y.shape[1])
        for i in range(y.shape[0]):
            start = (first + i) // filters_per_group * channels
            _correlate(x[start, low:high], kernels[first + i, 0, low:high], y[i, low:high])
            for c in range(1, channels):
                _add_correlation(x[start + c, low:high], kernels[first + i, c, low:high], y[i, low:high])


@jit
def convolve_spectra(y, kernels, filters_per_group, x):
    """Write `x[c] = sum over f of y[f] * kernels[f, c]`, f running over the filters of c's group."""
    channels = kernels.shape[1]
    for low in range(0, x.shape[1], CELLS_OF_BLOCK):
        high = min(low + CELLS_OF_BLOCK, x.shape[1])
        for i in range(x.shape[0]):
            c, start = i % channels, i // channels * filters_per_group
            _multiply(y[start, low:high], kernels[start, c, low:high], x[i, low:high])
            for f in range(start + 1, start + filters_per_group):
                _add_product(y[f, low:high], kernels[f, c, low:high], x[i, low:high])


@jit
def add_correlations(x, y, filters_per_group, sums):
    """Add `x[c] * conj(y[f])` to `sums[f, c]` for every filter f and channel c of its group."""
    channels = sums.shape[1]
    for low in range(0, x.shape[1], CELLS_OF_BLOCK):
        high = min(low + CELLS_OF_BLOCK, x.shape[1])
        for f in range(y.shape[0]):
            start = f // filters_per_group * channels
            for c in range(channels):
                _add_correlation(x[start + c, low:high], y[f, low:high], sums[f, c, low:high])


@jit
def _correlate(x, kernel, y):
    for m in range(y.size):
        y[m] = x[m] * kernel[m].conjugate()


@jit
def _add_correlation(x, kernel, y):
    for m in range(y.size):
        y[m] += x[m] * kernel[m].conjugate()


@jit
def _multiply(y, kernel, x):
    for m in range(x.size):
        x[m] = y[m] * kernel[m]


@jit
def _add_product(y, kernel, x):
    for m in range(x.size):
        x[m] += y[m] * kernel[m]
