from fractions import Fraction

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import (
    assert_matches_reference,
    error_bound,
    reference,
    reference_backward,
    reference_transpose,
)
from interpolated_kernels.testing.exact import as_fractions
from interpolated_kernels.testing.missing_cases import missing_cases
from interpolated_kernels.testing.oracle import describe_problem
from interpolated_kernels.testing.strategies import cases

KERNEL = ik.InterpolatedKernel([[0.3], [1.6]], 3, "gaussian")


def _assert_within(actual, exact, bound):
    """Raise unless every difference, as a rational number, is within the bound."""
    for value, wanted, most in zip(actual.ravel().tolist(), exact.ravel(), bound.ravel().tolist(), strict=True):
        assert abs(Fraction(value) - wanted) <= Fraction(most)


def _is_small(case):
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    return np.prod(problem.y_shape) * np.prod(problem.window) * problem.channels_per_group < 3000


@hypothesis.settings(max_examples=30)
@hypothesis.given(cases(dtypes=["float64"]))
def test_the_reference_rounds_as_float64_does(case):
    """y and both gradients in float64 are within the bound C1 of float64 of the exact sums, product by product."""
    hypothesis.assume(_is_small(case))
    given = (case.x, case.weights, case.kernel)
    grads = [reference_backward(case.grad_y, *given, dtype=dtype, **case.options) for dtype in (np.float64, Fraction)]
    pairs = {
        "y": [reference(*given, dtype=dtype, **case.options) for dtype in (np.float64, Fraction)],
        "grad_x": [grad.x for grad in grads],
        "grad_weights": [grad.weights for grad in grads],
    }
    for quantity, (actual, exact) in pairs.items():
        assert exact.shape == actual.shape
        bound = error_bound(*given, quantity=quantity, grad_y=case.grad_y, arithmetic="float64", **case.options)
        _assert_within(actual, exact, bound.componentwise)


@hypothesis.settings(max_examples=30)
@hypothesis.given(cases(dtypes=["float64"]))
def test_the_transposed_reference_is_the_adjoint(case):
    """<grad_y, conv(x)> = <reference_transpose(grad_y), x> exactly, for the x that `conv` reads."""
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    axes = zip(problem.out_spatial, problem.stride, problem.extent, problem.padding, strict=True)
    read = [(count - 1) * stride + reach - sum(pair) for count, stride, reach, pair in axes]
    hypothesis.assume(_is_small(case) and not problem.sums_channels and min(read) > 0)
    options = {**case.options, "padding": problem.padding}
    grad_x = reference_transpose(case.grad_y, case.weights, case.kernel, dtype=Fraction, **options)
    x = case.x[(..., *map(slice, read))]
    y = reference(x, case.weights, case.kernel, dtype=Fraction, **options)
    assert (grad_x.shape, y.shape) == (x.shape, case.grad_y.shape)
    assert (as_fractions(case.grad_y) * y).sum() == (grad_x * as_fractions(x)).sum()
    rounded = reference_transpose(case.grad_y, case.weights, case.kernel, **options)
    bound = error_bound(case.grad_y, case.weights, case.kernel, quantity="transposed", arithmetic="float64", **options)
    _assert_within(rounded, grad_x, bound.componentwise)


@pytest.mark.parametrize("padding", ["same", 1, "valid"])
def test_transposed_convolutions_match(padding):
    """`conv_transpose` is within the bound of its own reference; one entry off by three bounds is not."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(ik.grid_positions((4, 3), 2), (4, 3), "linear")
    x, weights = rng.standard_normal((2, 4, 5, 6)).astype(np.float32), rng.standard_normal((4, 3, 4)).astype(np.float32)
    options = {"stride": 2, "padding": padding, "groups": 2}
    y = ik.conv_transpose(x, weights, kernel, **options)
    assert_matches_reference(y, x, weights, kernel, quantity="transposed", **options)
    bound = error_bound(x, weights, kernel, quantity="transposed", **options).componentwise
    y[1, 2, 3, 4] += 3 * bound[1, 2, 3, 4]
    with pytest.raises(AssertionError, match=r"transposed is .* index \(1, 2, 3, 4\)"):
        assert_matches_reference(y, x, weights, kernel, quantity="transposed", **options)


def test_a_transposed_convolution_has_the_bound_of_a_gradient_by_x():
    """n and C1 of `conv_transpose`'s result are those of the gradient by x, whatever the number of outputs."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(ik.grid_positions((4, 3), 2), (4, 3), "linear")
    x, weights = rng.standard_normal((1, 2, 4, 3)), rng.standard_normal((6, 2, 4))
    grad_y = rng.standard_normal((1, 6, 1, 1))
    by_x = error_bound(x, weights, kernel, quantity="grad_x", grad_y=grad_y)
    transposed = error_bound(grad_y, weights, kernel, quantity="transposed")
    assert transposed.n == by_x.n == 4 * 3 * 6
    np.testing.assert_array_equal(transposed.componentwise, by_x.componentwise)


def test_derivatives_of_normalized_splats_may_cancel():
    """On an axis of one cell a share hardly depends on the position: rounding of what cancels is within the bound."""
    positions, widths = np.array([[0.25, 1.5], [-0.25, 3.0]]), np.array([[0.5, 0.75], [0.25, 1.0]])
    kernel = ik.InterpolatedKernel(positions, (1, 5), "triangle", widths=widths)
    rng = np.random.default_rng(0)
    x, weights, grad_y = rng.standard_normal((1, 9)), rng.standard_normal(2), rng.standard_normal((1, 5))
    for name in ("positions", "widths"):
        gradient = getattr(reference_backward(grad_y, x, weights, kernel, wrt=(name,)), name)
        plain = kernel.replace(interpolator=ik.Triangle(normalized=False))
        parts = np.abs(getattr(reference_backward(grad_y, x, weights, plain, wrt=(name,)), name))
        rounded = gradient + 2.0**-53 * parts  # a rounding of one of the parts
        assert_matches_reference(rounded, x, weights, kernel, quantity=f"grad_{name}", grad_y=grad_y)
        with pytest.raises(AssertionError, match=f"grad_{name} is .* times the bound C1"):
            assert_matches_reference(0 * rounded, x, weights, kernel, quantity=f"grad_{name}", grad_y=grad_y)


def _make_splats():
    rng = np.random.default_rng(1)
    kernel = ik.InterpolatedKernel(
        rng.uniform(0.2, 3.8, (3, 4, 2)), (5, 4), "gaussian", widths=rng.uniform(0.5, 1.5, (3, 4, 2))
    )
    return rng.standard_normal((2, 2, 7, 6)), rng.standard_normal((3, 2, 4)), kernel, rng


@pytest.mark.parametrize("name", ["positions", "widths"])
def test_gradients_by_anchors_are_differences(name):
    """The reference's gradient by a position or width is the central difference of the reference, extrapolated."""
    x, weights, kernel, rng = _make_splats()
    options = {"padding": "same", "padding_mode": "reflect", "stride": 2}
    grad_y = rng.standard_normal(reference(x, weights, kernel, **options).shape)
    grad = getattr(reference_backward(grad_y, x, weights, kernel, wrt=(name,), **options), name)
    values = getattr(kernel, name)
    for index in ((0, 1, 0), (2, 3, 1), (1, 0, 1)):
        slopes = []
        for step in (2.0**-10, 2.0**-11):
            shift = np.zeros(values.shape)
            shift[index] = step
            losses = [
                np.sum(grad_y * reference(x, weights, kernel.replace(**{name: values + sign * shift}), **options))
                for sign in (1, -1)
            ]
            slopes.append((losses[0] - losses[1]) / (2 * step))
        # what the steps differ by bounds the error of the smaller one
        assert abs(grad[index] - slopes[1]) <= abs(slopes[1] - slopes[0]) + 1e-9 * np.abs(grad).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("quantity", ["grad_positions", "grad_widths"])
def test_gradients_by_anchors_match(quantity, dtype):
    """The gradients by positions and widths are within their bound; zeros, twice as much and a permutation are not."""
    x, weights, kernel, rng = _make_splats()
    x, weights = x.astype(dtype), weights.astype(dtype)
    grad_y = rng.standard_normal((2, 3, 2, 2)).astype(dtype)
    name = quantity.removeprefix("grad_")
    actual = getattr(ik.conv_backward(grad_y, x, weights, kernel, wrt=(name,), stride=2), name)
    given, asked = (x, weights, kernel), {"quantity": quantity, "grad_y": grad_y, "stride": 2}
    assert assert_matches_reference(actual, *given, **asked) < 1
    for wrong in (0 * actual, 2 * actual, actual[:, ::-1]):
        with pytest.raises(AssertionError, match="times the bound C1"):
            assert_matches_reference(wrong, *given, **asked)


def test_exact_is_for_finite_numbers_and_arrays():
    """NaN is no rational number, and derivatives by positions are float64's alone."""
    with pytest.raises(ValueError, match="needs finite numbers"):
        reference(np.array([1.0, np.nan, 2.0]), np.ones(2), KERNEL, dtype=Fraction)
    with pytest.raises(
        ValueError, match=r"`wrt` must be of .x. and .weights., and `missing` .propagate., where `dtype` is Fraction"
    ):
        reference_backward(np.ones(1), np.ones(3), np.ones(2), KERNEL, dtype=Fraction, wrt=("positions",))


@hypothesis.settings(max_examples=20)
@hypothesis.given(missing_cases(dtypes=["float64"]))
def test_the_quotient_rounds_as_float64_does(case):
    """With missing="renormalize" y in float64 is within its bound of the exact quotient, and NaN where that is."""
    hypothesis.assume(_is_small(case))
    given = (case.x, case.weights, case.kernel)
    actual = reference(*given, **case.options)
    exact = reference(*given, dtype=Fraction, **case.options)
    bound = error_bound(*given, arithmetic="float64", **case.options).componentwise
    is_there = np.array([isinstance(value, Fraction) for value in exact.ravel()], bool).reshape(exact.shape)
    np.testing.assert_array_equal(is_there, ~np.isnan(actual))
    _assert_within(actual[is_there], exact[is_there], bound[is_there])
