import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.testing import assert_matches_reference, error_bound
from interpolated_kernels.testing.arithmetics import ARITHMETICS
from interpolated_kernels.testing.arrays import as_array
from interpolated_kernels.testing.sum_bounds import gamma

NARROW = sorted(name for name, arithmetic in ARITHMETICS.items() if arithmetic.rounds_factors)
QUANTITIES = ["y", "grad_x", "grad_weights"]
RNG = np.random.default_rng(11)
KERNEL = ik.InterpolatedKernel(ik.grid_positions((8, 8), counts=3), (8, 8), "linear")
X = RNG.standard_normal((2, 4, 24, 20)).astype(np.float32)
WEIGHTS = RNG.standard_normal((3, 4, 9)).astype(np.float32)
GRAD_Y = RNG.standard_normal((2, 3, 17, 13)).astype(np.float32)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_rounding_is_that_of_the_dtype(name):
    """Factors are rounded as the dtype rounds, to the nearest and ties to even, subnormal numbers too."""
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name)) if name == "bfloat16" else np.dtype(name)
    values = RNG.standard_normal(2000).astype(np.float32) * np.float32(10.0) ** RNG.integers(-9, 4, 2000)
    values = np.concatenate([values, [0.0, -0.0, np.inf, -np.inf, 1 + 2.0**-9, 1 + 3 * 2.0**-9]]).astype(np.float32)
    np.testing.assert_array_equal(ARITHMETICS[name].round(values), values.astype(dtype).astype(np.float32))


def _round_to_tf32(values):
    """Keep ten of float32's bits of fraction: add half of what is cut off, and cut."""
    bits = values.view(np.uint32)
    return ((bits + 0xFFF + (bits >> 13 & 1)) & np.uint32(0xFFFFE000)).view(np.float32)


def test_rounding_to_tf32_keeps_ten_bits():
    """tf32 is float32 with ten bits of fraction, rounded to the nearest and ties to even."""
    values = np.concatenate([RNG.standard_normal(2000), [1 + 2.0**-11, 1 + 3 * 2.0**-11]]).astype(np.float32)
    np.testing.assert_array_equal(ARITHMETICS["tf32"].round(values), _round_to_tf32(values))


def _convolve_narrowly(arithmetic, quantity, x=X, taps=None):
    """What a right backend gives: every factor rounded, products summed by torch in float32 (exactly enough for it)."""
    torch = pytest.importorskip("torch")
    dense = ik.densify(WEIGHTS.astype(np.float64), KERNEL).astype(np.float32)
    if taps is not None:
        dense[..., taps[0], taps[1]] = 0
    x, dense, grad_y = (torch.from_numpy(ARITHMETICS[arithmetic].round(array)).double() for array in (x, dense, GRAD_Y))
    if quantity == "y":
        result = torch.nn.functional.conv2d(x, dense).numpy()
    elif quantity == "grad_x":
        result = torch.nn.grad.conv2d_input(X.shape, dense, grad_y).numpy()
    else:
        by_dense = torch.nn.grad.conv2d_weight(x, dense.shape, grad_y).numpy()
        result = ik.densify_backward(by_dense, WEIGHTS.astype(np.float64), KERNEL).weights
    return result.astype(np.float32)


def _check(actual, arithmetic, quantity="y", quality=False):
    return assert_matches_reference(
        actual, X, WEIGHTS, KERNEL, quantity=quantity, grad_y=GRAD_Y, arithmetic=arithmetic, quality=quality
    )


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("arithmetic", NARROW)
def test_rightly_rounded_results_pass(arithmetic, quantity):
    """Rounded factors, summed almost exactly, are within the bounds, whether the result is rounded too or not."""
    right = _convolve_narrowly(arithmetic, quantity)
    assert _check(right, arithmetic, quantity, quality=True) > 0
    _check(ARITHMETICS[arithmetic].round(right), arithmetic, quantity, quality=arithmetic != "tf32")


@pytest.mark.parametrize("quality", [False, True])
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("arithmetic", ["float32", *NARROW])
def test_grossly_wrong_results_fail(arithmetic, quantity, quality):
    """Zeros, twice and a hundred times the result, and a shift by one cell are refused in every arithmetic."""
    right = _convolve_narrowly("float32", quantity)
    for wrong in (0 * right, 2 * right, 100 * right, np.roll(right, 1, axis=-1), np.roll(right, -1, axis=-2)):
        with pytest.raises(AssertionError, match="times the bound"):
            _check(wrong, arithmetic, quantity, quality)


@pytest.mark.parametrize("tap", [(0, 0), (0, 7), (3, 4), (7, 5)])
@pytest.mark.parametrize("arithmetic", ["float32", *NARROW])
def test_a_lost_tap_fails_on_random_data(arithmetic, tap):
    """One tap of 256 that is lost is refused on normal data, in bfloat16 too."""
    with pytest.raises(AssertionError, match="times"):
        _check(_convolve_narrowly(arithmetic, "y", taps=tap), arithmetic, quality=True)


def test_frameworks_come_near_the_bound_for_random_data():
    """The bound for random data is not too wide: torch's worst error in bfloat16 and float16 is an eighth or more."""
    torch = pytest.importorskip("torch")
    for name in ("bfloat16", "float16"):
        dtype = getattr(torch, name)
        dense = torch.from_numpy(ik.densify(WEIGHTS, KERNEL)).to(dtype)
        y = torch.nn.functional.conv2d(torch.from_numpy(X).to(dtype), dense)
        bound = error_bound(X, WEIGHTS, KERNEL, arithmetic=name)
        expected = ik.conv(X.astype(np.float64), WEIGHTS.astype(np.float64), KERNEL, path="reference")
        worst = np.max(np.abs(y.float().numpy() - expected) / bound.random)
        assert 1 / 8 <= worst <= 1


@pytest.mark.parametrize("scale", [1e-7, 1e-5, 1.0, 1e4])
@pytest.mark.parametrize("arithmetic", NARROW)
def test_any_data_is_within_the_bound(arithmetic, scale):
    """C1 holds whatever the magnitude, where float16's subnormal numbers lose digits too."""
    x = (scale * RNG.uniform(0.5, 1, X.shape)).astype(np.float32)
    right = _convolve_narrowly(arithmetic, "y", x)
    assert_matches_reference(right, x, WEIGHTS, KERNEL, arithmetic=arithmetic)


@pytest.mark.parametrize("arithmetic", sorted(ARITHMETICS))
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_no_bound_is_infinite(arithmetic, quantity):
    """Bounds are finite and positive."""
    bound = error_bound(X, WEIGHTS, KERNEL, quantity=quantity, grad_y=GRAD_Y, arithmetic=arithmetic)
    for array in (bound.componentwise, bound.random):
        assert np.isfinite(array).all()
        assert (array > 0).all()


@given(st.integers(1, 2**28), st.sampled_from(sorted(ARITHMETICS)))
def test_growth_is_finite_for_millions_of_roundings(n, name):
    """The growth of n roundings is at least n of them, and finite where it is above one too."""
    unit = ARITHMETICS[ARITHMETICS[name].sums].unit
    assert n * unit <= gamma(n, unit) < np.inf


def test_tensors_are_taken_without_their_gradients():
    """torch's tensors that need a gradient are taken; what NumPy cannot read is named, with what to write."""
    torch = pytest.importorskip("torch")
    x, weights = (torch.from_numpy(array).requires_grad_() for array in (X, WEIGHTS))
    y = torch.nn.functional.conv2d(x, torch.from_numpy(ik.densify(WEIGHTS, KERNEL)))
    assert_matches_reference(y, x, weights, KERNEL)
    error_bound(x, weights, KERNEL)
    with pytest.raises(TypeError, match=r"`actual` must be an array that NumPy can read, got Tensor.*`.float\(\)`"):
        assert_matches_reference(y.bfloat16(), x, weights, KERNEL)
    np.testing.assert_array_equal(as_array("x", x), X)


def test_a_result_may_have_the_dtype_of_its_arithmetic():
    """A float16 result passes as such where float16 is the arithmetic, and no other does."""
    y = _convolve_narrowly("float16", "y").astype(np.float16)
    _check(y, "float16")
    with pytest.raises(AssertionError, match="dtype float16, expected float32 or bfloat16"):
        _check(y, "bfloat16")
