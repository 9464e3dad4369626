"""What adapters share: options where sizes are open, and checks whose errors are the same in all of them."""

import re

import numpy as np
import pytest
from hypothesis import given, settings

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels.testing.strategies import cases


def _kernel(window, spacing=2, **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, "linear", **options)


KERNEL = _kernel((5, 5))


@given(case=cases())
@settings(deadline=None)
def test_known_sizes_are_settled_as_conv_reads_them(case):
    """With every size known nothing is open: y's shape is `conv`'s, and the options are those of the plan."""
    settled = adapting.settle(case.x.shape, case.weights.shape, case.kernel, **case.options)
    assert settled.y_shape == ik.conv(case.x, case.weights, case.kernel, path="reference", **case.options).shape
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    for name in ("kernel", "channels", "filters", "groups", "stride", "dilation", "extent", "padding", "padding_modes"):
        assert getattr(settled, name) == getattr(problem, name)


@given(case=cases())
@settings(deadline=None)
def test_open_sizes_change_nothing_that_is_given(case):
    """What is settled for open sizes is None, or what is settled for the sizes themselves."""
    known = adapting.settle(case.x.shape, case.weights.shape, case.kernel, **case.options)
    channel_axis = case.x.ndim - case.kernel.n_dims - 1 if case.weights.ndim > 1 else None
    shape = [size if axis == channel_axis else None for axis, size in enumerate(case.x.shape)]
    settled = adapting.settle(shape, case.weights.shape, case.kernel, **case.options)
    for name in ("padding", "y_shape"):
        pairs = zip(getattr(settled, name), getattr(known, name), strict=True)
        assert all(entry is None or entry == value for entry, value in pairs)
    names = ("channels", "filters", "groups", "stride", "dilation", "extent", "padding_modes", "weights_shape")
    assert [getattr(settled, name) for name in names] == [getattr(known, name) for name in names]


def test_what_an_open_size_decides_is_open():
    """Sizes of y are open where x's are; padding only for "same" with a stride on an open axis."""
    shape, weights = (None, 4, None, 12), (6, 2, 9)
    settled = adapting.settle(shape, weights, KERNEL, groups=2, stride=2, padding="same")
    assert (settled.y_shape, settled.padding) == ((None, 6, None, 6), (None, (1, 2)))
    settled = adapting.settle(shape, weights, KERNEL, groups=2, stride=(1, 2), padding="same")
    assert (settled.y_shape, settled.padding) == ((None, 6, None, 6), ((2, 2), (1, 2)))
    settled = adapting.settle(shape, weights, KERNEL, groups=2, stride=2, padding=1)
    assert (settled.y_shape, settled.padding) == ((None, 6, None, 5), ((1, 1), (1, 1)))
    assert adapting.settle((None, 7, None), (9,), KERNEL).y_shape == (None, 3, None)


@pytest.mark.parametrize("window", [(50_000,), (3, 3)])
def test_no_window_is_too_large_for_an_open_size(window):
    """An open size is large enough for any window and dilation, and many samples do not make it too large."""
    kernel = _kernel(window, 49_999 if len(window) == 1 else 2)
    options = {"dilation": 20_000} if len(window) == 2 else {}
    settled = adapting.settle((2**16, 64, *(None,) * len(window)), (8, 64, kernel.n_anchors), kernel, **options)
    assert settled.y_shape == (2**16, 8, *(None,) * len(window))


def test_mistakes_show_in_what_is_known():
    """A window beyond a known size, channels that do not fit and open channels raise beside open sizes."""
    with pytest.raises(ValueError, match="`window` must fit into the padded input: on spatial axis 1"):
        adapting.settle((None, 4, None, 3), (6, 4, 9), KERNEL)
    with pytest.raises(ValueError, match=re.escape("`weights` must have shape (6, 4, 9)")):
        adapting.settle((None, 4, None, None), (6, 3, 9), KERNEL)
    with pytest.raises(ValueError, match=re.escape("`x` must have a known number of channels, got shape (2, None, 9")):
        adapting.settle((2, None, 9, 9), (6, 3, 9), KERNEL)
    with pytest.raises(ValueError, match="`path` must be 'auto' or one of"):
        adapting.settle((None, 4, None, None), (6, 4, 9), KERNEL, path="fastest")


@pytest.mark.parametrize(
    ("kernel", "channels", "expected"),
    [
        (KERNEL, 4, (6, 2, 9)),
        (KERNEL, None, (6, 1, 9)),
        (_kernel((5, 5), channel_mode="tied"), None, (6, 9)),
        (_kernel((5, 5, 3), channel_mode="interpolated"), None, (6, 18)),
        (ik.InterpolatedKernel(np.tile(KERNEL.positions, (6, 3, 1, 1)), (5, 5), "linear"), None, (6, 3, 9)),
    ],
    ids=["known", "open", "tied", "interpolated", "per channel"],
)
def test_a_layer_has_the_weights_that_it_needs(kernel, channels, expected):
    """Weights follow from channels, filters and groups; open channels are as many as the kernel takes."""
    settled = adapting.settle_layer((None, channels, None, None), 6, kernel, groups=2)
    assert settled.weights_shape == expected
    assert settled.channels_per_group == settled.channels // 2


MISTAKES = {
    "no kernel": (lambda: adapting.check_kernel(3), TypeError, "`kernel` must be an InterpolatedKernel, got int."),
    "axes": (
        lambda: adapting.check_kernel(KERNEL, 1, "Conv1d"),
        ValueError,
        "`kernel` must have 1 spatial axes for Conv1d, got InterpolatedKernel(9 anchors",
    ),
    "engine": (
        lambda: adapting.check_engine("cuda"),
        ValueError,
        "`engine` must be one of auto, native, numba, got 'cuda'.",
    ),
    "path": (
        lambda: adapting.check_engine("native", "direct"),
        ValueError,
        "`path`='direct' is this project's own and needs engine='numba'",
    ),
    "positions": (
        lambda: adapting.check_learned(KERNEL, positions=KERNEL.positions, widths=None),
        ValueError,
        "`positions` cannot be learned: Linear() has no derivative by them.",
    ),
    "widths": (
        lambda: adapting.check_anchors(KERNEL.replace(interpolator="gaussian"), positions=None, widths=(3, 1)),
        ValueError,
        f"`widths` must have shape {KERNEL.positions.shape}",
    ),
    "learning": (
        lambda: adapting.check_learning(KERNEL.replace(interpolator="rbf"), "native", positions=True, widths=False),
        ValueError,
        "engine='native' learns those of splats and cones",
    ),
    "no axis": (lambda: adapting.settle_axes(KERNEL, (0.5,)), TypeError, "`learn_positions` must be a bool or a tuple"),
    "axis beyond": (lambda: adapting.settle_axes(KERNEL, (2,)), ValueError, "`learn_positions` must name axes below 2"),
    "float count": (lambda: adapting.as_int("filters", 4.0), TypeError, "`filters` must be an int, got 4.0."),
    "no count": (lambda: adapting.as_int("filters", 0), ValueError, "`filters` must be at least 1, got 0."),
    "integers": (
        lambda: adapting.choose_compute_dtype("x", "int32"),
        TypeError,
        "`x` must be a floating array, got int32",
    ),
    "complex": (
        lambda: adapting.choose_compute_dtype("x", np.complex64),
        TypeError,
        "`x` must be real, got complex64",
    ),
    "bias": (
        lambda: adapting.shape_bias((4,), (6, 4, 9), 2),
        ValueError,
        "`bias` must have shape (6,), one a filter, got (4,).",
    ),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_a_mistake_is_named(name):
    """Each check raises the argument, the rule and what came."""
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_right_arguments_pass():
    """Each check lets pass what is right."""
    adapting.check_kernel(KERNEL, 2, "Conv2d")
    adapting.check_engine("auto", "direct")
    adapting.check_learned(KERNEL, positions=None, widths=False)
    assert adapting.settle_axes(KERNEL, (-1, 1)) == (1,)
    assert adapting.as_int("filters", np.int64(4)) == 4


def test_narrow_floats_compute_in_float32():
    """float64 computes in itself, everything narrower in float32, by name, type or dtype."""
    chosen = [adapting.choose_compute_dtype("x", dtype) for dtype in ("bfloat16", np.float16, "float32", np.float64)]
    assert chosen == ["float32", "float32", "float32", "float64"]


def test_a_bias_stands_along_the_filters():
    """A bias of one value a filter broadcasts along y's channel axis; plain weights have one value."""
    assert adapting.shape_bias((6,), (6, 4, 9), 2) == (6, 1, 1)
    assert adapting.shape_bias((6,), (6, 4, 9), 2, "channels_last") == (6,)
    assert adapting.shape_bias((), (9,), 2) == adapting.shape_bias((1,), (9,), 2) == ()


@pytest.mark.parametrize("axes", [("c", "h", "w"), ("n", "c", "h", "w"), ("a", "b", "c", "h", "w")])
def test_data_formats_go_there_and_back(axes):
    """Channels move behind the spatial axes and back; what has none stays."""
    last = adapting.reorder(axes, "channels_first", "channels_last", 2)
    assert last == [*axes[:-3], "h", "w", "c"]
    assert tuple(adapting.reorder(last, "channels_last", "channels_first", 2)) == axes
    assert adapting.reorder("hw", "channels_first", "channels_last", 2) == ["h", "w"]


@pytest.mark.parametrize(
    "kernel", [KERNEL, _kernel((3, 5, 2), channel_mode="interpolated")], ids=["spatial", "channels"]
)
def test_a_dilated_matrix_convolves_as_its_dilation(kernel):
    """Cells of the dense kernel stand a dilation apart, with zeros between; a channel axis is not dilated."""
    matrix, window = adapting.dilate_matrix(kernel, (2, 3))
    weights = np.random.default_rng(0).standard_normal(kernel.n_anchors)
    expected = np.zeros(window)
    expected[::2, ::3] = (kernel.matrix @ weights).reshape(kernel.window)
    np.testing.assert_array_equal((matrix @ weights).reshape(window), expected)
    assert window[2:] == kernel.window[2:]
