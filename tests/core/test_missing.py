import pickle
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels import bands
from interpolated_kernels.missing import bands as missing_bands
from interpolated_kernels.options import Options
from interpolated_kernels.paths import PATHS
from interpolated_kernels.problem import describe
from interpolated_kernels.testing import assert_matches_reference
from interpolated_kernels.testing.missing_cases import missing_cases

PATH = pytest.mark.parametrize("path", ["direct", "lattice", "reference"])
BITWISE = pytest.mark.parametrize("path", ["direct", "lattice"])
GRID = ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear")
TAPS = ik.InterpolatedKernel([[0], [1], [2]], 3, "linear")


def _serves(path, case):
    """Return the option that forces a path, or give the case up where the path cannot serve it."""
    problem = describe(case.x.shape, case.weights.shape, case.kernel, Options(**case.options), str(case.x.dtype))
    hypothesis.assume(PATHS[path].supports(problem.summed) is None)
    return {"path": path}


def _renormalize(x, weights, kernel, **options):
    return ik.conv(x, weights, kernel, missing="renormalize", **options)


@PATH
@hypothesis.settings(max_examples=40)
@hypothesis.given(case=missing_cases())
def test_within_the_bound(path, case):
    """C1 and C5: y and both gradients are within the quotient's bound of the reference, on any problem and holes."""
    worst = [case.assert_matches(name, found) for name, found in case.results(**_serves(path, case)).items()]
    hypothesis.target(max(worst))


@PATH
@hypothesis.settings(max_examples=30)
@hypothesis.given(case=missing_cases(dyadic=True))
def test_exact_on_dyadic_data(path, case):
    """C0: where every sum is exact, y is the reference's quotient bit for bit, rounded once."""
    options = _serves(path, case)
    expected = ik.testing.reference(case.x, case.weights, case.kernel, **case.options)
    np.testing.assert_array_equal(case.conv(**options), expected.astype(case.x.dtype))


@PATH
@hypothesis.settings(max_examples=30)
@hypothesis.given(case=missing_cases(dyadic=True))
def test_without_holes_it_is_conv(path, case):
    """Where nothing is missing, neither in x nor around it, y and the gradient by x are the plain ones, exactly."""
    options = _serves(path, case)
    case = case.replace(x=np.nan_to_num(case.x, nan=1.0))
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    hypothesis.assume(all(folds or not any(pair) for folds, pair in zip(problem.folds, problem.padding, strict=True)))
    plain = case.replace(options={**case.options, "missing": "propagate"}).results(**options)
    found = case.results(**options)
    np.testing.assert_array_equal(found["y"], plain["y"])
    np.testing.assert_array_equal(found["grad_x"], plain["grad_x"])


@PATH
@hypothesis.settings(max_examples=25)
@hypothesis.given(case=missing_cases(), where=st.sampled_from(["x", "grad_y"]), seed=st.integers(0, 999))
def test_infinite_values_are_present(path, case, where, seed):
    """C7: infinity in x is a value like any other, and in grad_y too: both reach what the reference's reach."""
    rng = np.random.default_rng(seed)
    array = getattr(case, where).copy()
    chosen = rng.uniform(size=array.shape) < 0.05
    chosen.flat[rng.integers(array.size)] = True
    array[chosen] = rng.choice([np.inf, -np.inf], size=int(chosen.sum()))
    case = case.replace(**{where: array})
    with np.errstate(invalid="ignore"):
        results = case.results(**_serves(path, case))
    for quantity, actual in results.items():
        case.assert_matches(quantity, actual)


@BITWISE
@hypothesis.settings(max_examples=25)
@hypothesis.given(case=missing_cases(batched=True), room=st.sampled_from([1, 2**14, 2**20]))
def test_bits_do_not_depend_on_batch_and_bands(path, case, room):
    """C8: y has the same bits for a sample alone, in a batch, and however its bands are cut; so has grad_x."""
    options = _serves(path, case)
    whole = case.results(**options)
    for sample in range(len(case.x)):
        alone = case.replace(x=case.x[sample], grad_y=case.grad_y[sample]).results(**options)
        np.testing.assert_array_equal(alone["y"], whole["y"][sample])
        np.testing.assert_array_equal(alone["grad_x"], whole["grad_x"][sample])
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(missing_bands, "_BYTES_OF_BAND", room)
        ik.clear_caches()
        banded = case.results(**options)
    ik.clear_caches()
    np.testing.assert_array_equal(banded["y"], whole["y"])
    for quantity in ("grad_x", "grad_weights"):
        case.assert_matches(quantity, banded[quantity])


@hypothesis.settings(max_examples=30)
@hypothesis.given(case=missing_cases(), band=st.sampled_from([1, 2**20]), path=st.sampled_from(["direct", "lattice"]))
def test_any_out_takes_the_same_bits(case, band, path):
    """C8: an `out` that loops cannot write is filled band by band, where padding zeros are missing all the same."""
    expected = case.conv(**_serves(path, case))
    out = np.full((*expected.shape[:-1], 2 * expected.shape[-1]), 7, expected.dtype)[..., ::2]
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(bands, "_BYTES_OF_BAND", band)
        assert case.conv(path=path, out=out) is out
    np.testing.assert_array_equal(out, expected)


def _landscape(shape, dtype="float32", seed=0):
    """Return an image with scattered holes and a block without data, positive weights and a gradient by y."""
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal(shape).astype(dtype), rng.uniform(0, 1, 9).astype(dtype)
    x[rng.uniform(size=shape) < 0.05] = np.nan
    x[..., 20:50, 30:60] = np.nan
    return x, weights, rng.standard_normal(shape).astype(dtype)


@BITWISE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_threads(path, dtype, threads):
    """C8: the same bits on one thread and on two, on an image large enough for both."""
    x, weights, grad_y = _landscape((2, 300, 260), dtype)
    options = {"padding": "same", "path": path, "missing": "renormalize"}
    found = []
    for n_threads in (1, 2):
        threads(n_threads)
        grads = ik.conv_backward(grad_y, x, weights, GRID, **options)
        found.append((ik.conv(x, weights, GRID, **options), grads.x, grads.weights))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    for quantity, actual in zip(("y", "grad_x", "grad_weights"), found[0], strict=True):
        assert_matches_reference(
            actual, x, weights, GRID, quantity=quantity, grad_y=grad_y, quality=quantity == "y", **options
        )


@PATH
def test_a_constant_is_kept_beside_holes(path):
    """A constant image stays the constant times the kernel's sum, beside borders and holes; blocks of holes are NaN."""
    x, weights, _ = _landscape((90, 100), "float64")
    x[~np.isnan(x)] = 3.0
    y = _renormalize(x, weights, GRID, padding="same", path=path)
    total = ik.densify(weights, GRID).sum()
    np.testing.assert_allclose(y[~np.isnan(y)], 3 * total, rtol=2.0**-45)  # some hundred roundings
    empty = np.zeros(x.shape, bool)
    empty[24:46, 34:56] = True
    assert np.isnan(y[empty]).all()
    assert not np.isnan(y[~empty]).any()


@PATH
def test_nothing_to_weigh_is_counted(path):
    """NaN follows the cells that meet a positive one, however small that is: not a sum that rounds to zero."""
    kernel = TAPS if path == "lattice" else ik.InterpolatedKernel([[0], [1], [2]], 3, "dilated")
    x = np.array([np.nan, np.nan, 2.0, 4.0, np.nan, np.nan], np.float32)
    for small in (1e-12, 1e-30, 1e-44):
        y = _renormalize(x, np.array([1.0, 0.0, small], np.float32), kernel, path=path)
        assert_matches_reference(y, x, np.array([1.0, 0.0, small], np.float32), kernel, missing="renormalize")
        np.testing.assert_array_equal(y, [2, 4, 2, 4])
    y = _renormalize(x, np.array([1.0, 0.0, 0.0], np.float32), kernel, path=path)
    np.testing.assert_array_equal(y, [np.nan, np.nan, 2, 4])


@BITWISE
def test_a_window_of_cancelling_cells_keeps_its_digits(path):
    """Cells that large terms leave have the errors of these: a window that shows no others is summed anew."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((161,), 40), 161, "keys")  # keys reproduces parabolas
    weights = np.array([1e-7, 1, 4, 9, 16], np.float32)
    x = np.full(400, np.nan, np.float32)
    x[200] = 1.7
    y = _renormalize(x, weights, kernel, path=path)
    total = ik.densify(weights.astype(np.float64), kernel).sum()
    assert np.isnan(y).sum() == 240 - 161
    # the last cells that x[200] meets are 1600 to 10^7 times smaller than the largest: three roundings
    np.testing.assert_allclose(y[198:201], np.float32(1.7) * total, rtol=3 * 2.0**-24)


@pytest.mark.parametrize("number", range(3))
@PATH
def test_astropy(path, number):
    """For odd windows and a padding of zeros y is astropy's interpolation over NaN, times the kernel's sum.

    The values are astropy 8.0.2's, with `rng = numpy.random.default_rng(0)`, for the shapes and windows ((40,), (7,)),
    ((30, 35), (5, 9)) and ((12, 14, 13), (3, 5, 3)) in turn:

        x, kernel = rng.standard_normal(shape), rng.uniform(0.1, 1.0, window)
        x[rng.uniform(size=shape) < 0.2] = numpy.nan
        x[tuple(slice(1, 2 + size) for size in window)] = numpy.nan
        y = kernel.sum() * astropy.convolution.convolve(
            x, numpy.flip(kernel), boundary="fill", fill_value=numpy.nan, nan_treatment="interpolate",
            normalize_kernel=True,
        )
    """
    with np.load(Path(__file__).parent.parent / "oracles" / "missing.npz", allow_pickle=False) as archive:
        x, dense, expected = (archive[f"{name}{number}"] for name in ("x", "kernel", "y"))
    kernel = ik.InterpolatedKernel(ik.grid_positions(dense.shape, 1), dense.shape, "linear")
    y = _renormalize(x, dense.ravel(), kernel, padding="same", path=path)
    np.testing.assert_allclose(y, expected, rtol=0, atol=2.0**-52 * dense.size * 8 * dense.sum())  # theirs and ours


def test_gradients_by_positions_and_widths():
    """The gradients by weights, positions and widths are differences of y, and a hole has none."""
    rng = np.random.default_rng(3)
    positions, widths = rng.uniform(1, 5, (4, 2)), rng.uniform(0.5, 1.5, (4, 2))
    kernel = ik.InterpolatedKernel(positions, (7, 6), "gaussian", widths=widths)
    x, weights, grad_y = rng.standard_normal((12, 13)), rng.uniform(0.5, 1, 4), rng.standard_normal((12, 13))
    x[rng.uniform(size=x.shape) < 0.3] = np.nan
    options = {"padding": "same", "missing": "renormalize", "path": "direct"}
    grads = ik.conv_backward(grad_y, x, weights, kernel, wrt=("x", "weights", "positions", "widths"), **options)
    assert (grads.x[np.isnan(x)] == 0).all()

    def loss(**changed):
        own = kernel.replace(positions=changed.get("positions", positions), widths=changed.get("widths", widths))
        return np.nansum(grad_y * ik.conv(changed.get("x", x), changed.get("weights", weights), own, **options))

    given = {"x": x, "weights": weights, "positions": positions, "widths": widths}
    for name, array in given.items():
        step = 1e-5 * rng.standard_normal(array.shape)
        slope = (loss(**{name: array + step}) - loss(**{name: array - step})) / 2
        expected = np.sum(getattr(grads, name) * step)
        # central differences: the third derivative's share, and eps over the step
        assert slope == pytest.approx(expected, rel=1e-6, abs=1e-9)


@PATH
def test_outputs_without_data_give_no_gradient(path):
    """Whatever `grad_y` holds where y is NaN, NaN and infinity too, is not looked at."""
    x, weights, grad_y = _landscape((90, 100))
    options = {"padding": "same", "path": path, "missing": "renormalize"}
    empty = np.isnan(ik.conv(x, weights, GRID, **options))
    assert empty.any()
    spoilt = np.where(empty, np.resize([np.nan, np.inf, 1e30], x.shape), grad_y).astype(np.float32)
    expected = ik.conv_backward(np.where(empty, np.float32(0), grad_y), x, weights, GRID, **options)
    found = ik.conv_backward(spoilt, x, weights, GRID, **options)
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.weights, expected.weights)


@pytest.mark.parametrize("weights", [[1, 1, -1e-9], [0, 0, 0], [1, np.nan, 1], [1, np.inf, 1], [-1, -1, -1]])
@pytest.mark.parametrize("path", ["auto", "direct", "lattice", "reference"])
def test_kernels_that_cannot_weigh(path, weights):
    """A filter with a negative cell, or no positive one, raises and is named; rounding below 0 passes."""
    bank = np.array([[[1, 1, 1]], [weights]], np.float64)
    x = np.ones((1, 1, 9))
    for call in (
        lambda: _renormalize(x, bank, TAPS, path=path),
        lambda: ik.conv_backward(np.ones((1, 2, 7)), x, bank, TAPS, path=path, missing="renormalize"),
    ):
        with pytest.raises(ValueError, match=r"`weights` must give filter 1 .*missing='renormalize'"):
            call()
    np.testing.assert_allclose(_renormalize(x, np.array([[[1, 2, -1e-13]]]), TAPS, path=path), 3)


def test_who_refuses():
    """Unknown words, paths that cannot divide, and what has no quotient, raise; a masked array is told what to pass."""
    x, weights = np.ones(40), np.ones(3)
    with pytest.raises(ValueError, match="`missing` must be one of propagate, renormalize, got 'omit'"):
        ik.conv(x, weights, TAPS, missing="omit")
    with pytest.raises(ValueError, match="`path`='fourier' cannot serve this problem: missing='renormalize' divides"):
        ik.conv(np.ones(4000), weights, TAPS, missing="renormalize", path="fourier", accuracy="normwise")
    with pytest.raises(ValueError, match="`path`='basis' cannot serve this problem: missing='renormalize' divides"):
        ik.conv(np.ones((1, 1, 40)), np.ones((9, 1, 3)), TAPS, missing="renormalize", path="basis")
    plan = ik.plan((1, 1, 40), (1, 1, 3), TAPS, missing="renormalize")
    with pytest.raises(ValueError, match="`missing` must be 'propagate' for a transpose"):
        plan.transpose(np.ones((1, 1, 38), np.float32), np.ones((1, 1, 3), np.float32))
    with pytest.raises(TypeError, match="missing"):
        ik.conv_transpose(x, weights, TAPS, missing="renormalize")
    with pytest.raises(TypeError, match=r"`x` must not be a masked array.*filled\(numpy.nan\).*missing='renormalize'"):
        ik.conv(np.ma.masked_array(x), weights, TAPS)


def test_the_plan_says_so():
    """A plan prints what it does with missing cells, keeps that through a pickle, and runs forward and backward."""
    plan = ik.plan((1, 1, 40, 40), (2, 1, 9), GRID, missing="renormalize", padding="same")
    assert "missing renormalized" in str(plan)
    assert "missing: numerators and denominators" in str(plan)
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    x, weights = np.ones((1, 1, 40, 40), np.float32), np.ones((2, 1, 9), np.float32)
    x[0, 0, :20] = np.nan
    y = ik.conv(x, weights, GRID, missing="renormalize", padding="same")
    np.testing.assert_array_equal(again.forward(x, weights), y)
    found = again.backward(np.ones_like(y), x, weights)
    expected = ik.conv_backward(np.ones_like(y), x, weights, GRID, missing="renormalize", padding="same")
    np.testing.assert_array_equal(found.x, expected.x)


@PATH
@pytest.mark.parametrize("mode", ["separate", "tied"])
def test_empty_batch(path, mode):
    """No samples give no outputs, no gradient by x, and zeros for the weights."""
    kernel = GRID.replace(channel_mode=mode)
    x, weights = np.ones((0, 2, 20, 20)), np.ones((3, 2, 9) if mode == "separate" else (3, 9))
    y = _renormalize(x, weights, kernel, path=path)
    assert y.shape == (0, 3, 12, 12)
    grads = ik.conv_backward(y, x, weights, kernel, path=path, missing="renormalize")
    assert grads.x.shape == x.shape
    np.testing.assert_array_equal(grads.weights, np.zeros_like(weights))


def test_float16():
    """Narrow floats are computed in float32 and rounded once."""
    x, weights, _ = _landscape((60, 70), np.float16)
    y = _renormalize(x, weights, GRID, padding="same")
    assert_matches_reference(y, x, weights, GRID, padding="same", missing="renormalize")
