"""What a plan says that it takes, against what Python's allocator saw."""

import tracemalloc

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference

_SLACK = 2**20  # tables of a plan, and what NumPy makes for a moment
_MODES = ("zeros", "reflect", "replicate", "circular", "symmetric")
_SCATTERED = ik.InterpolatedKernel(ik.random_positions((15, 15), 20, rng=np.random.default_rng(0)), (15, 15))
_GRID = ik.InterpolatedKernel(ik.grid_positions((15, 15), 7), (15, 15), "linear")
_KERNELS = {"direct": _SCATTERED, "fourier": _SCATTERED, "lattice": _GRID}


def _peak(call):
    """Return the bytes beyond what was there before and what the call gives, at the call's peak."""
    call()
    tracemalloc.start()
    try:
        results = [array for array in call() if array is not None]
        return tracemalloc.get_traced_memory()[1] - sum(array.nbytes for array in results)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", sorted(_KERNELS))
@pytest.mark.parametrize(
    ("mode", "limit"), [("zeros", None), ("replicate", None), *((mode, 8 * 2**20) for mode in _MODES)]
)
def test_a_plan_takes_what_it_says(path, mode, limit):
    """Forward and backward, in every padding mode, with and without `max_memory`."""
    kernel, rng = _KERNELS[path], np.random.default_rng(0)
    options = {
        "padding": 14 if mode == "zeros" else 13, "padding_mode": mode, "path": path, "accuracy": "normwise",
        "max_memory": limit,
    }  # fmt: skip
    shape = (2, 2, 200, 210) if path == "fourier" else (2, 2, 600, 610)
    x, weights = (rng.standard_normal(own).astype(np.float32) for own in (shape, (3, 2, kernel.n_anchors)))
    try:
        plan = ik.plan(x.shape, weights.shape, kernel, **options)
    except ValueError:
        assert path == "fourier"
        assert limit is not None
        return
    grad_y = rng.standard_normal(plan.problem.y_shape).astype(np.float32)
    said = plan.cost.extra_bytes + _SLACK
    assert limit is None or plan.cost.extra_bytes <= limit
    assert _peak(lambda: [ik.conv(x, weights, kernel, **options)]) <= said
    for wrt in (("x",), ("weights",), ("x", "weights")):

        def gradients(wrt=wrt):
            grads = ik.conv_backward(grad_y, x, weights, kernel, wrt=wrt, **options)
            return [grads.x, grads.weights]

        assert _peak(gradients) <= said, wrt


@pytest.mark.parametrize("path", ["direct", "lattice"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("limit", [None, 6 * 2**20])
def test_missing_cells_take_what_the_plan_says(path, mode, limit):
    """With missing="renormalize" too: values, mask and both sums of a band, forward and backward."""
    rng = np.random.default_rng(0)
    options = {
        "padding": 13, "padding_mode": mode, "path": path, "max_memory": limit, "missing": "renormalize",
    }  # fmt: skip
    x = rng.standard_normal((2, 2, 600, 610)).astype(np.float32)
    x[:, :, 100:200, 50:300] = np.nan
    weights = rng.uniform(0.1, 1, (3, 2, _GRID.n_anchors)).astype(np.float32)
    plan = ik.plan(x.shape, weights.shape, _GRID, **options)
    grad_y = rng.standard_normal(plan.problem.y_shape).astype(np.float32)
    assert limit is None or plan.cost.extra_bytes <= limit
    said = plan.cost.extra_bytes + _SLACK
    assert _peak(lambda: [ik.conv(x, weights, _GRID, **options)]) <= said
    for wrt in (("x",), ("weights",), ("x", "weights")):

        def gradients(wrt=wrt):
            grads = ik.conv_backward(grad_y, x, weights, _GRID, wrt=wrt, **options)
            return [grads.x, grads.weights]

        assert _peak(gradients) <= said, wrt


def test_a_dilated_window_wider_than_the_image_folds_in_bands():
    """Padding of thousands of cells around an image of 28x28 is never held whole."""
    kernel, rng = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear"), np.random.default_rng(0)
    x, weights, grad_y = rng.standard_normal((28, 28)), rng.standard_normal(49), rng.standard_normal((28, 28))
    options = {"padding": "same", "padding_mode": "replicate", "dilation": 256, "max_memory": 16 * 2**20}
    given = [array.astype(np.float32) for array in (grad_y, x, weights)]
    assert _peak(lambda: [ik.conv_backward(*given, kernel, wrt=("x",), **options).x]) <= 16 * 2**20


@pytest.mark.parametrize("path", sorted(_KERNELS))
def test_out_takes_no_second_array(path):
    """A result that goes into `out` is computed there."""
    kernel, x = _KERNELS[path], np.ones((1, 1, 500, 500), np.float32)
    weights = np.ones((24, 1, kernel.n_anchors), np.float32)
    out = np.empty((1, 24, 486, 486), np.float32)
    options = {"path": path, "accuracy": "normwise"}
    said = ik.plan(x.shape, weights.shape, kernel, **options).cost.extra_bytes + _SLACK
    assert _peak(lambda: [ik.conv(x, weights, kernel, out=out, **options)][:0]) <= min(said, out.nbytes)
    assert_matches_reference(out[:, :1], x, weights[:1], kernel, accuracy="normwise")
