"""Weights from data: recovered, uncertain as they should be, in bands, and from dense kernels."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpolated_kernels as ik

GRID = ik.grid_positions((7, 5), 2)


def _data(rng, noise=0.0):
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    x, weights = rng.standard_normal((2, 3, 30, 40)), rng.standard_normal((4, 3, len(GRID)))
    y = ik.conv(x, weights, kernel)
    return x, weights, kernel, y + noise * rng.standard_normal(y.shape)


def test_it_is_the_least_squares_solution():
    """Weights, residuals and standard errors are those of the textbook, from the design matrix itself."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    x, y = rng.standard_normal((30, 24)), rng.standard_normal((24, 20))
    design = np.stack([ik.conv(x, unit, kernel).ravel() for unit in np.eye(len(GRID))], axis=1)
    for ridge in (0.0, 50.0):
        inverse = np.linalg.inv(design.T @ design + ridge * np.eye(len(GRID)))
        weights = inverse @ design.T @ y.ravel()
        left = y.ravel() - design @ weights
        variance = left @ left / (y.size - len(GRID))
        errors = np.sqrt(variance * np.diag(inverse @ design.T @ design @ inverse))
        found = ik.fit(x, y, kernel, ridge=ridge)
        np.testing.assert_allclose(found.weights, weights, rtol=1e-9)
        np.testing.assert_allclose(found.standard_errors, errors, rtol=1e-9)
        assert found.residual == pytest.approx(np.sqrt(left @ left / y.size), rel=1e-9)


def test_standard_errors_tell_the_spread():
    """Over many draws of noise, weights scatter around the truth as their standard errors say."""
    rng = np.random.default_rng(0)
    x, weights, kernel, _ = _data(rng)
    y = ik.conv(x, weights, kernel)
    fits = [ik.fit(x, y + rng.standard_normal(y.shape), kernel) for _ in range(30)]
    scaled = np.stack([(each.weights - weights) / each.standard_errors for each in fits])
    assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
    assert np.square(scaled).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / scaled.size))


@pytest.mark.parametrize("interpolator", ["linear", "polyharmonic"])
def test_blocks_do_not_matter(interpolator):
    """The same fit to rounding, whatever memory it may take: rows, pieces of rows, and few filters at a time."""
    x, _, kernel, y = _data(np.random.default_rng(0), noise=1.0)
    x, y = x[:1, :, :16, :20], y[:1, :, :10, :16]  # the least memory takes one output at a time
    kernel = kernel.replace(interpolator=interpolator)
    options = {"padding": ((3, 3), (2, 2)), "padding_mode": "circular"}
    y = np.pad(y, ((0, 0), (0, 0), (3, 3), (2, 2)))
    whole = ik.fit(x, y, kernel, **options)
    least = _find_least_memory(lambda memory: ik.fit(x, y, kernel, max_memory=memory, **options))
    for memory in (least, 2**18):
        parts = ik.fit(x, y, kernel, max_memory=max(memory, least), **options)
        np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(parts.standard_errors, whole.standard_errors, rtol=1e-11)
        np.testing.assert_allclose(parts.residual, whole.residual, rtol=1e-11)


def _find_least_memory(fit_within):
    """Return the least memory, which the error for too little of it names."""
    with pytest.raises(ValueError, match=r"`max_memory` must be at least \d+ bytes") as caught:
        fit_within(1)
    return int(re.search(r"at least (\d+)", str(caught.value)).group(1))


def test_what_data_leave_open():
    """An image of zeros beyond a corner leaves anchors open: least weights, and infinite standard errors."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    x = np.zeros((30, 30))
    found = ik.fit(x, np.ones((24, 26)), kernel)
    np.testing.assert_array_equal(found.weights, 0)
    assert np.isinf(found.standard_errors).all()
    assert found.residual == 1
    assert np.isfinite(ik.fit(x, np.ones((24, 26)), kernel, ridge=1.0).standard_errors).all()


def test_too_few_outputs():
    """Where there are no more equations than unknowns, the variance is not known."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    found = ik.fit(np.random.default_rng(0).standard_normal((8, 6)), np.ones((2, 2)), kernel)
    assert found.residual < 1e-9
    assert np.isnan(found.standard_errors).any() or np.isinf(found.standard_errors).any()


def test_ridge_shrinks():
    """A larger ridge gives smaller weights and a larger residual."""
    x, _, kernel, y = _data(np.random.default_rng(0), noise=1.0)
    fits = [ik.fit(x, y, kernel, ridge=ridge) for ridge in (0.0, 1e2, 1e4)]
    sizes = [np.square(each.weights).sum() for each in fits]
    assert sizes == sorted(sizes, reverse=True)
    assert [each.residual.sum() for each in fits] == sorted(each.residual.sum() for each in fits)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_narrow_data_are_summed_in_float64(dtype):
    """Data of float32 give float64 weights, within what rounding the data changes."""
    x, weights, kernel, y = _data(np.random.default_rng(0))
    found = ik.fit(x.astype(dtype), y.astype(dtype), kernel)
    assert found.weights.dtype == np.float64
    np.testing.assert_allclose(found.weights, weights, atol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros((2, 4, 24, 35))}, "`y` must have the shape"),
        ({"y": np.zeros((24, 36))}, "spatial axes"),
        ({"ridge": -1.0}, "`ridge`"),
        ({"x": np.full((2, 3, 30, 40), np.nan)}, "finite"),
    ],
)
def test_what_cannot_be_fitted(change, message):
    """Shapes that do not fit, a negative ridge and NaN raise."""
    x, _, kernel, y = _data(np.random.default_rng(0))
    arguments = {"x": x, "y": y, "ridge": 0.0, **change}
    with pytest.raises(ValueError, match=message):
        ik.fit(arguments["x"], arguments["y"], kernel, ridge=arguments["ridge"])


@given(seed=st.integers(0, 2**32 - 1), mode=st.sampled_from(["plain", "separate", "tied", "interpolated"]))
def test_dense_kernels_of_anchors_are_found_again(seed, mode):
    """`from_dense` of a dense kernel that anchors make gives these anchors' weights, and no residual."""
    rng = np.random.default_rng(seed)
    if mode == "interpolated":
        kernel = ik.InterpolatedKernel(ik.grid_positions((5, 4, 3), 2), (5, 4, 3), "linear", channel_mode=mode)
    else:
        kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear", channel_mode="tied" if mode == "tied" else "separate")
    shape = {"plain": (), "separate": (3, 2), "tied": (3,), "interpolated": (3,)}[mode]
    weights = rng.standard_normal((*shape, kernel.n_anchors))
    found = ik.from_dense(ik.densify(weights, kernel), kernel)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-10, atol=1e-10)
    assert np.max(found.residual) < 1e-12


def test_a_dense_kernel_in_the_least_squares():
    """`from_dense` minimizes the error over cells, filter by filter, for positions of their own too."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(rng.uniform(0, 6, (2, 6, 2)), (7, 7), "gaussian")
    dense = rng.standard_normal((2, 3, 7, 7))
    found = ik.from_dense(dense, kernel)
    for index in range(2):
        expected = np.linalg.lstsq(kernel.matrix[index], dense[index].reshape(3, -1).T)[0].T
        np.testing.assert_allclose(found.weights[index], expected, rtol=1e-8, atol=1e-8)
    left = ik.densify(found.weights, kernel) - dense
    np.testing.assert_allclose(found.residual, np.sqrt(np.square(left).mean(axis=(1, 2, 3))), rtol=1e-12)
    with pytest.raises(ValueError, match="`dense` must have shape"):
        ik.from_dense(dense[..., :6], kernel)
    with pytest.raises(ValueError, match="finite"):
        ik.from_dense(np.full_like(dense, np.inf), kernel)


def test_tied_channels_are_fitted_together():
    """`from_dense` of many channels with tied weights leaves the least error over all of them, which it reports."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear", channel_mode="tied")
    dense = np.random.default_rng(1).standard_normal((3, 4, 7, 5))
    found = ik.from_dense(dense, kernel)
    stacked = np.tile(kernel.matrix, (4, 1))
    np.testing.assert_allclose(found.weights, np.linalg.lstsq(stacked, dense.reshape(3, -1).T)[0].T, rtol=0, atol=1e-12)
    left = ik.densify(found.weights, kernel) - dense
    np.testing.assert_allclose(found.residual, np.sqrt(np.square(left).mean(axis=(1, 2, 3))), rtol=1e-12)


@pytest.mark.parametrize(
    ("gap", "exponent"), [(1.0, 45), (1e-5, 25), (1e-9, 10)], ids=["apart", "close", "almost equal"]
)
def test_close_anchors_lose_no_more_digits_than_their_condition(gap, exponent):
    """`from_dense` is backward stable: anchors a gap apart come back to the condition times the rounding."""
    positions = [[3, 3], [3, 3 + gap], [8, 2], [5, 11], [12, 9]]
    kernel = ik.InterpolatedKernel(positions, (15, 15), "gaussian", widths=np.full((5, 2), 2.0))
    weights = np.array([1.0, -2.0, 3.0, 0.5, -1.0])
    found = ik.from_dense(ik.densify(weights, kernel), kernel).weights
    np.testing.assert_allclose(found, weights, rtol=0, atol=2.0**-exponent)


def test_what_a_dense_kernel_leaves_open_has_least_norm():
    """With more anchors than cells `from_dense` gives the weights of least norm; they are surely unknown."""
    positions = np.random.default_rng(2).uniform(0, 2, (14, 2))
    kernel = ik.InterpolatedKernel(positions, (3, 3), "polyharmonic")
    dense = np.random.default_rng(3).standard_normal((3, 3))
    found = ik.from_dense(dense, kernel)
    np.testing.assert_allclose(found.weights, np.linalg.pinv(kernel.matrix) @ dense.ravel(), rtol=0, atol=1e-12)
    assert np.isnan(found.standard_errors).all()
