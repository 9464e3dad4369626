import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels import bands
from interpolated_kernels.testing.strategies import cases


def _strided(array):
    """Return an array of NaN in the shape and dtype of another, of which no two values are neighbours."""
    return np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)[..., ::2]


@hypothesis.given(case=cases(), band=st.sampled_from([1, 2**20]), path=st.sampled_from(["direct", "lattice"]))
def test_any_out_takes_the_same_bits(case, band, path):
    """C8: an `out` that loops cannot write is filled band by band, with the bits of the whole result."""
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    hypothesis.assume(ik.paths.PATHS[path].supports(problem.summed) is None)
    expected = case.conv(path=path)
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        small.setattr(bands, "_BYTES_OF_BAND", band)
        out = _strided(expected)
        assert ik.conv(case.x, case.weights, case.kernel, out=out, path=path, **case.options) is out
    np.testing.assert_array_equal(out, expected)


@hypothesis.given(case=cases())
def test_any_out_takes_the_transpose(case):
    """An `out` that loops cannot write takes `conv_transpose`'s result too."""
    grad_y = case.grad_y if case.grad_y.size else np.ones_like(case.grad_y)
    options = {**case.options, "padding": "valid"}
    try:
        expected = ik.conv_transpose(grad_y, case.weights, case.kernel, **options)
    except ValueError:
        hypothesis.reject()
    out = _strided(expected)
    assert ik.conv_transpose(grad_y, case.weights, case.kernel, out=out, **options) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("path", ["direct", "lattice", "fourier", "basis", "reference"])
def test_out_is_written_in_place(path):
    """A contiguous `out` of the compute dtype gets the bits that a new array gets, on every path."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 4), (5, 5), "linear")
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((2, 3, 40, 41)), rng.standard_normal((6, 3, 4))
    options = {"path": path, "accuracy": "normwise"}
    expected = ik.conv(x, weights, kernel, **options)
    out = np.full(expected.shape, np.nan)
    assert ik.conv(x, weights, kernel, out=out, **options) is out
    np.testing.assert_array_equal(out, expected)
    back = ik.conv_transpose(expected, weights, kernel, **options)
    out = np.full(back.shape, np.nan)
    assert ik.conv_transpose(expected, weights, kernel, out=out, **options) is out
    np.testing.assert_array_equal(out, back)


def test_narrow_floats_go_into_out_band_by_band():
    """float16 results are computed in float32 and rounded once, into an `out` of theirs."""
    kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    x, weights = np.linspace(0, 1, 50).astype(np.float16), np.array([1.0, 3.0], np.float16)
    expected = ik.conv(x, weights, kernel)
    out = np.zeros_like(expected)
    np.testing.assert_array_equal(ik.conv(x, weights, kernel, out=out), expected)
