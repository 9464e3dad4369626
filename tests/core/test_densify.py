import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.testing.strategies import DYADIC, kernels

U = 2.0**-53


def _bank(kernel, filters, channels, rng):
    lead = (filters, channels) if kernel.channel_mode == "separate" else (filters,)
    return rng.standard_normal((*lead, kernel.n_anchors))


def _by_matrix(weights, kernel):
    """`A @ weights`, filter by filter and channel by channel."""
    bank = weights if kernel.channel_mode == "separate" else weights[:, None]
    matrix = kernel.matrix
    dense = np.empty((*bank.shape[:2], matrix.shape[-2]))
    for f in range(bank.shape[0]):
        for c in range(bank.shape[1]):
            own = matrix if matrix.ndim == 2 else (matrix[f] if matrix.ndim == 3 else matrix[f, c])
            dense[f, c] = own @ bank[f, c]
    dense = dense.reshape(*bank.shape[:2], *kernel.window)
    return np.moveaxis(dense[:, 0], -1, 1) if kernel.interpolates_channels else dense


MODES = st.sampled_from(["separate", "tied", "interpolated"])


@hypothesis.given(st.data(), MODES, st.integers(0, 99))
def test_dense_is_matrix_times_weights(data, mode, seed):
    """`densify` is A @ weights for every channel mode and every way of sharing positions, `(filters, C, *spatial)`."""
    kernel = data.draw(kernels(filters=3, channels=2, channel_mode=mode))
    weights = _bank(kernel, 3, 2, np.random.default_rng(seed))
    dense = ik.densify(weights, kernel)
    expected = _by_matrix(weights, kernel)
    assert dense.shape == (3, 1 if mode == "tied" else 2, *kernel.spatial_window)
    scale = np.abs(kernel.matrix).sum(axis=-1).max() * np.abs(weights).max()
    bound = 2 * (kernel.n_anchors + 4 * kernel.n_dims) * U * scale
    np.testing.assert_allclose(dense, expected, rtol=0, atol=bound)


@hypothesis.given(st.data(), MODES, st.integers(0, 99))
def test_backward_is_the_adjoint(data, mode, seed):
    """<grad_dense, densify(w)> = <densify_backward(grad_dense), w>, to the roundings of both sums."""
    rng = np.random.default_rng(seed)
    kernel = data.draw(kernels(filters=3, channels=2, channel_mode=mode))
    weights = _bank(kernel, 3, 2, rng)
    dense = ik.densify(weights, kernel)
    grad = rng.standard_normal(dense.shape)
    back = ik.densify_backward(grad, weights, kernel).weights
    assert back.shape == weights.shape
    size = np.abs(kernel.matrix).sum() * np.abs(weights).max() * np.abs(grad).max() * weights.size
    assert abs((grad * dense).sum() - (back * weights).sum()) <= 4 * np.sqrt(dense.size + 2) * U * size


@hypothesis.given(kernels())
def test_plain_weights(kernel):
    """Weights `(n,)` give the window itself, the same bits as a bank of one."""
    weights = np.random.default_rng(0).standard_normal(kernel.n_anchors)
    dense = ik.densify(weights, kernel)
    assert dense.shape == kernel.window
    np.testing.assert_array_equal(dense, ik.densify(weights[None, None], kernel)[0, 0])
    back = ik.densify_backward(dense, weights, kernel).weights
    assert back.shape == weights.shape


@hypothesis.given(st.data(), st.integers(0, 99))
def test_a_filter_does_not_depend_on_its_bank(data, seed):
    """Each filter's kernel has the same bits alone and in a bank."""
    kernel = data.draw(kernels())
    weights = np.random.default_rng(seed).standard_normal((7, 3, kernel.n_anchors))
    dense = ik.densify(weights, kernel)
    for f, c in ((0, 0), (3, 1), (6, 2)):
        np.testing.assert_array_equal(dense[f, c], ik.densify(weights[f, c], kernel))


@hypothesis.given(kernels(dyadic=True), st.integers(0, 99))
def test_exact_on_dyadic_data(kernel, seed):
    """Dyadic matrices and integer weights give exact kernels and exact gradients."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-5, 6, (2, 2, kernel.n_anchors)).astype(np.float32)
    dense = ik.densify(weights, kernel)
    np.testing.assert_array_equal(dense, _by_matrix(weights, kernel))
    grad = rng.integers(-5, 6, dense.shape).astype(np.float32)
    expected = grad.reshape(2, 2, -1).astype(np.float64) @ kernel.matrix
    np.testing.assert_array_equal(ik.densify_backward(grad, weights, kernel).weights, expected)


@pytest.mark.parametrize("name", DYADIC)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", ">f4", ">f8"])
def test_dtype_is_kept(name, dtype, find_dtype):
    """The dense kernel and its gradient have the weights' dtype, whatever its byte order, rounded once from float64."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 3), 2), (5, 3), name)
    dtype = find_dtype(dtype)
    weights = np.random.default_rng(0).standard_normal((2, 1, kernel.n_anchors)).astype(dtype)
    dense = ik.densify(weights, kernel)
    assert dense.dtype.newbyteorder("=") == weights.dtype.newbyteorder("=")
    np.testing.assert_array_equal(dense, ik.densify(weights.astype(np.float64), kernel).astype(dtype))
    back = ik.densify_backward(dense, weights, kernel).weights
    assert back.dtype.newbyteorder("=") == weights.dtype.newbyteorder("=")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_out_of_reach_stays_zero(bad):
    """A non-finite weight spoils the cells that some anchor reaches, and no other: taps are structure, not values."""
    kernel = ik.InterpolatedKernel([[0], [2]], 5, "dilated")
    dense = ik.densify(np.array([bad, 1.0]), kernel)
    np.testing.assert_array_equal(dense[[1, 3, 4]], 0)
    assert not np.isfinite(dense[0])


def test_non_finite_gradients_out_of_reach_count_as_zero():
    """A cell that no anchor reaches takes no part in the gradient, whatever stands there."""
    kernel = ik.InterpolatedKernel([[0], [2]], 5, "dilated")
    grad = ik.densify_backward(np.array([1.0, np.nan, 2.0, np.inf, np.nan]), np.ones(2), kernel).weights
    np.testing.assert_array_equal(grad, [1, 2])


KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
PER_FILTER = ik.InterpolatedKernel([[[0], [2]], [[0], [1]]], 3, "linear")
TIED = KERNEL.replace(channel_mode="tied")
densify, backward = ik.densify, ik.densify_backward
CHANNELS = ik.InterpolatedKernel([[0, 0], [2, 0]], (3, 2), "nearest", channel_mode="interpolated")


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: densify(np.ones(5), KERNEL), ValueError, "`weights` must end in 4 anchors"),
        (lambda: densify(np.float64(1), KERNEL), ValueError, "`weights` must end in 4 anchors"),
        (lambda: densify(np.ones((2, 4)), KERNEL), ValueError, "`weights` must have shape"),
        (lambda: densify(np.ones((1, 2, 2, 4)), KERNEL), ValueError, "`weights` must have shape"),
        (lambda: densify(np.ones((2, 2, 4)), TIED), ValueError, "`weights` must have shape"),
        (lambda: densify(np.ones(2), PER_FILTER), ValueError, "need one set of positions"),
        (lambda: densify(np.ones(2), CHANNELS), ValueError, "no channel axis"),
        (lambda: densify(np.ones((3, 1, 2)), PER_FILTER), ValueError, "`weights`|`positions`"),
        (lambda: densify(np.ones(4, int), KERNEL), TypeError, "`weights` must be a floating array.*astype"),
        (lambda: densify(np.ones(4, bool), KERNEL), TypeError, "`weights` must be a floating array"),
        (lambda: densify(np.ones(4, complex), KERNEL), TypeError, "`weights` must be real"),
        (lambda: densify(np.ones(4, object), KERNEL), TypeError, "`weights` must be float16"),
        (lambda: densify(np.ma.ones(4), KERNEL), TypeError, "`weights` must not be a masked array"),
        (lambda: backward(np.ones((3, 4)), np.ones(4), KERNEL), ValueError, "`grad_dense` must have"),
        (lambda: backward(np.ones((1, 1, 3, 3)), np.ones(4), KERNEL), ValueError, "`grad_dense` must have"),
        (lambda: backward(np.ones((3, 3), int), np.ones(4), KERNEL), TypeError, "`grad_dense` must be a"),
        (lambda: backward(np.ones((3, 3)), np.ones(4), KERNEL, wrt=("x",)), ValueError, "`wrt`"),
        (lambda: backward(np.ones((3, 3)), np.ones(4), KERNEL, wrt=("positions",)), ValueError, "`wrt`"),
        (lambda: backward(np.ones((3, 3)), np.ones(4), KERNEL, wrt="x"), ValueError, "`wrt`"),
    ],
)  # fmt: skip
def test_bad_input(call, error, match):
    """Wrong shapes, dtypes and names raise in one line with the argument's name."""
    with pytest.raises(error, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_gradients_hold_only_what_was_asked_for():
    """What was not asked for is None."""
    grads = ik.densify_backward(np.ones((3, 3)), np.ones(4), KERNEL, wrt=())
    assert (grads.x, grads.weights, grads.positions, grads.widths) == (None,) * 4


def test_no_filters():
    """A bank of no filters gives no kernels."""
    assert ik.densify(np.ones((0, 2, 4)), KERNEL).shape == (0, 2, 3, 3)
