"""What the backends of this folder share: a framework's convolution of dense kernels becomes one by anchors.

A framework knows dense kernels, arrays with a batch and channels, and padding as pairs. So a backend is three steps:

    describe    x `(batch, channels, *spatial)`, kernels `(filters, channels of a group, *window)`, and the geometry
    run         the framework, in some ten lines of a file of its own
    hand back   y in the shape that `conv` gives; of the gradient by kernels, that by weights
"""

from typing import NamedTuple

import numpy as np

import interpolated_kernels as ik


class Geometry(NamedTuple):
    """Padding as (before, after) pairs and its modes, stride, dilation: an entry a spatial axis; and the groups."""

    pads: list
    modes: list
    stride: tuple
    dilation: tuple
    groups: int


def convolve(run, x, weights, kernel, **options):
    """Return y of `run(x, kernels, geometry)`."""
    x_shape, (x, kernels, geometry) = x.shape, describe(x, weights, kernel, **options)
    y, d = np.asarray(run(x, kernels, geometry)), kernel.n_dims
    lead = x_shape[:-d] if weights.ndim == 1 else (*x_shape[: -d - 1], len(kernels))
    return y.reshape(*lead, *y.shape[2:])


def differentiate(run, grad_y, x, weights, kernel, **options):
    """Return the gradients by x and weights; `run(grad_y, x, kernels, geometry)` gives those by x and kernels."""
    x_shape, (x, kernels, geometry) = x.shape, describe(x, weights, kernel, **options)
    grad_y = grad_y.reshape(len(x), len(kernels), *grad_y.shape[grad_y.ndim - kernel.n_dims :])
    by_x, by_kernels = map(np.asarray, run(grad_y, x, kernels, geometry))
    if kernel.channel_mode == "interpolated":
        by_kernels = np.moveaxis(by_kernels, 1, -1)[:, None]
    by_cells = by_kernels.reshape(*by_kernels.shape[:2], 1, -1).astype(np.float64)
    if kernel.channel_mode == "tied":
        by_cells = by_cells.sum(axis=1, keepdims=True)
    by_weights = (by_cells @ shape_matrix(kernel)).reshape(weights.shape)
    return {"x": by_x.reshape(x_shape), "weights": by_weights.astype(weights.dtype)}


def describe(x, weights, kernel, *, padding, padding_mode, stride, dilation, groups, missing):
    """Return x and the dense kernels as frameworks have them, and the geometry."""
    d, is_plain = kernel.n_dims, weights.ndim == 1
    lead, spatial = x.shape[: x.ndim - d], x.shape[x.ndim - d :]
    x = x.reshape(int(np.prod(lead if is_plain else lead[:-1])), 1 if is_plain else lead[-1], *spatial)
    kernels = fill(weights, kernel, x.shape[1] // groups)
    modes = [padding_mode] * d if isinstance(padding_mode, str) else list(padding_mode)
    pads = find_pads(padding, spatial, kernels.shape[2:], stride, dilation)
    return x, kernels, Geometry(pads, modes, stride, dilation, groups)


def fill(weights, kernel, channels):
    """Return the dense kernels of a bank: `A` times its weights."""
    bank = weights.astype(np.float64).reshape(len(weights) if weights.ndim > 1 else 1, -1, kernel.n_anchors)
    dense = (shape_matrix(kernel) @ bank[..., None]).reshape(*bank.shape[:2], *kernel.window)
    if kernel.channel_mode == "interpolated":  # the window's last axis runs over channels
        dense = np.moveaxis(dense[:, 0], -1, 1)
    return np.broadcast_to(dense, (len(dense), channels, *dense.shape[2:])).astype(weights.dtype)


def shape_matrix(kernel):
    """Return `A` such that it broadcasts over filters and channels: `(..., cells, anchors)`."""
    return kernel.matrix[:, None] if kernel.matrix.ndim == 3 else kernel.matrix


def find_pads(padding, sizes, window, stride, dilation):
    """Return padding, in whichever form `conv` takes it, as pairs."""
    reaches = [(cells - 1) * step for cells, step in zip(window, dilation, strict=True)]
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding == "causal":
        return [(reaches[0], 0)]
    if padding == "same":
        axes = zip(sizes, stride, reaches, strict=True)
        totals = [max((-(-size // step) - 1) * step + reach + 1 - size, 0) for size, step, reach in axes]
        return [(total // 2, total - total // 2) for total in totals]
    return [(int(n), int(n)) for n in np.broadcast_to(padding, len(sizes))] if np.ndim(padding) < 2 else list(padding)


def count_outputs(sizes, window, geometry):
    """Return how many outputs each axis has."""
    axes = zip(sizes, geometry.pads, window, geometry.stride, geometry.dilation, strict=True)
    return [(size + sum(pair) - (cells - 1) * far - 1) // step + 1 for size, pair, cells, step, far in axes]


def sum_over_channels(correlate, x, kernels, geometry):
    """Return y of `correlate(image, kernel)`, which knows one channel and one filter."""
    y = np.zeros((len(x), len(kernels), *count_outputs(x.shape[2:], kernels.shape[2:], geometry)), x.dtype)
    for b, f, c in np.ndindex(len(x), *kernels.shape[:2]):
        first = f // (len(kernels) // geometry.groups) * kernels.shape[1]
        y[b, f] += correlate(x[b, first + c], kernels[f, c])
    return y


def list_modes(problem):
    """Return the padding mode of every spatial axis."""
    mode = problem.options["padding_mode"]
    return [mode] * problem.kernel.n_dims if isinstance(mode, str) else mode


def is_within(problem, **spare):
    """Return whether padding by a mode that is named is narrower on each side than its axis, but for `spare` cells."""
    axes = zip(list_modes(problem), problem.pads, problem.described.spatial, strict=True)
    return all(max(pair) < size + spare[mode] for mode, pair, size in axes if mode in spare)


def is_narrow(problem):
    """Return whether padding is at most what the window reaches."""
    return all(sum(pair) < cells for pair, cells in zip(problem.pads, problem.kernel.spatial_window, strict=True))


def suits_images(problem, modes):
    """Return whether a filter of whole images serves: no dilation, one of its modes, and padding within the window.

    A NaN below a zero of the kernel reaches the output here, and not there, or the other way.
    """
    options = problem.options
    return (
        options["missing"] == "propagate"
        and problem.data != "non-finite"
        and {*options["dilation"]} == {1}
        and options["padding_mode"] in modes
        and is_narrow(problem)
    )


def meets_nan_below_zeros(problem):
    """Return whether a NaN may stand below a cell that no anchor reaches: a zero of the dense kernel, and no tap."""
    return problem.data == "non-finite" and not problem.kernel.structure.reaches_all


class Example(NamedTuple):
    """One call that shows a fault: of y, or of the gradient by weights where there is a gradient by y."""

    x: np.ndarray
    weights: np.ndarray
    kernel: ik.InterpolatedKernel
    grad_y: np.ndarray | None = None
    groups: int = 1

    @property
    def options(self):
        """Every option of `conv`, at its default but for the groups."""
        ones = (1,) * self.kernel.n_dims
        options = {"stride": ones, "padding": "valid", "padding_mode": "zeros", "dilation": ones}
        return {**options, "groups": self.groups, "missing": "propagate"}


NAN_BELOW_ZERO = {
    "0 times NaN is NaN: one below a cell that no anchor reaches spoils the output": Example(
        np.array([1, np.nan], np.float32), np.ones(1, np.float32), ik.InterpolatedKernel([[0.0]], 2, "dilated")
    )
}
