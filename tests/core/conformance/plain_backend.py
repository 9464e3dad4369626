"""A backend in plain NumPy, written apart from the library: dense kernels by `kernel.matrix`, and loops over taps."""

import numpy as np

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}


def conv(x, weights, kernel, *, missing, **options):
    """conv, with every option."""
    if missing == "propagate":
        return convolve(x, weights, kernel, **options)
    is_there, channels = ~np.isnan(x), 1 if weights.ndim == 1 else x.shape[-kernel.n_dims - 1] // options["groups"]
    numerator = convolve(np.where(is_there, x, 0).astype(x.dtype), weights, kernel, **options)
    denominator = convolve(is_there.astype(x.dtype), weights, kernel, **options)
    total = fill(weights, kernel, channels)[0].sum(axis=tuple(range(1, kernel.n_dims + 2)))
    total = total.reshape(-1, *(1,) * kernel.n_dims) if weights.ndim > 1 else total[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator * (total / denominator), np.nan).astype(x.dtype)


def convolve(x, weights, kernel, *, stride, padding, padding_mode, dilation, groups):
    """The sums themselves."""
    d, is_plain, lead = kernel.n_dims, weights.ndim == 1, x.shape[: x.ndim - kernel.n_dims]
    x = x.reshape(int(np.prod(lead if is_plain else lead[:-1])), 1 if is_plain else lead[-1], *x.shape[-d:])
    reach = [(cells - 1) * step for cells, step in zip(kernel.window, dilation, strict=False)][:d]
    pairs = find_pairs(padding, x.shape[2:], stride, reach)
    for axis, mode in enumerate([padding_mode] * d if isinstance(padding_mode, str) else padding_mode):
        widths = [(0, 0)] * x.ndim
        widths[axis + 2] = pairs[axis]
        x = np.pad(x, widths, mode=MODES[mode])
    dense, taps = fill(weights, kernel, x.shape[1] // groups)
    out = [(size - far - 1) // step + 1 for size, far, step in zip(x.shape[2:], reach, stride, strict=True)]
    y = np.zeros((len(x), len(dense), *out), x.dtype)
    for f, c, *tap in np.argwhere(taps):
        cells = (
            slice(t * spread, t * spread + (count - 1) * step + 1, step)
            for t, spread, count, step in zip(tap, dilation, out, stride, strict=True)
        )
        channel = f // (len(dense) // groups) * dense.shape[1] + c
        y[:, f] += x[(slice(None), channel, *cells)] * dense[(f, c, *tap)]
    return y.reshape(*lead, *out) if is_plain else y.reshape(*lead[:-1], len(dense), *out)


def find_pairs(padding, sizes, stride, reach):
    """Return the padding as pairs."""
    d = len(sizes)
    if padding == "valid":
        return [(0, 0)] * d
    if padding == "causal":
        return [(reach[0], 0)]
    if padding == "same":
        axes = zip(sizes, stride, reach, strict=True)
        totals = [max((-(-size // step) - 1) * step + far + 1 - size, 0) for size, step, far in axes]
        return [(total // 2, total - total // 2) for total in totals]
    return [(entry, entry) for entry in np.broadcast_to(padding, d)] if np.ndim(padding) < 2 else padding


def fill(weights, kernel, channels):
    """Return dense kernels `(filters, channels, *window)`, and which of their cells are taps."""
    matrix = kernel.matrix[(None,) * (4 - kernel.matrix.ndim)]
    if kernel.matrix.ndim == 3:
        matrix = kernel.matrix[:, None]
    bank = weights.astype(np.float64).reshape(-1 if weights.ndim > 1 else 1, *weights.shape[1:-1], kernel.n_anchors)
    bank = bank if bank.ndim == 3 else bank[:, None]
    dense = (matrix * bank[:, :, None, :]).sum(axis=-1)
    taps = np.broadcast_to(matrix.any(axis=-1), dense.shape)
    dense, taps = (array.reshape(*array.shape[:2], *kernel.window) for array in (dense, taps))
    if kernel.channel_mode == "interpolated":
        dense, taps = (np.moveaxis(array[:, 0], -1, 1) for array in (dense, taps))
    shape = (len(dense), channels, *dense.shape[2:])
    return np.broadcast_to(dense, shape).astype(weights.dtype), np.broadcast_to(taps, shape)
