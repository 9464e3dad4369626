import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.options import Options


def _taps(n):
    """A kernel with an anchor in each of n cells."""
    return ik.InterpolatedKernel(np.arange(n)[:, None], n, "dilated")


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


@pytest.mark.parametrize("written", [[2, 1], np.array([2, 1]), (np.int64(2), 1), range(2, 0, -1)])
def test_equal_options_are_one_key(written):
    """Lists, arrays and NumPy's ints are the tuples of ints that they stand for, and hash as these."""
    assert Options(stride=written) == Options(stride=(2, 1))
    assert hash(Options(stride=written, padding=[written])) == hash(Options(stride=(2, 1), padding=((2, 1),)))


@pytest.mark.parametrize("written", [True, 1.0, np.float32(1), (1, True), [[1.0, 1]]])
@pytest.mark.parametrize("name", ["stride", "padding", "dilation", "groups", "max_memory"])
def test_what_equals_an_int_and_is_none_raises(name, written):
    """True and 1.0 equal 1, and must not be the key that 1 is."""
    with pytest.raises(TypeError, match=f"`{name}` must be an int"):
        Options(**{name: written})
