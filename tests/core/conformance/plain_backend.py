"""A backend in plain NumPy, written apart from the library: dense kernels by `kernel.matrix`, and loops over taps."""

from typing import NamedTuple

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


def convolve(x, weights, kernel, **options):
    """The sums themselves."""
    lead, (padded, dense, products, out, _) = x.shape[: x.ndim - kernel.n_dims], lay_out(x, weights, kernel, **options)
    y = np.zeros((len(padded), len(dense), *out), x.dtype)
    for f, channel, cell, cells in products:
        y[:, f] += padded[(slice(None), channel, *cells)] * dense[cell]
    return y.reshape(*lead, *out) if weights.ndim == 1 else y.reshape(*lead[:-1], len(dense), *out)


def conv_backward(grad_y, x, weights, kernel, *, wrt, missing, **options):
    """The gradients by x and weights."""
    if missing == "renormalize":
        return {}
    padded, dense, products, out, shown = lay_out(x, weights, kernel, **options)
    grad_y = grad_y.reshape(len(padded), len(dense), *out)
    by_padded, by_dense = np.zeros(padded.shape), np.zeros(dense.shape)
    for f, channel, cell, cells in products:
        by_padded[(slice(None), channel, *cells)] += grad_y[:, f].astype(np.float64) * dense[cell]
        by_dense[cell] = np.sum(grad_y[:, f].astype(np.float64) * padded[(slice(None), channel, *cells)])
    for axis, index in enumerate(shown, start=2):
        by_padded = fold(by_padded, axis, index, x.shape[axis - 2 - kernel.n_dims])
    by_weights = gather(by_dense, kernel).reshape(weights.shape)
    return {"x": by_padded.reshape(x.shape).astype(x.dtype), "weights": by_weights.astype(weights.dtype)}


class Layout(NamedTuple):
    """x `(batch, channels, *padded)`, dense kernels, the products, y's spatial shape, and what padded cells show.

    A product is a filter, a channel, a cell of the dense kernels, and the cells of x that it meets.
    """

    padded: np.ndarray
    dense: np.ndarray
    products: list
    out: list
    shown: list


def lay_out(x, weights, kernel, *, stride, padding, padding_mode, dilation, groups):
    """Return what is multiplied with what."""
    d, is_plain, lead = kernel.n_dims, weights.ndim == 1, x.shape[: x.ndim - kernel.n_dims]
    x = x.reshape(int(np.prod(lead if is_plain else lead[:-1])), 1 if is_plain else lead[-1], *x.shape[-d:])
    reach = [(cells - 1) * step for cells, step in zip(kernel.window, dilation, strict=False)][:d]
    pairs, shown = find_pairs(padding, x.shape[2:], stride, reach), []
    for axis, mode in enumerate([padding_mode] * d if isinstance(padding_mode, str) else padding_mode):
        fill_value = {"constant_values": -1} if mode == "zeros" else {}
        shown.append(np.pad(np.arange(x.shape[axis + 2]), pairs[axis], mode=MODES[mode], **fill_value))
        x = np.where(_along(shown[axis] < 0, axis, d), 0, np.take(x, shown[axis], axis=axis + 2)).astype(x.dtype)
    dense, taps = fill(weights, kernel, x.shape[1] // groups)
    out = [(size - far - 1) // step + 1 for size, far, step in zip(x.shape[2:], reach, stride, strict=True)]
    products = []
    for f, c, *tap in np.argwhere(taps):
        steps = zip(tap, dilation, out, stride, strict=True)
        cells = [slice(t * far, t * far + (count - 1) * step + 1, step) for t, far, count, step in steps]
        products.append((f, f // (len(dense) // groups) * dense.shape[1] + c, (f, c, *tap), cells))
    return Layout(x, dense, products, out, shown)


def _along(mask, axis, d):
    """Return a mask of one spatial axis, to be broadcast over the others."""
    return mask.reshape([-1 if other == axis else 1 for other in range(d)])


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


def gather(by_dense, kernel):
    """Return the gradient by weights `(filters, channels, n)`: the transpose of `fill`."""
    if kernel.channel_mode == "tied":
        by_dense = by_dense.sum(axis=1, keepdims=True)
    if kernel.channel_mode == "interpolated":
        by_dense = np.moveaxis(by_dense, 1, -1)[:, None]
    matrix = kernel.matrix[:, None] if kernel.matrix.ndim == 3 else kernel.matrix
    return (by_dense.reshape(*by_dense.shape[:2], 1, -1) @ matrix)[:, :, 0]


def fold(grad, axis, shown, size):
    """Return the gradient by the cells of an axis: each the sum of the padded cells that show it; -1 shows none."""
    folded = np.zeros((*grad.shape[:axis], size, *grad.shape[axis + 1 :]))
    np.add.at(folded, (*(slice(None),) * axis, shown[shown >= 0]), np.compress(shown >= 0, grad, axis=axis))
    return folded
