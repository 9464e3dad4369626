import copy
import json
import pickle
import warnings

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting
from interpolated_kernels.testing.strategies import kernels

GRID = ik.grid_positions((5, 5), 2)


@pytest.fixture
def linear():
    return ik.InterpolatedKernel(GRID, (5, 5), "linear")


@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
@hypothesis.given(kernels(filters=2, channels=3))
def test_equal_by_value(kernel):
    """Kernels of equal arguments are equal and have one hash, though no array is shared."""
    again = kernel.replace(positions=kernel.positions.copy())
    assert again == kernel
    assert hash(again) == hash(kernel)
    assert len({kernel, again}) == 1


@hypothesis.given(kernels(filters=2, channels=3))
def test_round_trips(kernel):
    """Pickle, copy and a JSON document each give an equal kernel, and none of them warns again."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pickle.loads(pickle.dumps(kernel)) == kernel
        assert copy.deepcopy(kernel) == kernel
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.AnchorWarning)
        again = ik.InterpolatedKernel.from_dict(json.loads(json.dumps(kernel.to_dict(), allow_nan=False)))
    assert again == kernel
    np.testing.assert_array_equal(again.matrix, kernel.matrix)


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": GRID + 0.25},
        {"positions": GRID[None]},
        {"positions": GRID[::-1]},
        {"window": (5, 6)},
        {"interpolator": "nearest"},
        {"channel_mode": "tied"},
        {"interpolator": "gaussian"},
        {"interpolator": "gaussian", "widths": np.ones_like(GRID)},
    ],
    ids=str,
)
def test_different_kernels_differ(linear, changes):
    """Every argument takes part in equality."""
    assert linear.replace(**changes) != linear
    if "widths" in changes:
        assert linear.replace(**changes) != linear.replace(interpolator="gaussian")
    assert linear != "linear"


def test_frozen_copy():
    """Positions are a read-only copy in the shape passed: the caller's array may change, the kernel cannot."""
    positions = np.array(GRID[None])
    kernel = ik.InterpolatedKernel(positions, (5, 5), "linear")
    positions += 1
    np.testing.assert_array_equal(kernel.positions, GRID[None])
    with pytest.raises(ValueError, match="read-only"):
        kernel.positions[0, 0, 0] = 3
    with pytest.raises(ValueError, match="read-only"):
        kernel.matrix[0, 0] = 3
    with pytest.raises(AttributeError, match="cannot assign"):
        kernel.window = (7, 7)


def test_negative_zero_is_zero():
    """-0.0 and 0.0 are one position, also to the hash."""
    one, other = (ik.InterpolatedKernel([[zero], [2.0]], 3, "linear") for zero in (0.0, -0.0))
    assert one == other
    assert hash(one) == hash(other)


def test_repr_is_short_and_says_what_counts(linear):
    """The repr names anchors, window, interpolator and what is unusual, in one line."""
    assert repr(linear) == "InterpolatedKernel(9 anchors, window 5x5, Linear())"
    many = ik.InterpolatedKernel(np.stack([GRID, GRID]), (5, 5), ik.Polyharmonic(2), channel_mode="tied")
    text = repr(many)
    for part in ("9 anchors", "5x5", "order=2", "tied"):
        assert part in text
    assert "\n" not in text


def test_an_int_is_a_window_on_every_axis():
    """`window=5` is (5, 5) for two columns of positions."""
    assert ik.InterpolatedKernel(GRID, 5, "linear").window == (5, 5)
    assert ik.InterpolatedKernel([[0], [2]], np.int64(3), "linear").window == (3,)


@pytest.mark.parametrize("shape", [(9, 2), (3, 9, 2), (3, 2, 9, 2)])
def test_equal_positions_are_shared_inside(shape):
    """Positions repeated for every filter and channel are one set, and give the kernel that the one set gives."""
    kernel = ik.InterpolatedKernel(np.broadcast_to(GRID, shape), (5, 5), "linear")
    assert kernel.positions.shape == shape
    assert kernel.structure.shared
    assert kernel.structure.separable
    assert kernel.matrix.shape == (25, 9)
    weights = np.random.default_rng(0).standard_normal((3, 2, 9))
    shared = ik.InterpolatedKernel(GRID, (5, 5), "linear")
    np.testing.assert_array_equal(ik.densify(weights, kernel), ik.densify(weights, shared))


def test_structure(linear):
    """Linear on a grid of spacing 2 in a window of 5: three classes an axis (left edge, interior, right edge)."""
    assert linear.structure.separable
    assert linear.structure.classes == (3, 3)
    assert linear.structure.support.all()
    scattered = ik.InterpolatedKernel(GRID, (5, 5), "polyharmonic")
    assert not scattered.structure.separable
    with pytest.raises(ValueError, match="`factors` needs a tensor-product interpolator"):
        scattered.factors()
    dilated = ik.InterpolatedKernel(GRID, (5, 5), "dilated")
    assert dilated.structure.support.sum() == 9
    assert not ik.InterpolatedKernel(np.stack([GRID, GRID + 0.5]), (5, 5), "linear").structure.shared


@hypothesis.given(kernels())
def test_support_is_the_non_zero_rows(kernel):
    """The support is the cells that some anchor can reach: the non-zero rows of A."""
    reached = kernel.matrix.any(axis=-1).reshape(-1, *kernel.window)
    np.testing.assert_array_equal(kernel.structure.support, reached)


def test_support_of_a_spline_with_a_zero_row():
    """Halfway between two anchors 2 apart r^2 ln r is 0 for both: no anchor reaches that cell, so it is no tap."""
    kernel = ik.InterpolatedKernel([[0.0], [2.0]], 3, ik.Polyharmonic(2, degree=-1))
    np.testing.assert_array_equal(kernel.matrix, [[1, 0], [0, 0], [0, 1]])
    y = ik.conv(np.array([1.0, np.nan, 1.0]), np.array([1.0, 1.0]), kernel)
    np.testing.assert_array_equal(y, [2.0])


@hypothesis.given(kernels(names=["linear", "nearest"]))
def test_factors_are_the_matrix(kernel):
    """Profiles placed at their shifts give the axis matrices, and their product in the anchors' order gives A."""
    factors = kernel.factors()
    product = np.ones((1, 1))
    for axis in factors.axes:
        rebuilt = np.zeros_like(axis.matrix)
        for node, (index, shift) in enumerate(zip(axis.classes, axis.shifts, strict=True)):
            profile = axis.profiles[index]
            rebuilt[shift : shift + len(profile), node] = profile
        np.testing.assert_allclose(rebuilt, axis.matrix, rtol=0, atol=2.0**-50)
        product = np.kron(product, axis.matrix)
    np.testing.assert_array_equal(product, kernel.matrix[:, factors.order])


def test_resized():
    """Positions and widths scale by (new - 1) / (old - 1), and the kernel is the same picture at another size."""
    splats = ik.InterpolatedKernel(GRID, (5, 5), "gaussian", widths=np.full_like(GRID, 0.5)).resized((9, 17))
    np.testing.assert_array_equal(splats.widths, np.full_like(GRID, 0.5) * [2, 4])
    cones = ik.InterpolatedKernel(GRID, (5, 5), "cone", widths=np.full(len(GRID), 0.5))
    np.testing.assert_array_equal(cones.resized((9, 17)).widths, cones.widths)
    kernel = ik.InterpolatedKernel(GRID, (5, 5), "linear")
    larger = kernel.resized((9, 17))
    assert larger.window == (9, 17)
    np.testing.assert_array_equal(larger.positions, GRID * [2, 4])
    weights = np.random.default_rng(0).standard_normal(9)
    np.testing.assert_array_equal(ik.densify(weights, larger)[::4, ::8], ik.densify(weights, kernel)[::2, ::2])
    assert larger.resized((5, 5)) == kernel
    with pytest.raises(ValueError, match="`window` cannot grow"):
        ik.InterpolatedKernel([[0.0]], 1, "nearest").resized(3)


COLLINEAR = [[0, 0], [1, 1], [2, 2]]


def test_collinear_anchors_warn_once_and_work():
    """Collinear anchors warn exactly once, at construction, and give a finite kernel that is exact at the anchors."""
    with pytest.warns(ik.AnchorWarning, match="collinear") as caught:
        kernel = ik.InterpolatedKernel(COLLINEAR, (3, 3))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dense = ik.densify(np.array([1.0, 2.0, 4.0]), kernel)
        ik.conv(np.ones((5, 5)), np.array([1.0, 2.0, 4.0]), kernel)
    assert np.isfinite(dense).all()
    np.testing.assert_allclose(np.diag(dense), [1, 2, 4], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("positions", "window", "options", "match"),
    [
        ([[1, 1]], (3, 3), {}, "single anchor"),
        ([[1, 1, 0], [2, 1, 0], [1, 2, 0], [0, 0, 0]], (3, 3, 3), {}, "coplanar"),
        ([[0, 0, 0], [1, 1, 1], [2, 2, 2]], (3, 3, 3), {}, "collinear"),
        (np.eye(4)[:, [0, 1, 2, 2]], (2, 2, 2, 2), {"channel_mode": "interpolated"}, "slope"),
        ([COLLINEAR, [[0, 0], [1, 1], [2, 1]]], (3, 3), {}, "1 of 2 position sets"),
        (COLLINEAR, (3, 3), {"interpolator": ik.Polyharmonic(3)}, "collinear"),
    ],
)  # fmt: skip
def test_degenerate_anchors_warn(positions, window, options, match):
    """A line, a plane or a point of anchors warns in one line that says which, and the matrix is finite."""
    with pytest.warns(ik.AnchorWarning, match=match) as caught:
        kernel = ik.InterpolatedKernel(positions, window, **options)
    assert len(caught) == 1
    assert np.isfinite(kernel.matrix).all()


def test_kernels_in_silence_leave_other_warnings_alone():
    """Where anchors' warnings are ignored, what Python shows once a place is still shown once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            with adapting.ignore_anchor_warnings():
                ik.InterpolatedKernel(COLLINEAR, (3, 3))
            warnings.warn("of another", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of another"]


def test_no_trend_no_warning():
    """Collinear anchors are nothing unusual where the spline has no linear trend, or for other interpolators."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ik.InterpolatedKernel(COLLINEAR, (3, 3), ik.Polyharmonic(1, degree=0))
        ik.InterpolatedKernel(COLLINEAR, (3, 3), "dilated")


P = ik.Polyharmonic
Kernel = ik.InterpolatedKernel


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Kernel([[0, np.nan], [1, 1]], (3, 3)), ik.AnchorError, "`positions` must be finite.*anchor 0"),
        (lambda: Kernel([[0.0, 0], [np.inf, 1]], (3, 3)), ik.AnchorError, "`positions` must be finite.*anchor 1"),
        (lambda: Kernel([[0, 0], [1, 1], [0, 0]], (3, 3)), ik.AnchorError, "anchor 2.*anchor 0"),
        (lambda: Kernel([[[0, 0], [1, 1]], [[1, 1], [1, 1]]], (3, 3)), ik.AnchorError, "position set 1"),
        (lambda: Kernel([[0], [0]], 3, "linear"), ik.AnchorError, "distinct"),
        (lambda: Kernel([[0], [0]], 3, "dilated"), ik.AnchorError, "distinct"),
        (lambda: Kernel([[0, 0], [1, 1]], (3, 3), "linear"), ik.AnchorError, "rectilinear grid.*2 x 2 = 4"),
        (lambda: Kernel([[0.5]], 3, "dilated"), ik.AnchorError, "whole cells.*anchor 0"),
        (lambda: Kernel([[0], [3]], 3, "dilated"), ik.AnchorError, "inside the window.*anchor 1"),
        (lambda: Kernel([[0], [-1]], 3, "dilated"), ik.AnchorError, "inside the window.*anchor 1"),
        (lambda: Kernel([0, 1], 3), ValueError, r"`positions` must have shape.*\(2,\)"),
        (lambda: Kernel(np.zeros((1, 1, 1, 1, 1)), 3), ValueError, "`positions` must have shape"),
        (lambda: Kernel(np.zeros((0, 2)), (3, 3)), ValueError, "at least one anchor"),
        (lambda: Kernel(np.zeros((1, 4)), (3,) * 4), ValueError, "1, 2 or 3 spatial columns"),
        (lambda: Kernel(np.zeros((1, 1)), 3, channel_mode="interpolated"), ValueError, "channel column"),
        (lambda: Kernel([[0j]], 3), TypeError, "`positions` must be real"),
        (lambda: Kernel([["a"]], 3), TypeError, "`positions` must be real"),
        (lambda: Kernel([[True]], 3), TypeError, "`positions` must be real"),
        (lambda: Kernel([[0]], 3.0), TypeError, "`window` must be an int"),
        (lambda: Kernel([[0]], True), TypeError, "`window` must be an int"),
        (lambda: Kernel([[0]], "3"), TypeError, "`window` must be an int"),
        (lambda: Kernel([[0]], 0), ValueError, "`window` must be at least 1"),
        (lambda: Kernel([[0, 0]], (3, -1)), ValueError, "`window` must be at least 1"),
        (lambda: Kernel([[0, 0]], (3, 3, 3)), ValueError, "`window` must have 2 entries"),
        (lambda: Kernel([[0, 0]], (2**20, 2**20), "nearest"), ValueError, "at most 2\\^31 cells"),
        (lambda: Kernel([[0]], 3, "lineer"), ValueError, "`interpolator` must be one of.*linear.*lineer"),
        (lambda: Kernel([[0]], 3, ik.Linear), TypeError, "brackets"),
        (lambda: Kernel([[0]], 3, 1), TypeError, "`interpolator` must be a name or an instance"),
        (lambda: Kernel([[0]], 3, "nearest", channel_mode="mixed"), ValueError, "`channel_mode` must be one of"),
        (lambda: Kernel(np.zeros((2, 3, 1, 1)), 3, channel_mode="tied"), ValueError, "channel_mode='separate'"),
        (lambda: Kernel([[0]], 3, "triangle", widths=[1, 2, 3]), ValueError, "`widths` must have shape"),
        (lambda: Kernel([[0]], 3, "triangle", widths=[[np.nan]]), ik.AnchorError, "`widths` must be finite"),
        (lambda: P(order=0), ValueError, "`order` must be at least 1"),
        (lambda: P(order=1.5), TypeError, "`order` must be an int"),
        (lambda: P(order=True), TypeError, "`order` must be an int"),
        (lambda: P(degree=3), ValueError, "`degree` must be"),
        (lambda: P(smoothing=-1), ValueError, "`smoothing` must be finite and at least 0"),
        (lambda: P(smoothing=np.nan), ValueError, "`smoothing` must be finite"),
        (lambda: P(1, 0.1, degree=-1), ValueError, "`smoothing` > 0 needs `degree` >= 0"),
        (lambda: P(2, 0.1, degree=0), ValueError, "`smoothing` > 0 needs `degree` >= 1"),
        (lambda: P(3, 0.1, degree=0), ValueError, "`smoothing` > 0 needs `degree` >= 1"),
        (lambda: P(4, 0.1), ValueError, "`smoothing` > 0 needs `degree` >= 2"),
        (lambda: P(5, 0.1), ValueError, "`smoothing` > 0 needs `degree` >= 2"),
        (lambda: ik.InterpolatedKernel.from_dict({"window": 3}), ValueError, "`spec` must have the keys"),
    ],
)  # fmt: skip
def test_bad_descriptions(make, error, match):
    """A wrong description raises at construction, in one line that names the argument (or the anchors) and the rule."""
    with pytest.raises(error, match=match) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_near_duplicates_raise_at_first_use():
    """Anchors 1e-13 apart are distinct, but too ill-conditioned: the first use raises and names the pair."""
    kernel = ik.InterpolatedKernel([[0, 0], [1, 1], [1, 1 + 1e-13], [2, 0]], (3, 3), P(3))
    with pytest.raises(ik.AnchorError, match=r"ill-conditioned.*anchors 1, 2"):
        ik.densify(np.ones(4), kernel)


def test_anchor_error_is_a_value_error():
    """Callers may catch ValueError."""
    assert issubclass(ik.AnchorError, ValueError)


def test_from_dict_rejects_unknown_names():
    """A document that names an unknown interpolator, or an option it does not have, raises."""
    spec = ik.InterpolatedKernel([[0]], 1, "nearest").to_dict()
    with pytest.raises(ValueError, match="unknown interpolator 'nerest'"):
        ik.InterpolatedKernel.from_dict({**spec, "interpolator": {"name": "nerest"}})
    with pytest.raises(ValueError, match="`spec` must have the keys"):
        ik.InterpolatedKernel.from_dict({**spec, "windows": 3})
    with pytest.raises((TypeError, ValueError), match="ordr"):
        ik.InterpolatedKernel.from_dict({**spec, "interpolator": {"name": "polyharmonic", "ordr": 3}})


@pytest.mark.parametrize("interpolator", ["nearest", "linear"])
def test_factors_rebuild_the_matrix(interpolator):
    """Profiles, classes and shifts give the interpolation matrix back, whatever the anchors' order."""
    rng = np.random.default_rng(0)
    positions = rng.permutation(ik.grid_positions((9, 13), (2, 4)))
    kernel = ik.InterpolatedKernel(positions, (9, 13), interpolator)
    factors = kernel.factors()
    rebuilt = np.zeros((*kernel.window, kernel.n_anchors))
    for anchor, (classes, shifts) in enumerate(zip(factors.anchor_classes, factors.anchor_shifts, strict=True)):
        profiles = [axis.profiles[index] for axis, index in zip(factors.axes, classes, strict=True)]
        cells = tuple(slice(shift, shift + len(profile)) for shift, profile in zip(shifts, profiles, strict=True))
        rebuilt[(*cells, anchor)] = np.multiply.outer(*profiles)
    np.testing.assert_allclose(rebuilt.reshape(-1, kernel.n_anchors), kernel.matrix, rtol=0, atol=2.0**-49)


def test_classes_of_a_uniform_linear_grid_are_edges_and_interior():
    """A uniform linear grid that fits its window has three classes an axis: left edge, interior, right edge."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    assert kernel.structure.classes == (3, 3)
