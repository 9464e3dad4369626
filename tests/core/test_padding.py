"""Padding: NumPy's own, a mode an axis, as wide as it is asked for, forward and back, on every path."""

import tracemalloc

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.options import Options, modes_per_axis
from interpolated_kernels.paths import PATHS

IDENTITY = ik.InterpolatedKernel([[0]], 1, "nearest")
PADS = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap", "symmetric": "symmetric"}
MODES = st.sampled_from(sorted(PADS))


def _pad(values, pairs, modes, nothing=0):
    """The last axes of an array with their padding by NumPy, axis by axis; `nothing` stands in padding zeros."""
    for axis, (pair, mode) in enumerate(zip(pairs, modes, strict=True), start=values.ndim - len(pairs)):
        fill = {"constant_values": nothing} if mode == "zeros" else {}
        values = np.pad(values, [pair if own == axis else (0, 0) for own in range(values.ndim)], PADS[mode], **fill)
    return values


def _fold(grad, spatial, pairs, modes):
    """The transpose of `_pad`: every padded cell's gradient, added to the cell that NumPy put there."""
    shown = _pad(np.arange(np.prod(spatial)).reshape(spatial), pairs, modes, nothing=-1).ravel()
    images = grad.reshape(-1, shown.size)
    folded = [np.bincount(shown[shown >= 0], image[shown >= 0], minlength=np.prod(spatial)) for image in images]
    return np.reshape(folded, (*grad.shape[: grad.ndim - len(spatial)], *spatial)).astype(grad.dtype)


@st.composite
def problems(draw, dims=(1, 2, 3), least=0, most=25):
    """Return x, weights, a kernel, padding pairs, modes and other options: small arrays, wide padding, exact sums."""
    d = draw(st.sampled_from(dims))
    window = tuple(draw(st.integers(1, 6 if d < 3 else 3)) for _ in range(d))
    kernel = ik.InterpolatedKernel(ik.grid_positions(window, 2), window, "linear")
    stride, dilation = (tuple(draw(st.integers(1, 3 if d < 3 else 2)) for _ in range(d)) for _ in range(2))
    spatial, cells = tuple(draw(st.integers(1, 6)) for _ in range(d)), st.integers(least, most if d < 3 else 7)
    pairs = []
    for size, width, apart in zip(spatial, window, dilation, strict=True):
        before, after = draw(cells), draw(cells)
        pairs.append((before + max(0, (width - 1) * apart + 1 - size - before - after), after))
    groups, channels, filters = draw(st.sampled_from([(1, 1, 1), (1, 2, 3), (2, 1, 2), (1, 1, 5)]))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    x = rng.integers(-3, 4, (draw(st.integers(1, 2)), groups * channels, *spatial)).astype(dtype)
    weights = rng.integers(-3, 4, (groups * filters, channels, kernel.n_anchors)).astype(dtype)
    modes = draw(st.tuples(*(MODES,) * d))
    return x, weights, kernel, tuple(pairs), modes, {"stride": stride, "dilation": dilation, "groups": groups}


def _assert_is_numpys(problem, **options):
    """Hold y and both gradients, bit for bit, to "valid" on the array that NumPy padded, and its transpose."""
    x, weights, kernel, pairs, modes, geometry = problem
    wide = _pad(x, pairs, modes)
    expected = ik.conv(wide, weights, kernel, path="reference", **geometry)
    asked = {"padding": pairs, "padding_mode": modes, **geometry, **options}
    np.testing.assert_array_equal(ik.conv(x, weights, kernel, **asked), expected)
    grad_y = np.random.default_rng(0).integers(-2, 3, expected.shape).astype(x.dtype)
    grads = ik.conv_backward(grad_y, x, weights, kernel, **asked)
    of_wide = ik.conv_backward(grad_y, wide, weights, kernel, path="reference", **geometry)
    np.testing.assert_array_equal(grads.x, _fold(of_wide.x, x.shape[2:], pairs, modes))
    np.testing.assert_array_equal(grads.weights, of_wide.weights)


@hypothesis.given(MODES, st.integers(1, 9), st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_padding_modes_are_numpys(mode, size, pair):
    """A window of one cell shows the padded input: numpy.pad's constant, reflect, edge, wrap and symmetric."""
    x = np.random.default_rng(0).standard_normal(size)
    for path in ("direct", "reference"):
        y = ik.conv(x, np.ones(1), IDENTITY, padding=(pair,), padding_mode=mode, path=path)
        np.testing.assert_array_equal(y, np.pad(x, pair, mode=PADS[mode]))


@pytest.mark.parametrize("path", sorted(name for name in PATHS if PATHS[name].ACCURACY == "componentwise"))
@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(problem=problems())
def test_every_path_pads_as_numpy(path, problem):
    """Padding wider than the array, a mode an axis: y is "valid" on NumPy's padding, gradients its transpose."""
    x, weights, kernel, pairs, modes, geometry = problem
    plan = ik.plan(x.shape, weights.shape, kernel, padding=pairs, padding_mode=modes, **geometry)
    why_not = PATHS[path].supports(plan.problem)
    hypothesis.assume(why_not is None)
    _assert_is_numpys(problem, path=path)


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(problem=problems(dims=(2,), least=16))
def test_fourier_pads_as_numpy(problem):
    """The same by transforms in float64, whose errors are far below the quarters that results are made of."""
    x, weights, kernel, pairs, modes, geometry = problem
    x, weights = x.astype(np.float64), weights.astype(np.float64)
    asked = {"padding": pairs, "padding_mode": modes, "path": "fourier", "accuracy": "normwise", **geometry}
    hypothesis.assume(kernel.window != (1, 1))
    wide = _pad(x, pairs, modes)
    hypothesis.assume(np.prod(wide.shape[2:]) >= 1024)
    y = ik.conv(x, weights, kernel, **asked)
    np.testing.assert_array_equal(np.round(4 * y) / 4, ik.conv(wide, weights, kernel, **geometry))
    grad_y = np.random.default_rng(0).integers(-2, 3, y.shape).astype(np.float64)
    grads = ik.conv_backward(grad_y, x, weights, kernel, **asked)
    of_wide = ik.conv_backward(grad_y, wide, weights, kernel, **geometry)
    np.testing.assert_array_equal(np.round(4 * grads.x) / 4, _fold(of_wide.x, x.shape[2:], pairs, modes))
    np.testing.assert_array_equal(np.round(4 * grads.weights) / 4, of_wide.weights)


@pytest.mark.parametrize("path", ["direct", "lattice"])
@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(problem=problems(dims=(1, 2)))
def test_bands_pad_as_numpy(path, problem):
    """With hardly any memory the direct path cuts bands, and the lattice path folds in them: the same result."""
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr("interpolated_kernels.paths.direct.bands._PACKED_BYTES", 1)
        small.setattr("interpolated_kernels.paths.lattice.folding._BYTES_OF_FOLD", 1)
        ik.clear_caches()
        _assert_is_numpys(problem, path=path)
    ik.clear_caches()


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(problem=problems(dims=(1, 2)))
def test_an_out_that_is_filled_by_bands_pads_as_numpy(problem):
    """An `out` of any strides is written some outputs at a time, each with the padded cells that it sees."""
    x, weights, kernel, pairs, modes, geometry = problem
    expected = ik.conv(_pad(x, pairs, modes), weights, kernel, **geometry)
    out = np.zeros(expected.shape[::-1], expected.dtype).T
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr("interpolated_kernels.bands._BYTES_OF_BAND", 1)
        ik.conv(x, weights, kernel, padding=pairs, padding_mode=modes, out=out, **geometry)
    np.testing.assert_array_equal(out, expected)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(problem=problems(dims=(1, 2)), path=st.sampled_from(["auto", "direct", "lattice", "reference"]))
def test_the_transposed_convolution_folds_as_numpy(problem, path):
    """`conv_transpose` and its gradients are the transpose of "valid" on NumPy's padding, and that of this."""
    x, weights, kernel, pairs, modes, geometry = problem
    asked = {"padding": pairs, "padding_mode": modes, "path": path, **geometry}
    given_x = np.resize(x, ik.conv(x, weights, kernel, **{**asked, "path": "auto"}).shape)
    spatial = [
        (size - 1) * step + (cells - 1) * apart + 1 - sum(pair)
        for size, step, cells, apart, pair in zip(
            given_x.shape[2:], geometry["stride"], kernel.window, geometry["dilation"], pairs, strict=True
        )
    ]
    hypothesis.assume(min(spatial) > 0)
    y = ik.conv_transpose(given_x, weights, kernel, **asked)
    wide = ik.conv_transpose(given_x, weights, kernel, path="reference", **geometry)
    np.testing.assert_array_equal(y, _fold(wide, tuple(spatial), pairs, modes))
    grad_y = np.random.default_rng(0).integers(-2, 3, y.shape).astype(x.dtype)
    grads = ik.conv_transpose_backward(grad_y, given_x, weights, kernel, **asked)
    of_wide = ik.conv_transpose_backward(_pad(grad_y, pairs, modes), given_x, weights, kernel, **geometry)
    np.testing.assert_array_equal(grads.x, of_wide.x)
    np.testing.assert_array_equal(grads.weights, of_wide.weights)


def test_a_periodic_image_under_a_window_larger_than_itself():
    """36x36 cells, window 81, "same", circular: "valid" on the image wrapped around itself."""
    kernel, rng = ik.InterpolatedKernel(ik.grid_positions((81, 81), 10), (81, 81), "linear"), np.random.default_rng(0)
    x, weights = rng.integers(-3, 4, (36, 36)).astype(float), rng.integers(-3, 4, kernel.n_anchors).astype(float)
    y = ik.conv(x, weights, kernel, padding="same", padding_mode="circular")
    expected = ik.conv(np.pad(x, 40, mode="wrap"), weights, kernel)
    np.testing.assert_allclose(y, expected, rtol=0, atol=81**2 * 2.0**-52 * 9)  # n u max |x| max |w|, and to spare


def test_a_fit_finds_the_weights_behind_wide_padding():
    """`fit` takes a mode an axis, and padding wider than the array."""
    kernel, rng = ik.InterpolatedKernel(ik.grid_positions((9, 7), 2), (9, 7), "linear"), np.random.default_rng(0)
    x, weights = rng.standard_normal((4, 5)), rng.standard_normal(kernel.n_anchors)
    options = {"padding": ((9, 6), (12, 5)), "padding_mode": ("replicate", "circular")}
    y = ik.conv(_pad(x, options["padding"], options["padding_mode"]), weights, kernel)
    found = ik.fit(x, y, kernel, **options)
    fitted = ik.conv(x, found.weights, kernel, **options)
    np.testing.assert_allclose(fitted, y, rtol=0, atol=1e-9)  # of values of order 1, through normal equations


@pytest.mark.parametrize("mode", [("zeros", "circular"), ("circular", "zeros"), "symmetric"])
@pytest.mark.parametrize(("path", "dilation"), [("direct", 32), ("lattice", 128)])
def test_wide_padding_stays_within_the_memory_that_is_given(path, dilation, mode):
    """Padding many times the array takes no more than the plan says, forward or back, whichever axis is folded."""
    kernel, rng = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear"), np.random.default_rng(0)
    x, weights, grad_y = (rng.standard_normal(shape).astype(np.float32) for shape in ((28, 28), 49, (28, 28)))
    limit = 16 * 2**20
    options = {"padding": "same", "padding_mode": mode, "dilation": dilation, "max_memory": limit, "path": path}
    said = ik.plan(x.shape, weights.shape, kernel, **options).cost.extra_bytes
    assert said <= limit
    for call in (
        lambda: ik.conv(x, weights, kernel, **options),
        lambda: ik.conv_backward(grad_y, x, weights, kernel, **options),
    ):
        call()
        tracemalloc.start()
        try:
            call()
            assert tracemalloc.get_traced_memory()[1] <= said + 2**20  # a plan's tables
        finally:
            tracemalloc.stop()


def test_modes_an_axis_are_one_key():
    """A sequence of modes is the tuple that it stands for; a word stands for all axes, and a plan prints them."""
    assert Options(padding_mode=["zeros", "circular"]) == Options(padding_mode=("zeros", "circular"))
    assert hash(Options(padding_mode=np.array(["zeros", "circular"]))) == hash(
        Options(padding_mode=("zeros", "circular"))
    )
    assert modes_per_axis("reflect", 2) == modes_per_axis(["reflect", "reflect"], 2) == ("reflect", "reflect")
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
    plan = ik.plan((9, 9), (4,), kernel, padding=12, padding_mode=("replicate", "circular"))
    assert "replicate circular" in str(plan)
    assert "((12, 12), (12, 12)) reflect," in str(ik.plan((9, 9), (4,), kernel, padding=12, padding_mode="reflect"))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (("zeros",), "`padding_mode` must be one mode or have 2 entries, one a spatial axis"),
        (("zeros",) * 3, "`padding_mode` must be one mode or have 2 entries"),
        (("zeros", "constant"), "`padding_mode` must be one of .*'constant'"),
        (None, "`padding_mode` must be one of .*None"),
    ],
)
def test_modes_that_do_not_fit_raise(mode, message):
    """Another number of modes than axes, and an unknown name."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
    with pytest.raises(ValueError, match=message):
        ik.conv(np.zeros((9, 9)), np.zeros(4), kernel, padding_mode=mode)


@pytest.mark.parametrize("mode", [("zeros", 1.5), True])
def test_modes_are_words(mode):
    """What is no word is of the wrong type."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
    with pytest.raises(TypeError, match="`padding_mode` must be a word, got"):
        ik.conv(np.zeros((9, 9)), np.zeros(4), kernel, padding_mode=mode)


def test_an_empty_axis_has_nothing_to_show():
    """Around an axis without cells there are zeros; any other mode raises."""
    x = np.zeros((3, 0))
    kernel = ik.InterpolatedKernel([[0, 0]], (1, 1), "nearest")
    np.testing.assert_array_equal(ik.conv(x, np.ones(1), kernel, padding=2), np.zeros((7, 4)))
    with pytest.raises(ValueError, match="`padding_mode`='circular' needs a cell to show on spatial axis 1"):
        ik.conv(x, np.ones(1), kernel, padding=2, padding_mode=("reflect", "circular"))


def test_padding_beyond_what_sizes_allow_raises():
    """Arrays of 2^62 cells cannot be."""
    with pytest.raises(ValueError, match="2\\^62 cells or more"):
        ik.conv(np.zeros(3), np.ones(1), IDENTITY, padding=2**62, padding_mode="circular")
