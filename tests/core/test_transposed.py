"""Transposed convolution: the frameworks' results, the adjoint identity, and its gradients."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import interpolated_kernels as ik

U = 2.0**-53


def _kernel(window, interpolator="linear", **options):
    counts = tuple(min(3, cells) for cells in window)
    return ik.InterpolatedKernel(ik.grid_positions(window, counts=counts), window, interpolator, **options)


@st.composite
def problems(draw, zeros_only=True):
    """Return x, weights, a kernel and options of a transposed convolution with a result."""
    d = draw(st.integers(1, 3))
    window = tuple(draw(st.integers(1, 5 if d < 3 else 3)) for _ in range(d))
    groups = draw(st.sampled_from([1, 1, 2]))
    filters, channels = groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(d)) for _ in range(2))
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    options["output_padding"] = tuple(
        draw(st.integers(0, max(pair) - 1)) for pair in zip(stride, dilation, strict=True)
    )
    spatial = tuple(draw(st.integers(1, 6 if d < 3 else 4)) for _ in range(d))
    options["padding"] = tuple(draw(st.integers(0, 2)) for _ in range(d))
    assume(all(
        (size - 1) * step - 2 * pad + (cells - 1) * spread + 1 + more >= 1
        for size, step, pad, cells, spread, more in zip(
            spatial, stride, options["padding"], window, dilation, options["output_padding"], strict=True
        )
    ))  # fmt: skip
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = _kernel(window, draw(st.sampled_from(["linear", "inverse_distance", "gaussian"])))
    x = rng.standard_normal((draw(st.integers(1, 2)), filters, *spatial))
    return x, rng.standard_normal((filters, channels, kernel.n_anchors)), kernel, options


@given(problem=problems(), path=st.sampled_from(["auto", "direct", "lattice", "reference"]))
def test_the_result_is_torchs(problem, path):
    """Equal to `conv_transpose` of the dense kernel in torch, to rounding, for every path that serves the kernel."""
    torch = pytest.importorskip("torch")
    x, weights, kernel, options = problem
    assume(path != "lattice" or kernel.structure.separable)
    function = getattr(torch.nn.functional, f"conv_transpose{kernel.n_dims}d")
    dense = ik.densify(weights, kernel)
    expected, size = (
        function(torch.from_numpy(image), torch.from_numpy(bank), **options).numpy()
        for image, bank in ((x, dense), (np.abs(x), np.abs(dense)))
    )
    found = ik.conv_transpose(x, weights, kernel, path=path, **options)
    assert found.shape == expected.shape
    n = weights.shape[0] * dense[0, 0].size
    assert (np.abs(found - expected) <= 8 * (n + 100) * U * size).all()


def test_fourier_gives_the_same():
    """Under "normwise" a large problem may take transforms: equal to the componentwise result by norms."""
    rng, kernel = np.random.default_rng(0), _kernel((9, 8), "gaussian")
    x, weights = rng.standard_normal((2, 3, 40, 50)), rng.standard_normal((3, 2, kernel.n_anchors))
    options = {"stride": 2, "padding": 3, "output_padding": 1}
    exact = ik.conv_transpose(x, weights, kernel, path="direct", **options)
    found = ik.conv_transpose(x, weights, kernel, path="fourier", accuracy="normwise", **options)
    assert np.abs(found - exact).max() <= 1e-13 * np.linalg.norm(x[0]) * np.linalg.norm(ik.densify(weights, kernel))


@given(problem=problems())
def test_it_is_the_transpose(problem):
    """`<conv(y), x> = <y, conv_transpose(x)>` for the size of y that the output padding chooses."""
    x, weights, kernel, options = problem
    y = ik.conv_transpose(x, weights, kernel, **options)
    other = np.random.default_rng(0).standard_normal(y.shape)
    forward = {name: value for name, value in options.items() if name != "output_padding"}
    mapped = ik.conv(other, weights, kernel, **forward)
    inside = (..., *map(slice, x.shape[2:]))
    size = np.vdot(np.abs(other), ik.conv_transpose(np.abs(x), np.abs(weights), kernel, **options)) + np.abs(y).sum()
    assert abs(np.vdot(mapped[inside], x) - np.vdot(other, y)) <= 1e-12 * (1 + size)


@given(problem=problems())
def test_its_gradients(problem):
    """Gradients by x and weights are those of torch's transposed convolution of the dense kernel."""
    torch = pytest.importorskip("torch")
    x, weights, kernel, options = problem
    function = getattr(torch.nn.functional, f"conv_transpose{kernel.n_dims}d")
    image = torch.from_numpy(x).requires_grad_()
    bank = torch.from_numpy(ik.densify(weights, kernel)).requires_grad_()
    y = function(image, bank, **options)
    grad_y = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(torch.from_numpy(grad_y))
    grads = ik.conv_transpose_backward(grad_y, x, weights, kernel, **options)
    expected = ik.densify_backward(bank.grad.numpy(), weights, kernel).weights
    np.testing.assert_allclose(grads.x, image.grad.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(grads.weights, expected, rtol=1e-10, atol=1e-10)


def test_a_gradient_by_positions():
    """Anchors move: finite differences confirm the gradients by positions and widths."""
    rng = np.random.default_rng(0)
    positions, widths = rng.uniform(0, 4, (3, 5, 2)), rng.uniform(0.3, 1, (3, 5, 2))
    kernel = ik.InterpolatedKernel(positions, (5, 4), "gaussian", widths=widths)
    x, weights = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((3, 2, 5))
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    grad_y = rng.standard_normal(ik.conv_transpose(x, weights, kernel, **options).shape)
    grads = ik.conv_transpose_backward(grad_y, x, weights, kernel, wrt=("positions", "widths"), **options)
    assert grads.x is None
    assert grads.weights is None
    for name in ("positions", "widths"):
        direction = rng.standard_normal(positions.shape)
        ends = [
            np.vdot(
                grad_y,
                ik.conv_transpose(
                    x, weights, kernel.replace(**{name: getattr(kernel, name) + sign * 1e-6 * direction}), **options
                ),
            )
            for sign in (1, -1)
        ]
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(np.vdot(getattr(grads, name), direction), rel=1e-6)


@pytest.mark.parametrize(("stride", "window"), [(1, 3), (2, 4), (3, 5), (2, 1)])
def test_same_is_tensorflows(stride, window):
    """With "same" the result has `in * stride` cells, where TensorFlow has them."""
    tf = pytest.importorskip("tensorflow")
    rng, kernel = np.random.default_rng(0), _kernel((window, window))
    x, weights = rng.standard_normal((2, 3, 5, 6)), rng.standard_normal((3, 2, kernel.n_anchors))
    bank = np.moveaxis(ik.densify(weights, kernel), (0, 1), (-1, -2))
    shape = (2, 5 * stride, 6 * stride, 2)
    expected = tf.nn.conv2d_transpose(np.moveaxis(x, 1, -1), bank, shape, stride, "SAME").numpy()
    found = ik.conv_transpose(x, weights, kernel, stride=stride, padding="same")
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 1), rtol=1e-12, atol=1e-12)


def test_leading_axes_and_dtypes():
    """Plain weights take any leading axes, x may lack the batch axis, and dtypes promote as in NumPy."""
    rng, kernel = np.random.default_rng(0), _kernel((4, 3))
    weights, x = rng.standard_normal(kernel.n_anchors).astype(np.float32), rng.standard_normal((2, 3, 5, 6))
    whole = ik.conv_transpose(x, weights, kernel)
    assert whole.shape == (2, 3, 8, 8)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(ik.conv_transpose(x[1, 2], weights, kernel), whole[1, 2])
    bank = rng.standard_normal((3, 2, kernel.n_anchors))
    batch = ik.conv_transpose(x, bank, kernel)
    np.testing.assert_array_equal(ik.conv_transpose(x[0], bank, kernel), batch[0])
    assert ik.conv_transpose(x.astype(np.float16), bank.astype(np.float16), kernel).dtype == np.float16
    out = np.empty_like(batch)
    assert ik.conv_transpose(x, bank, kernel, out=out) is out
    np.testing.assert_array_equal(out, batch)


@pytest.mark.parametrize("mode", ["tied", "interpolated"])
def test_channel_modes(mode):
    """Tied channels have one result for all of a group; interpolated ones one each: both are `conv`'s transpose."""
    rng = np.random.default_rng(0)
    if mode == "tied":
        kernel = _kernel((4, 3), channel_mode="tied")
    else:
        kernel = ik.InterpolatedKernel(ik.grid_positions((4, 3, 2), 1), (4, 3, 2), "linear", channel_mode=mode)
    x, weights = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, kernel.n_anchors))
    dense = ik.densify(weights, kernel)
    cells = ik.InterpolatedKernel(ik.grid_positions((4, 3), 1), (4, 3), "dilated")
    expected = ik.conv_transpose(x, dense.reshape(4, -1, 12), cells, groups=2, stride=2)
    found = ik.conv_transpose(x, weights, kernel, groups=2, stride=2)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("x_shape", "options", "message"),
    [
        ((2, 3, 5, 6), {"output_padding": 1}, "below the stride or the dilation"),
        ((2, 3, 5, 6), {"output_padding": 1, "padding": "same", "stride": 2}, "must be 0 with padding='same'"),
        ((2, 3, 5, 6), {"output_padding": -1}, "at least 0"),
        ((2, 4, 5, 6), {}, "3 filters"),
        ((2, 3, 1, 1), {"padding": 4}, "use less padding"),
        ((2, 3, 0, 6), {}, "use less padding"),
        ((2, 3, 5, 6), {"groups": 2}, "groups"),
    ],
)
def test_what_cannot_be(x_shape, options, message):
    """Shapes and options that do not fit raise, naming the argument."""
    kernel = _kernel((4, 3))
    with pytest.raises(ValueError, match=message):
        ik.conv_transpose(np.zeros(x_shape), np.zeros((3, 2, kernel.n_anchors)), kernel, **options)


def test_a_wrong_gradient_raises():
    """The gradient has the result's shape."""
    kernel = _kernel((4, 3))
    with pytest.raises(ValueError, match="`grad_y` must have the shape"):
        ik.conv_transpose_backward(np.zeros((1, 2, 5, 6)), np.zeros((1, 3, 5, 6)), np.zeros((3, 2, 9)), kernel)
