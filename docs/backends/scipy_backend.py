"""SciPy: `scipy.ndimage.correlate`, channel by channel; its `origin` says where padding begins."""

import dense
import numpy as np
from scipy.ndimage import correlate

import interpolated_kernels as ik

MODES = {
    "zeros": "constant",
    "reflect": "mirror",
    "replicate": "nearest",
    "circular": "grid-wrap",
    "symmetric": "reflect",
}


def run(x, kernels, geometry):
    counts = dense.count_outputs(x.shape[2:], kernels.shape[2:], geometry)
    origin = [before - cells // 2 for (before, _), cells in zip(geometry.pads, kernels.shape[2:], strict=True)]
    cells = tuple(slice(0, count * step, step) for count, step in zip(counts, geometry.stride, strict=True))

    def convolve_one(image, kernel):
        return correlate(image, kernel, mode=MODES[geometry.modes[0]], origin=origin)[cells]

    return dense.sum_over_channels(convolve_one, x, kernels, geometry)


def conv(x, weights, kernel, **options):
    return dense.convolve(run, x, weights, kernel, **options)


def supports(problem):
    """Padding reaches as far as the window; strides throw outputs away."""
    return dense.suits_images(problem, MODES)


FAULTS = {
    "weights below 2.2e-16 are left out: a small kernel gives zeros, a NaN below a zero is lost": dense.Example(
        np.ones(2, np.float32), np.full(1, 1e-17, np.float32), ik.InterpolatedKernel([[0.0]], 2, "nearest")
    )
}
