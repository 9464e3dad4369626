"""Dense kernels and their gradients on a GPU: every kind of filling gives what it gives on the host."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.filling import choose_kind, matrix, solved
from interpolated_kernels.interpolation import local
from interpolated_kernels.memory import fillings
from interpolated_kernels.testing.strategies import kernels

U = 2.0**-53
MODES = st.sampled_from(["separate", "tied", "interpolated"])
FORCED = {
    "tensor": ({}, ["linear", "cubic", "nearest", "bspline", "keys"]),
    "local": ({}, ["delaunay", "voronoi", "dilated"]),
    "splats": ({}, ["gaussian", "triangle", "bilinear"]),
    "matrix": ({}, ["polyharmonic", "rbf", "inverse_distance", "cone"]),
    "matrix, by blocks of rows": (
        {(matrix, "BYTES_OF_MATRIX"): 0, (local, "_ENTRIES_OF_BLOCK"): 1},
        ["inverse_distance", "cone", "polyharmonic"],
    ),
    "solved": ({(solved, "BYTES_OF_SOLVED"): 0}, ["polyharmonic", "rbf"]),
}
"""By kind: what forces it where small windows do not meet it, and the interpolators that it serves."""


@pytest.fixture(params=sorted(FORCED))
def forced(request):
    """A kind's name and its interpolators, while it is forced; no filling of another test is met, nor left."""
    limits, names = FORCED[request.param]
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), value in limits.items():
            patch.setattr(module, name, value)
        fillings._FILLINGS.clear()
        yield request.param, names
    fillings._FILLINGS.clear()


def _bank(kernel, rng):
    lead = (3, 2) if kernel.channel_mode == "separate" else (3,)
    return rng.standard_normal((*lead, kernel.n_anchors))


def _assert_close(actual, expected, scale, n):
    """Both are sums of n products in float64, in whatever order."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    assert (np.abs(actual - expected) <= 4 * (n + 16) * U * (scale + 1)).all()


@hypothesis.settings(suppress_health_check=list(hypothesis.HealthCheck))  # `forced` is set once
@hypothesis.given(data=st.data(), mode=MODES, seed=st.integers(0, 99))
def test_every_kind_is_that_of_the_host(data, mode, seed, forced, device):
    """`densify` and its gradient by weights, with position sets, channel modes and 1 to 3 axes."""
    kind, names = forced
    kernel = data.draw(kernels(names=names, filters=3, channels=2, channel_mode=mode))
    if kind in ("tensor", "local", "splats", "solved"):
        hypothesis.assume(choose_kind(kernel) == kind)
    rng = np.random.default_rng(seed)
    weights = _bank(kernel, rng)
    dense, size = ik.densify(weights, kernel), np.abs(kernel.matrix).max() * np.abs(weights).max()
    _assert_close(device.run(ik.densify, weights, kernel), dense, size * kernel.n_anchors, kernel.n_anchors)
    grad = rng.standard_normal(dense.shape)
    found = device.differentiate(ik.densify_backward, grad, weights, kernel)["weights"]
    size, n = np.abs(kernel.matrix).max() * np.abs(grad).max(), int(np.prod(kernel.window)) * 3
    _assert_close(found, ik.densify_backward(grad, weights, kernel).weights, size * n, n)


@hypothesis.given(
    kernel=kernels(names=["gaussian", "triangle", "bilinear"], filters=3, channels=2), seed=st.integers(0, 99)
)
def test_gradients_by_anchors_are_those_of_the_host(kernel, seed, device):
    """By positions and widths, bit for bit: the host computes them in either case."""
    rng = np.random.default_rng(seed)
    weights, names = _bank(kernel, rng), ["positions", *(["widths"] if kernel.widths is not None else [])]
    grad = rng.standard_normal(ik.densify(weights, kernel).shape)
    found = device.differentiate(ik.densify_backward, grad, weights, kernel, wrt=names)
    expected = ik.densify_backward(grad, weights, kernel, wrt=names)
    assert set(found) == set(names)
    for name in names:
        np.testing.assert_array_equal(found[name], getattr(expected, name))


@hypothesis.settings(max_examples=25)
@hypothesis.given(data=st.data(), mode=MODES, seed=st.integers(0, 99), where=st.sampled_from(["weights", "grad"]))
def test_non_finite_entries(data, mode, seed, where, device):
    """C7: NaN and infinity in weights and in the dense kernel's gradient reach what they reach on the host."""
    kernel = data.draw(kernels(filters=3, channels=2, channel_mode=mode))
    rng = np.random.default_rng(seed)
    weights = _bank(kernel, rng)
    grad = rng.standard_normal(ik.densify(weights, kernel).shape)
    planted = {"weights": weights, "grad": grad}[where]
    planted.flat[rng.integers(planted.size)] = rng.choice([np.nan, np.inf, -np.inf])
    with np.errstate(all="ignore"):
        dense, by_weights = ik.densify(weights, kernel), ik.densify_backward(grad, weights, kernel).weights
    np.testing.assert_array_equal(np.isfinite(device.run(ik.densify, weights, kernel)), np.isfinite(dense))
    found = device.differentiate(ik.densify_backward, grad, weights, kernel)["weights"]
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(by_weights))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_plain_and_narrow_weights(dtype, device):
    """One kernel has the window's shape and the weights' dtype; exact entries are the host's bit for bit."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 4), 2), (5, 4), "linear")
    weights = np.random.default_rng(0).integers(-3, 4, kernel.n_anchors).astype(dtype)
    dense = device.run(ik.densify, weights, kernel)
    assert dense.dtype == dtype
    np.testing.assert_array_equal(dense, ik.densify(weights, kernel))
    found = device.differentiate(ik.densify_backward, dense, weights, kernel)["weights"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, ik.densify_backward(dense, weights, kernel).weights)


def test_more_anchors_than_a_sum_has_rows(device):
    """1100 anchors, and a window of 1100 cells: blocks of a matrix' rows are added once each."""
    rng = np.random.default_rng(0)
    for n, window in ((1100, (3,)), (2, (1100,))):
        kernel = ik.InterpolatedKernel(rng.uniform(0, window[0], (n, 1)), window, "inverse_distance")
        weights = rng.standard_normal((1, 1, n))
        dense = ik.densify(weights, kernel)
        _assert_close(device.run(ik.densify, weights, kernel), dense, np.abs(weights).max(), n)
        found = device.differentiate(ik.densify_backward, dense, weights, kernel)["weights"]
        expected = ik.densify_backward(dense, weights, kernel).weights
        _assert_close(found, expected, np.abs(dense).sum(), window[0])
