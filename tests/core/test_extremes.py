"""What is promised at the edges: empty axes, infinite x, products near the largest float, on every path alike."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import testing
from interpolated_kernels.paths import PATHS

ON_EVERY_PATH = pytest.mark.parametrize("path", sorted(PATHS))
LARGEST = float(np.finfo(np.float32).max)


def _make_kernel(interpolator="linear"):
    return ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), interpolator)


def _find_non_finite(values):
    return ~np.isfinite(values)


@ON_EVERY_PATH
@pytest.mark.parametrize("shape", [(1, 1, 0, 40), (2, 1, 40, 0), (1, 1, 0, 0)])
def test_an_empty_axis_with_padding_is_all_zeros(path, shape):
    """Outputs that see nothing but zeros are zeros, and so are the weights' gradients; that by x is as empty as x."""
    x, weights = np.zeros(shape, np.float32), np.ones((12, 1, 9), np.float32)
    asked = {"padding": 20, "path": path, "accuracy": "normwise"}
    y = ik.conv(x, weights, _make_kernel(), **asked)
    np.testing.assert_array_equal(y, np.zeros((shape[0], 12, shape[2] + 36, shape[3] + 36), np.float32))
    grads = ik.conv_backward(np.ones_like(y), x, weights, _make_kernel(), **asked)
    assert grads.x.shape == shape
    np.testing.assert_array_equal(grads.weights, np.zeros_like(weights))


@pytest.mark.parametrize("path", ["direct", "lattice", "reference"])
def test_an_empty_axis_shows_no_cell(path):
    """With missing="renormalize" the cells inside the padding are missing too: every output is NaN."""
    asked = {"padding": 20, "path": path, "missing": "renormalize"}
    y = ik.conv(np.zeros((1, 1, 0, 40), np.float32), np.ones((2, 1, 9), np.float32), _make_kernel(), **asked)
    assert y.shape == (1, 2, 36, 76)
    assert np.isnan(y).all()


@ON_EVERY_PATH
@pytest.mark.parametrize("interpolator", ["linear", "polyharmonic", "dilated"])
def test_infinite_x_spoils_what_the_reference_spoils(path, interpolator):
    """Infinity and NaN in x, zeros among the weights: the same outputs and gradients by x are not finite (C7)."""
    rng, kernel = np.random.default_rng(0), _make_kernel(interpolator)
    if PATHS[path].supports(ik.plan((2, 2, 60, 60), (12, 2, 9), kernel).problem) is not None:
        pytest.skip("not served")
    x, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 2, 60, 60), (12, 2, 9)))
    grad_y = rng.standard_normal((2, 12, 56, 56)).astype(np.float32)
    x[0, 0, 3, 4], x[1, 1, 30, 8], x[0, 1, 2, 2] = np.inf, -np.inf, np.nan
    grad_y[0, 5, 9, 9], weights[3, 1] = np.inf, 0
    asked = {"path": path, "accuracy": "normwise"}
    with np.errstate(invalid="ignore"):
        y, by_x = ik.conv(x, weights, kernel, **asked), ik.conv_backward(grad_y, x, weights, kernel, **asked).x
        expected = testing.reference(x, weights, kernel)
        expected_by_x = testing.reference_backward(grad_y, x, weights, kernel, wrt="x").x
    np.testing.assert_array_equal(_find_non_finite(y), _find_non_finite(expected))
    np.testing.assert_array_equal(_find_non_finite(by_x), _find_non_finite(expected_by_x))


@ON_EVERY_PATH
@pytest.mark.parametrize("large", ["x", "weights"])
def test_products_near_the_largest_float_do_not_overflow(path, large):
    """With `conv(abs(x), 1) max(1, abs(A) abs(weights))` at 0.9 of the largest float, y is finite on every path."""
    rng, kernel = np.random.default_rng(1), _make_kernel()
    x, weights = rng.uniform(-1, 1, (1, 2, 60, 60)), rng.uniform(-1, 1, (12, 2, 9))
    sums = ik.conv(
        np.abs(x), np.ones((1, 2, 25)), ik.InterpolatedKernel(ik.grid_positions((5, 5), 1), (5, 5), "dilated")
    )
    if large == "x":
        x *= 0.9 * LARGEST / sums.max()
    else:
        x, weights = x / sums.max(), weights * 0.9 * LARGEST
    y = ik.conv(x.astype(np.float32), weights.astype(np.float32), kernel, path=path, accuracy="normwise")
    assert np.isfinite(y).all()


@ON_EVERY_PATH
def test_a_stride_beyond_x_gives_the_first_output(path):
    """However long the step is, there is one output along its axis, and it is planned as soon as any."""
    rng, kernel = np.random.default_rng(2), _make_kernel()
    x, weights = (rng.standard_normal(shape).astype(np.float32) for shape in ((1, 2, 40, 40), (12, 2, 9)))
    y = ik.conv(x, weights, kernel, stride=(2**62, 1), padding=2, path=path, accuracy="normwise")
    expected = ik.conv(x, weights, kernel, stride=(40, 1), padding=2, path=path, accuracy="normwise")
    assert y.shape == (1, 12, 1, 40)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)  # far above any rounding, far below an output
