import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.options import Options
from interpolated_kernels.paths import PATHS
from interpolated_kernels.problem import describe
from interpolated_kernels.testing import absolute, assert_matches_reference, error_bound, reference, reference_backward
from interpolated_kernels.testing.strategies import Case, cases

COMPONENTWISE = sorted(name for name, path in PATHS.items() if path.ACCURACY == "componentwise")
PATH = pytest.mark.parametrize("path", COMPONENTWISE)
DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])


def _serves(path, case, refuse=hypothesis.reject):
    """Return the option that forces a path, or give the case up where the path says that it cannot serve it."""
    dtype = "float64" if case.x.dtype == np.float64 else "float32"
    problem = describe(case.x.shape, case.weights.shape, case.kernel, Options(**case.options), dtype)
    if PATHS[path].supports(problem.summed) is not None:
        refuse()
    return {"path": path}


def _skip():
    pytest.skip("the path does not serve this problem")


def _normal(rng, shape):
    return rng.standard_normal(shape)


@PATH
@hypothesis.settings(max_examples=60)
@hypothesis.given(case=cases())
def test_within_the_bound(path, case):
    """C1: y and both gradients are within the rigorous bound of the reference, on any problem and data."""
    options = _serves(path, case)
    worst = [case.assert_matches(quantity, actual) for quantity, actual in case.results(**options).items()]
    hypothesis.target(max(worst))


def _bank(x, filters, kernel, dtype, rng=_normal, **options):
    generator = np.random.default_rng(7)
    channels = x[1] // options.get("groups", 1)
    lead = (filters, channels) if kernel.channel_mode == "separate" else (filters,)
    weights = rng(generator, (*lead, kernel.n_anchors)).astype(dtype)
    x = rng(generator, x).astype(dtype)
    grad_y = rng(generator, ik.plan(x.shape, weights.shape, kernel, **options).problem.y_shape).astype(dtype)
    return Case(x, weights, grad_y, kernel, options)


def _grid(window, spacing, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator, **options)


def _blob(seed, n, window, filters=()):
    return np.random.default_rng(seed).uniform(0, np.array(window) - 1, (*filters, n, len(window)))


LARGER = {
    "line": lambda **k: _bank((2, 3, 700), 5, _grid((129,), 8), padding="same", **k),
    "landscape": lambda **k: _bank((1, 1, 60, 100), 1, _grid((17, 17), 4), **k),
    "rows of one filter": lambda **k: _bank((2, 1, 37, 45), 1, _grid((9, 5), 2), **k),
    "scattered bank": lambda **k: _bank(
        (2, 2, 30, 41), 6, ik.InterpolatedKernel(_blob(1, 12, (12, 10)), (12, 10), "polyharmonic"), **k
    ),
    "depthwise": lambda **k: _bank((2, 8, 22, 23), 8, _grid((11, 11), 5), groups=8, padding="same", **k),
    "strided": lambda **k: _bank(
        (2, 2, 50, 60), 4, _grid((9, 8), 2, "nearest"), stride=(2, 3), padding=3, dilation=2, **k
    ),
    "padded": lambda **k: _bank((1, 2, 19, 40), 4, _grid((9, 7), 2), padding=(8, 6), padding_mode="reflect", **k),
    "sparse": lambda **k: _bank((2, 3, 40, 40), 5, _grid((13, 13), 4, "dilated"), padding=((3, 4), (5, 6)), **k),
    "own positions": lambda **k: _bank(
        (1, 2, 24, 30), 5, ik.InterpolatedKernel(_blob(2, 6, (9, 9), (5,)), (9, 9), "polyharmonic"), **k
    ),
    "tied": lambda **k: _bank((2, 6, 30, 30), 4, _grid((9, 9), 4, channel_mode="tied"), groups=2, **k),
    "through channels": lambda **k: _bank(
        (2, 4, 30, 30), 5, _grid((9, 9, 4), (4, 4, 3), channel_mode="interpolated"), stride=2, **k
    ),
    "one filter, stride as dilation": lambda **k: _bank(
        (2, 1, 60, 47), 1, _grid((9, 5), 2), stride=(2, 1), dilation=(2, 3), padding=4, **k
    ),
    "long line": lambda **k: _bank((1, 2, 9001), 3, _grid((5,), 2), padding="same", **k),
    "long rows of one filter": lambda **k: _bank((1, 1, 13, 4500), 1, _grid((8, 3), 2), **k),
    "deep window of one filter": lambda **k: _bank((1, 2, 6, 17, 15), 1, _grid((3, 8, 4), 2), padding="same", **k),
    "volume": lambda **k: _bank(
        (1, 2, 14, 15, 16), 3, _grid((5, 6, 4), 2), padding="same", padding_mode="circular", **k
    ),
}  # fmt: skip


def _uniform(rng, shape):
    return rng.uniform(0, 1, shape)


@PATH
@DTYPE
@pytest.mark.parametrize("name", sorted(LARGER))
def test_quality(path, dtype, name):
    """C2: on normal and uniform data errors stay below 4 sqrt(n + 2) u S, at sizes that reach all of a loop."""
    for rng in (_normal, _uniform):
        case = LARGER[name](dtype=dtype, rng=rng)
        for quantity, actual in case.results(**_serves(path, case, _skip)).items():
            case.assert_matches(quantity, actual, quality=True)


@PATH
@hypothesis.given(case=cases(data=_normal))
def test_adjoint(path, case):
    """C5: <grad_y, conv(x, w)> = <grad_x, x> = <grad_w, w>, to 4 sqrt(n + 2) u of the sum over absolute values."""
    results, asked = case.results(**_serves(path, case)), {"grad_y": case.grad_y, "arithmetic": case.x.dtype.name}
    bounds = [
        error_bound(case.x, case.weights, case.kernel, quantity=name, **asked, **case.options) for name in results
    ]  # fmt: skip
    y, by_x, by_weights = (
        np.sum(np.multiply(one, other, dtype=np.longdouble))
        for one, other in (
            (case.grad_y, results["y"]),
            (results["grad_x"], case.x),
            (results["grad_weights"], case.weights),
        )
    )
    size = np.sum(np.abs(case.grad_y) * bounds[0].scale)
    limit = max(bound.quality for bound in bounds) * bounds[0].unit * size
    assert abs(y - by_x) <= limit
    assert abs(y - by_weights) <= limit


def _exact(case, scale_bits=0):
    """Keep the cases whose every partial sum is exact: sums over absolute values at the matrix's finest bit fit."""
    matrix = np.abs(case.kernel.matrix)
    bits = 2.0 ** next(q for q in range(60) if (matrix * 2.0**q % 1 == 0).all())
    limit = 2.0 ** (24 if case.x.dtype == np.float32 else 53) / bits / 2.0**scale_bits
    sizes, kernel = [np.abs(array) for array in (case.grad_y, case.x, case.weights)], absolute(case.kernel)
    grads = reference_backward(*sizes, kernel, **case.options)
    products = sizes[0].sum() * sizes[1].max(initial=0)
    largest = [
        array.max(initial=0) for array in (reference(*sizes[1:], kernel, **case.options), grads.x, grads.weights)
    ]
    hypothesis.assume(max(*largest, products) <= limit)


def _assert_equal(results, expected):
    for quantity, actual in results.items():
        np.testing.assert_array_equal(actual, expected[quantity], err_msg=quantity)


def _expected(case):
    grads = reference_backward(case.grad_y, case.x, case.weights, case.kernel, **case.options)
    y = reference(case.x, case.weights, case.kernel, **case.options)
    return {"y": y, "grad_x": grads.x, "grad_weights": grads.weights}


@PATH
@hypothesis.settings(max_examples=50, suppress_health_check=list(hypothesis.HealthCheck))  # `threads` is reset once
@hypothesis.given(case=cases(dyadic=True))
def test_exact_on_dyadic_data(path, case, threads):
    """C0: dyadic matrices and integer data give the reference bit for bit, on one thread and on two."""
    options = _serves(path, case)
    _exact(case)
    expected = _expected(case)
    for n_threads in (1, 2):
        threads(n_threads)
        _assert_equal(case.results(**options), expected)


@PATH
@hypothesis.settings(max_examples=30)
@hypothesis.given(case=cases(dyadic=True, batched=True))
def test_exact_sample_by_sample(path, case):
    """C0: a sample alone gives the bits that it has in its batch, and gradients by weights sum to the batch's."""
    options = _serves(path, case)
    _exact(case)
    whole = case.results(**options)
    total = np.zeros_like(whole["grad_weights"])
    for sample in range(len(case.x)):
        one = slice(sample, sample + 1)
        alone = case.replace(x=case.x[one], grad_y=case.grad_y[one]).results(**options)
        np.testing.assert_array_equal(alone["y"], whole["y"][one])
        np.testing.assert_array_equal(alone["grad_x"], whole["grad_x"][one])
        total += alone["grad_weights"]
    np.testing.assert_array_equal(total, whole["grad_weights"])


@PATH
@hypothesis.given(case=cases(dyadic=True), seed=st.integers(0, 99))
def test_linear_in_x_and_in_weights(path, case, seed):
    """conv(x + 2 x', w) = conv(x, w) + 2 conv(x', w), the same in w, and gradients alike: exactly, on dyadic data."""
    options = _serves(path, case)
    _exact(case, scale_bits=3)
    rng = np.random.default_rng(seed)
    first = case.results(**options)
    for name, linear in (
        ("x", ("y", "grad_weights")),
        ("weights", ("y", "grad_x")),
        ("grad_y", ("grad_x", "grad_weights")),
    ):
        array = getattr(case, name)
        other = rng.integers(-3, 4, array.shape).astype(array.dtype)
        second = case.replace(**{name: other}).results(**options)
        both = case.replace(**{name: array + 2 * other})
        _exact(both)
        for quantity in linear:
            np.testing.assert_array_equal(both.results(**options)[quantity], first[quantity] + 2 * second[quantity])


@PATH
@hypothesis.settings(max_examples=40)
@hypothesis.given(case=cases(data=_normal), where=st.sampled_from(["x", "weights", "grad_y"]), seed=st.integers(0, 999))
def test_non_finite_entries(path, case, where, seed, spoil):
    """C7: NaN and infinity in x, weights or grad_y reach what the reference's reach, and no more; the rest keeps C1."""
    case = spoil(case, where, seed)
    with np.errstate(invalid="ignore"):
        results = case.results(**_serves(path, case))
    for quantity, actual in results.items():
        case.assert_matches(quantity, actual)


@PATH
@DTYPE
@pytest.mark.parametrize("name", sorted(LARGER))
def test_one_non_finite_entry_in_a_larger_problem(path, dtype, name):
    """C7 at sizes that reach every branch of a loop: one NaN, one infinity, far from and close to the edges."""
    case = LARGER[name](dtype=dtype)
    for where, index, value in (
        ("x", -1, np.nan),
        ("x", 1234, np.inf),
        ("grad_y", 777, np.nan),
        ("grad_y", 0, -np.inf),
    ):
        array = getattr(case, where).copy()
        array.flat[index % array.size] = value
        planted = case.replace(**{where: array})
        with np.errstate(invalid="ignore"):
            results = planted.results(**_serves(path, case, _skip))
        for quantity in ("y",) if where == "x" else ("grad_x",):
            planted.assert_matches(quantity, results[quantity])
        planted.assert_matches("grad_weights", results["grad_weights"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@PATH
def test_padding_counts_as_zero(path, value):
    """C7: a non-finite weight meets padding zeros without a NaN only where no cell of x is under it."""
    kernel = ik.InterpolatedKernel([[0], [2]], 3, "dilated")
    case = Case(np.ones(4), np.array([value, 1.0]), np.ones(4), kernel, {"padding": 1})
    with np.errstate(invalid="ignore"):
        y = case.conv(**_serves(path, case, _skip))
    expected = reference(case.x, case.weights, kernel, padding=1)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected))


BITWISE = sorted(set(PATHS) & {"direct", "lattice"})


@pytest.mark.parametrize("path", BITWISE)
@DTYPE
@pytest.mark.parametrize("name", sorted(LARGER))
def test_bits_do_not_depend_on_threads(path, dtype, name, threads):
    """C8: y and both gradients have the same bits on one thread and on two, and when computed again."""
    case = LARGER[name](dtype=dtype)
    options = _serves(path, case, _skip)
    results = []
    for n_threads in (1, 2, 2):
        threads(n_threads)
        results.append(case.results(**options))
    _assert_equal(results[1], results[0])
    _assert_equal(results[2], results[0])


@pytest.mark.parametrize("path", BITWISE)
@DTYPE
def test_bits_do_not_depend_on_threads_when_launched_in_parallel(path, dtype, threads):
    """C8 where every loop is large enough for threads: the same bits on one and on two."""
    case = _bank((2, 8, 256, 256), 12, _grid((9, 9), 2), dtype, groups=2, padding="same")
    results = []
    for n_threads in (1, 2):
        threads(n_threads)
        results.append(case.results(**_serves(path, case, _skip)))
    _assert_equal(results[1], results[0])


@pytest.mark.parametrize("path", BITWISE)
@hypothesis.given(case=cases(data=_normal, batched=True))
def test_bits_do_not_depend_on_the_batch(path, case):
    """C8: a sample alone, in a batch of its copies or beside others has the same bits in y and grad_x."""
    options = _serves(path, case)
    whole = case.results(**options)
    for sample in range(len(case.x)):
        alone = case.replace(x=case.x[sample], grad_y=case.grad_y[sample]).results(**options)
        np.testing.assert_array_equal(alone["y"], whole["y"][sample])
        np.testing.assert_array_equal(alone["grad_x"], whole["grad_x"][sample])


@pytest.mark.parametrize("path", BITWISE)
@DTYPE
@pytest.mark.parametrize("name", ["landscape", "scattered bank", "own positions", "rows of one filter", "strided"])
def test_a_chunk_with_its_halo_is_the_whole(path, dtype, name):
    """C8: outputs of a chunk of x with its halo are bit for bit those of the whole array."""
    case = LARGER[name](dtype=dtype)
    case = case.replace(options={**case.options, "padding": "valid"})
    options = _serves(path, case, _skip)
    whole = case.conv(**options)
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    rows, columns = problem.out_spatial
    for first, count, left, width in (
        (0, 1, 0, columns),
        (3, 5, 1, 7),
        (2, rows - 2, 5, columns - 5),
        (1, 6, columns - 1, 1),
    ):
        corner = [first * problem.stride[0], left * problem.stride[1]]
        size = [
            (n - 1) * step + reach
            for n, step, reach in zip((count, width), problem.stride, problem.extent, strict=True)
        ]
        chunk = case.x[..., corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]]
        part = case.replace(x=chunk).conv(**options)
        np.testing.assert_array_equal(part, whole[..., first : first + count, left : left + width])


def test_a_batch_larger_than_is_packed_at_once():
    """C0 for a batch of 45 MiB, more than is packed at a time: every sample as alone, gradients the samples' sum."""
    rng = np.random.default_rng(0)
    kernel = _grid((3, 3), 2)
    x = rng.integers(-1, 2, (5, 1, 1500, 1500)).astype(np.float32)
    weights = rng.integers(-2, 3, (1, 1, 4)).astype(np.float32)
    y = ik.conv(x, weights, kernel, path="direct")
    grads = ik.conv_backward(y, x, weights, kernel, path="direct")
    total = np.zeros((1, 1, 4))
    for sample in range(5):
        np.testing.assert_array_equal(ik.conv(x[sample], weights, kernel, path="direct"), y[sample])
        alone = ik.conv_backward(y[sample], x[sample], weights.astype(np.float64), kernel, path="direct")
        np.testing.assert_array_equal(alone.x, grads.x[sample])
        total += alone.weights
    np.testing.assert_array_equal(grads.weights, total.astype(np.float32))


@PATH
@pytest.mark.parametrize(("filters", "window"), [(1, 1), (4, 1), (1, 8)])
def test_millions_of_products_keep_their_digits(path, filters, window):
    """C1 for a weights' gradient of millions of equal products: blocks of at most 4096 are summed in float64."""
    kernel = _grid((window, 1), 1, "dilated")
    x = np.full((2, 1, 1100 + window, 1000), 0.1, np.float32)
    weights = np.ones((filters, 1, window), np.float32)
    grad_y = np.full((2, filters, 1101, 1000), 1 / 3, np.float32)
    options = _serves(path, Case(x, weights, grad_y, kernel, {}), _skip)
    grad = ik.conv_backward(grad_y, x, weights, kernel, wrt=("weights",), **options).weights
    assert_matches_reference(grad, x, weights, kernel, quantity="grad_weights", grad_y=grad_y)


@PATH
@DTYPE
def test_dtype_is_kept(path, dtype):
    """Every path gives y and gradients in the problem's dtype."""
    case = LARGER["tied"](dtype=dtype)
    for actual in case.results(**_serves(path, case, _skip)).values():
        assert actual.dtype == dtype


@PATH
def test_filters_and_channels_of_many_widths(path):
    """Filters in blocks and what is left of them, one channel and several: each of 1 to 9 filters, with C1."""
    for filters in range(1, 10):
        kernel = ik.InterpolatedKernel(ik.grid_positions((4, 4), 3), (4, 4), "linear")
        case = _bank((1, 3, 9, 21), filters, kernel, "float32")
        for quantity, actual in case.results(**_serves(path, case, _skip)).items():
            case.assert_matches(quantity, actual)


@PATH
def test_outputs_of_many_widths(path):
    """Rows of outputs of 1 to 70 columns: whole vectors, parts of one, and what is left of a tile, with C1."""
    for columns in range(1, 71):
        case = _bank((1, 1, 10, columns + 3), 1 + columns % 3, _grid((8, 4), 2), "float32")
        for quantity, actual in case.results(**_serves(path, case, _skip)).items():
            case.assert_matches(quantity, actual)
