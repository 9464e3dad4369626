"""The checks of single arguments, and what they make of what is right."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.arguments import names_options, show

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "gaussian")
X, WEIGHTS, GRAD_Y = np.ones((1, 2, 9, 9)), np.ones((4, 2, 9)), np.ones((1, 4, 5, 5))


@pytest.mark.parametrize("written", ["positions", iter(["positions"]), {"positions"}, ["positions"], {"positions": 1}])
def test_wrt_is_a_name_or_any_iterable_of_names(written):
    """One name, an iterator, a set, a list, a mapping's keys: the gradient that they name, and no other."""
    grads = ik.conv_backward(GRAD_Y, X, WEIGHTS, KERNEL, path="reference", wrt=written)
    expected = ik.conv_backward(GRAD_Y, X, WEIGHTS, KERNEL, path="reference", wrt=("positions",)).positions
    np.testing.assert_array_equal(grads.positions, expected)
    assert (grads.x, grads.weights, grads.widths) == (None, None, None)


def test_options_of_interpolators_become_pythons_own():
    """NumPy's ints, floats and bools are the numbers that they stand for, so that interpolators compare and save."""
    assert type(ik.BSpline(np.int64(2)).degree) is int
    assert type(ik.Cone(np.float32(0.5), normalized=np.bool_(False)).radius) is float
    assert ik.Cone(np.float32(0.5), normalized=np.bool_(False)) == ik.Cone(0.5, False)
    assert type(ik.Gaussian(np.bool_(True)).normalized) is bool


@pytest.mark.parametrize(
    "value",
    [10**5000, "x" * 1000, np.zeros(10**6), object(), [[1] * 500] * 500],
    ids=["int", "text", "array", "object", "list"],
)
def test_what_came_is_shown_in_a_short_line(value):
    """However long, and even where Python refuses to print it, a value takes one line of 100 characters."""
    assert len(show(value)) <= 100
    assert "\n" not in show(value)


def test_a_type_error_from_within_is_left_alone():
    """Only an unknown argument is explained: an error from within a function is its own."""

    @names_options("more")
    def divide(value, **options):
        if set(options) - {"more"}:
            raise TypeError("raised by what is called")
        return value / options.get("more", 1)

    assert divide(4, more=2) == 2
    with pytest.raises(TypeError, match="unsupported operand"):
        divide("a", more=2)
    with pytest.raises(TypeError, match=r"`mor` is no argument of `.*divide`, which takes `value`, `more`"):
        divide(4, mor=2)


def test_layouts_of_four_axes_have_a_channel_axis():
    """Windows of three spatial axes and channels have layouts too, whose points keep their distance."""
    positions = ik.random_positions((9, 9, 9, 4), 12, rng=0)
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1) + 100 * np.eye(12)
    assert distances.min() > 2
    assert ik.InterpolatedKernel(positions, (9, 9, 9, 4), "voronoi", channel_mode="interpolated").n_dims == 3


def test_an_out_with_gaps_or_turned_around_is_filled():
    """Strides that leave no cell twice are taken, negative and transposed ones too."""
    expected = ik.conv(X, WEIGHTS, KERNEL, path="reference")
    for out in (
        np.zeros((1, 4, 5, 10))[..., ::2],
        np.zeros((1, 4, 5, 5))[:, ::-1, :, ::-1],
        np.zeros((5, 5, 4, 1)).T,
    ):
        np.testing.assert_array_equal(ik.conv(X, WEIGHTS, KERNEL, path="reference", out=out), expected)
