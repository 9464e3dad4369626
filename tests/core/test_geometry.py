import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik

IDENTITY = ik.InterpolatedKernel([[0]], 1, "nearest")
PADS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}


def _taps(n):
    """A kernel with an anchor in each of n cells."""
    return ik.InterpolatedKernel(np.arange(n)[:, None], n, "dilated")


@hypothesis.given(st.sampled_from(sorted(PADS)), st.integers(1, 9), st.data())
def test_padding_modes_are_numpys(mode, size, data):
    """A window of one cell shows the padded input: numpy.pad's constant, reflect, edge, wrap and symmetric."""
    limit = {"reflect": size - 1, "circular": size, "symmetric": size}.get(mode, 12)
    pair = data.draw(st.tuples(st.integers(0, limit), st.integers(0, limit)))
    x = np.random.default_rng(0).standard_normal(size)
    for path in ("direct", "reference"):
        y = ik.conv(x, np.ones(1), IDENTITY, padding=(pair,), padding_mode=mode, path=path)
        np.testing.assert_array_equal(y, np.pad(x, pair, mode=PADS[mode]))


@hypothesis.given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_same_is_tensorflows(size, window, stride, dilation):
    """`same`: out = ceil(in / stride), before = total // 2 of total = max((out - 1) stride + extent - in, 0)."""
    out = -(-size // stride)
    total = max((out - 1) * stride + (window - 1) * dilation + 1 - size, 0)
    x, weights = np.random.default_rng(size).standard_normal(size), np.arange(1.0, window + 1)
    options = {"stride": stride, "dilation": dilation}
    y = ik.conv(x, weights, _taps(window), padding="same", **options)
    assert y.shape == (out,)
    explicit = ik.conv(x, weights, _taps(window), padding=((total // 2, total - total // 2),), **options)
    np.testing.assert_array_equal(y, explicit)


@hypothesis.given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 3), st.integers(0, 11))
def test_causal_sees_no_future(size, window, dilation, step):
    """`causal`: one output an input at stride 1, and a change of x at t changes no output before t."""
    x = np.random.default_rng(0).standard_normal(size)
    weights = np.ones(window)
    y = ik.conv(x, weights, _taps(window), padding="causal", dilation=dilation)
    assert y.shape == x.shape
    changed = x.copy()
    changed[step % size] += 1
    difference = ik.conv(changed, weights, _taps(window), padding="causal", dilation=dilation) != y
    assert not difference[: step % size].any()
    assert difference[step % size]


def test_padding_spellings():
    """An int, one int an axis and pairs are three spellings of the same."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 1), (3, 3), "dilated")
    x, weights = np.random.default_rng(0).standard_normal((5, 6)), np.arange(9.0)
    expected = ik.conv(np.pad(x, 2), weights, kernel)
    for padding in (2, (2, 2), ((2, 2), (2, 2))):
        np.testing.assert_array_equal(ik.conv(x, weights, kernel, padding=padding), expected)
    np.testing.assert_array_equal(
        ik.conv(x, weights, kernel, padding=((1, 0), (0, 2))), ik.conv(np.pad(x, ((1, 0), (0, 2))), weights, kernel)
    )


def test_the_kernel_is_not_flipped():
    """`conv` is cross-correlation, with axes in array order."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((2, 3), 1), (2, 3), "dilated")
    x = np.zeros((4, 5))
    x[1, 2] = 1
    y = ik.conv(x, np.arange(6.0), kernel)
    np.testing.assert_array_equal(y, [[5, 4, 3], [2, 1, 0], [0, 0, 0]])


def test_groups_split_channels_and_filters_in_order():
    """Filter f of group g sees the channels of group g alone."""
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    y = ik.conv(x, np.array([1.0, 10.0] * 4).reshape(4, 2, 1), IDENTITY, groups=2)
    np.testing.assert_array_equal(y.ravel(), [21, 21, 43, 43])


@pytest.mark.parametrize(
    ("x_shape", "weights_shape", "options", "y_shape"),
    [
        ((2, 3, 20, 21), (4, 3, 9), {}, (2, 4, 16, 17)),
        ((2, 3, 20, 21), (4, 3, 9), {"stride": (2, 3), "padding": 1}, (2, 4, 9, 7)),
        ((2, 3, 20, 21), (4, 3, 9), {"padding": "same", "stride": 3}, (2, 4, 7, 7)),
        ((2, 4, 20, 21), (4, 1, 9), {"dilation": 4, "groups": 4}, (2, 4, 4, 5)),
        ((20, 21), (9,), {"stride": 50}, (1, 1)),
    ],
)
def test_shapes(x_shape, weights_shape, options, y_shape):
    """Output shapes are torch's formula."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    assert ik.conv(np.ones(x_shape), np.ones(weights_shape), kernel, **options).shape == y_shape
