"""OpenCV: `cv2.filter2D`, channel by channel; its `anchor` says where padding begins."""

import cv2
import dense
import numpy as np

import interpolated_kernels as ik

MODES = {
    "zeros": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
    "symmetric": cv2.BORDER_REFLECT,
}


def run(x, kernels, geometry):
    counts = dense.count_outputs(x.shape[2:], kernels.shape[2:], geometry)
    anchor = [before for before, _ in reversed(geometry.pads)]
    cells = tuple(slice(0, count * step, step) for count, step in zip(counts, geometry.stride, strict=True))

    def convolve_one(image, kernel):
        image, kernel = np.ascontiguousarray(image), np.ascontiguousarray(kernel)
        return cv2.filter2D(image, cv2.CV_32F, kernel, anchor=anchor, borderType=MODES[geometry.modes[0]])[cells]

    return dense.sum_over_channels(convolve_one, x, kernels, geometry)


def conv(x, weights, kernel, **options):
    return dense.convolve(run, x, weights, kernel, **options)


def supports(problem):
    """Padding reaches as far as the window; strides throw outputs away."""
    return problem.kernel.n_dims == 2 and dense.suits_images(problem, MODES)


_IMAGE = np.ones((16, 16), np.float32)
_IMAGE[0, 0] = np.nan
_ONE = np.ones(1, np.float32)

FAULTS = {
    "a kernel of zeros keeps one tap: a NaN below it spoils the output": dense.Example(
        _IMAGE, _ONE, ik.InterpolatedKernel([[0.5, 0.5]], (2, 2), "cone")
    ),
    "windows of 13x13 and more go through Fourier transforms: a NaN spoils the whole image": dense.Example(
        _IMAGE, _ONE, ik.InterpolatedKernel([[0.0, 0.0]], (13, 13), "nearest")
    ),
}
