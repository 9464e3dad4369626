"""Transposed convolution on a GPU: `conv`'s gradient by x, with shapes of its own."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference

PATH = pytest.mark.parametrize("path", ["direct", "lattice"])


@st.composite
def problems(draw):
    """X, weights, a kernel and options of a transposed convolution with a result, all integers."""
    d = draw(st.integers(1, 3))
    window = tuple(draw(st.integers(1, 4 if d < 3 else 2)) for _ in range(d))
    groups, mode = draw(st.sampled_from([1, 2])), draw(st.sampled_from(["separate", "tied", "interpolated"]))
    filters, channels = groups * draw(st.integers(1, 3)), draw(st.integers(1, 2))
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(d)) for _ in range(2))
    more = tuple(draw(st.integers(0, max(pair) - 1)) for pair in zip(stride, dilation, strict=True))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(d))
    spatial = tuple(draw(st.integers(1, 4 if d < 3 else 2)) for _ in range(d))
    hypothesis.assume(all(
        (size - 1) * step - 2 * pad + (cells - 1) * spread + 1 + extra >= 1
        for size, step, pad, cells, spread, extra in zip(
            spatial, stride, padding, window, dilation, more, strict=True
        )
    ))  # fmt: skip
    full = (*window, channels) if mode == "interpolated" else window
    kernel = ik.InterpolatedKernel(ik.grid_positions(full, 1), full, "linear", channel_mode=mode)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    bank = (filters, channels) if mode == "separate" else (filters,)
    x = rng.integers(-3, 4, (draw(st.integers(0, 2)), filters, *spatial))
    weights = rng.integers(-3, 4, (*bank, kernel.n_anchors))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    options = {"stride": stride, "dilation": dilation, "groups": groups, "output_padding": more, "padding": padding}
    return x.astype(dtype), weights.astype(dtype), kernel, options


@PATH
@hypothesis.settings(max_examples=25)
@hypothesis.given(problem=problems(), seed=st.integers(0, 99))
def test_exact_data_give_the_bits_of_the_host(path, problem, seed, device):
    """C0: the result, and its gradients by x and weights, are those of NumPy's reference bit for bit."""
    x, weights, kernel, options = problem
    expected = ik.conv_transpose(x, weights, kernel, path="reference", **options)
    found = device.run(ik.conv_transpose, x, weights, kernel, path=path, **options)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    grad_y = np.random.default_rng(seed).integers(-3, 4, expected.shape).astype(x.dtype)
    wanted = ik.conv_transpose_backward(grad_y, x, weights, kernel, path="reference", **options)
    grads = device.differentiate(ik.conv_transpose_backward, grad_y, x, weights, kernel, path=path, **options)
    assert set(grads) == {"x", "weights"}
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, getattr(wanted, name), err_msg=name)


@PATH
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular", "symmetric"])
def test_within_the_bound(path, dtype, mode, device):
    """C1, for every mode of padding, whose transpose adds up what it shows twice."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 4), 2), (5, 4), "linear")
    x, weights = rng.standard_normal((2, 4, 4, 5)).astype(dtype), rng.standard_normal((4, 2, 6)).astype(dtype)
    options = {"stride": 2, "padding": (2, 1), "padding_mode": mode, "groups": 2}
    found = device.run(ik.conv_transpose, x, weights, kernel, path=path, **options)
    assert_matches_reference(found, x, weights, kernel, quantity="transposed", **options)
    image = device.send_strided(x, 2)
    again = ik.conv_transpose(image, device.send(weights), kernel, path=path, **options)
    np.testing.assert_array_equal(device.take(again), found)


@PATH
def test_a_gradient_by_anchors(path, device):
    """Positions and widths have the gradients that they have on the host, within the rounding of float64."""
    rng = np.random.default_rng(0)
    positions, widths = rng.uniform(0, 4, (3, 5, 2)), rng.uniform(0.3, 1, (3, 5, 2))
    kernel = ik.InterpolatedKernel(positions, (5, 4), "gaussian", widths=widths)
    x, weights = rng.standard_normal((2, 3, 4, 3)), rng.standard_normal((3, 2, 5))
    options = {"stride": 2, "padding": 1, "output_padding": 1, "wrt": ("positions", "widths")}
    grad_y = rng.standard_normal((2, 2, 10, 7))
    if path == "lattice":
        with pytest.raises(ValueError, match="tensor product"):
            device.differentiate(ik.conv_transpose_backward, grad_y, x, weights, kernel, path=path, **options)
        return
    found = device.differentiate(ik.conv_transpose_backward, grad_y, x, weights, kernel, path=path, **options)
    expected = ik.conv_transpose_backward(grad_y, x, weights, kernel, path="reference", **options)
    for name in ("positions", "widths"):
        largest = np.abs(getattr(expected, name)).max()
        assert np.abs(found[name] - getattr(expected, name)).max() <= 2.0**-53 * 1e3 * largest
