import itertools
from fractions import Fraction

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import absolute, assert_matches_reference, error_bound, reference, reference_backward
from interpolated_kernels.testing.missing_cases import missing_cases
from interpolated_kernels.testing.oracle import describe_problem
from interpolated_kernels.testing.strategies import cases

KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
RNG = np.random.default_rng(5)
X, W = RNG.standard_normal((2, 2, 6, 7)), RNG.standard_normal((3, 2, 4))
GRAD = RNG.standard_normal((2, 3, 4, 5))


def _cell(index, size, mode):
    """Which cell of an axis a padded index shows, or None for a zero: written apart from the library's own."""
    if 0 <= index < size:
        return index
    if mode == "zeros":
        return None
    if mode == "replicate":
        return min(max(index, 0), size - 1)
    if mode == "circular":
        return index % size
    period = 2 * size if mode == "symmetric" else max(2 * size - 2, 1)
    index %= period
    return index if index < size else (period - 1 - index if mode == "symmetric" else period - index)


def _products(case):
    """Every product of a convolution as plain indices: (y index, x index, dense index)."""
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    per_group = problem.filters // problem.groups
    axes = problem.stride, problem.dilation, problem.padding, problem.spatial, problem.padding_modes
    for b, f, c in itertools.product(range(problem.batch), range(problem.filters), range(problem.channels_per_group)):
        channel = f // per_group * problem.channels_per_group + c
        for out in np.ndindex(*problem.out_spatial):
            for tap in np.ndindex(*problem.window):
                at = tuple(
                    _cell(o * stride + t * dilation - before, size, mode)
                    for o, t, stride, dilation, (before, _), size, mode in zip(out, tap, *axes, strict=True)
                )
                if None not in at:
                    yield (b, f, *out), (b, channel, *at), (f, c, *tap)


def _lay_out(case):
    """A small case's problem, and its dense kernels of every channel, x and gradient by y with all axes."""
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    hypothesis.assume(np.prod(problem.y_shape) * np.prod(problem.window) * problem.channels_per_group < 20_000)
    weights = case.weights if case.weights.ndim > 1 else case.weights[None, None]
    dense = ik.densify(weights, case.kernel)
    dense = np.broadcast_to(dense, (len(dense), problem.channels_per_group, *dense.shape[2:]))
    x, grad_y = case.x.reshape(problem.x_shape), case.grad_y.reshape(problem.y_shape)
    return problem, dense, x, grad_y


def _pull_back(case, problem, grad_dense):
    """The gradient by weights of that by the dense kernels of every channel."""
    if problem.sums_channels:
        grad_dense = grad_dense.sum(axis=1, keepdims=True)
    shape = case.kernel.window if case.weights.ndim == 1 else grad_dense.shape
    return ik.densify_backward(grad_dense.reshape(shape), case.weights, case.kernel).weights


@hypothesis.settings(max_examples=25)
@hypothesis.given(cases(dyadic=True, dtypes=["float64"]))
def test_the_reference_is_the_definition(case):
    """y and both gradients are the sums of the definition, product by product, on data where every sum is exact."""
    problem, dense, x, grad_y = _lay_out(case)
    y, grad_x, grad_dense = np.zeros(problem.y_shape), np.zeros(problem.x_shape), np.zeros(dense.shape)
    for out, at, tap in _products(case):
        y[out] += x[at] * dense[tap]
        grad_x[at] += grad_y[out] * dense[tap]
        grad_dense[tap] += grad_y[out] * x[at]
    np.testing.assert_array_equal(reference(case.x, case.weights, case.kernel, **case.options).ravel(), y.ravel())
    grads = reference_backward(case.grad_y, case.x, case.weights, case.kernel, **case.options)
    np.testing.assert_array_equal(grads.x.ravel(), grad_x.ravel())
    np.testing.assert_array_equal(grads.weights, _pull_back(case, problem, grad_dense))


@hypothesis.settings(max_examples=25)
@hypothesis.given(missing_cases(dyadic=True, dtypes=["float64"]))
def test_the_reference_weighs_what_is_there(case):
    """With missing="renormalize" y is N s / D, product by product, and NaN where nothing meets a positive cell."""
    problem, dense, x, grad_y = _lay_out(case)
    numerator, denominator = np.zeros(problem.y_shape), np.zeros(problem.y_shape)
    count = np.zeros(problem.y_shape, int)
    for out, at, tap in _products(case):
        if not np.isnan(x[at]):
            numerator[out] += x[at] * dense[tap]
            denominator[out] += dense[tap]
            count[out] += dense[tap] > 0
    total = dense.sum(axis=tuple(range(1, dense.ndim))).reshape(-1, *(1,) * len(problem.spatial))
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.where(count > 0, numerator * (total / denominator), np.nan)
        by_numerator = np.where(count > 0, grad_y * total / denominator, 0)
        mean = np.where(count > 0, numerator / denominator, 0)
    np.testing.assert_array_equal(reference(case.x, case.weights, case.kernel, **case.options).ravel(), y.ravel())
    grad_x, grad_dense = np.zeros(problem.x_shape), np.zeros(dense.shape)
    for out, at, tap in _products(case):
        if not np.isnan(x[at]):
            grad_x[at] += by_numerator[out] * dense[tap]
            grad_dense[tap] += by_numerator[out] * (x[at] - mean[out])
    grad_dense += (grad_y * mean).sum(axis=(0, *range(2, y.ndim))).reshape(-1, *(1,) * (dense.ndim - 1))
    grads = reference_backward(case.grad_y, case.x, case.weights, case.kernel, **case.options)
    # quotients are rounded: sums of some hundred terms of up to 100 each
    np.testing.assert_allclose(grads.x.ravel(), grad_x.ravel(), rtol=0, atol=1e-9)
    np.testing.assert_allclose(grads.weights, _pull_back(case, problem, grad_dense), rtol=0, atol=1e-9)


def test_the_reference_rounds_as_float64_does():
    """Against exact rational sums the float64 reference is within its own bound, and longdouble's is closer."""
    kernel = ik.InterpolatedKernel([[0], [1], [2]], 3, "dilated")
    x, weights = RNG.standard_normal(8), RNG.standard_normal(3)
    exact = [sum(Fraction(float(x[o + t])) * Fraction(float(weights[t])) for t in range(3)) for o in range(6)]
    bound = error_bound(x, weights, kernel, arithmetic="float64")
    for dtype, limit in ((np.float64, bound.componentwise), (np.longdouble, bound.componentwise * 2.0**-8)):
        if dtype is np.longdouble and np.finfo(dtype).nmant < 63:
            continue
        y = reference(x, weights, kernel, dtype=dtype)
        for value, wanted, most in zip(y, exact, limit, strict=True):
            split = Fraction(float(value)) + Fraction(float(value - dtype(float(value))))
            assert abs(split - wanted) <= Fraction(float(most))


def test_options_that_only_choose_are_ignored():
    """`path`, `accuracy`, `max_memory` and `out` do not change the reference."""
    y = reference(X, W, KERNEL, path="reference", accuracy="normwise", max_memory=1, out=None)
    np.testing.assert_array_equal(y, reference(X, W, KERNEL))


def test_the_bound_is_the_formula():
    """C1 and C2 are the documented formulas of n, m, d and S."""
    bound = error_bound(X, W, KERNEL)
    n, m, d, u = 9 * 2, 4, 2, 2.0**-24
    assert bound.n == n
    scale = reference(np.abs(X), np.abs(W), absolute(KERNEL))
    np.testing.assert_array_equal(bound.scale, scale)
    k = n + m + 4 * d
    ones = ik.InterpolatedKernel(ik.grid_positions((3, 3), 1), (3, 3), "dilated")
    windows = reference(np.abs(X), np.ones((3, 2, 9)), ones)
    expected = k * u / (1 - k * u) * scale + 2.0**-149 * (n + 1) * (1 + windows + np.abs(W).sum())
    np.testing.assert_allclose(bound.componentwise, expected, rtol=1e-12, atol=0)
    assert bound.quality == 4 * np.sqrt(n + 2)
    assert error_bound(X, W, KERNEL, quantity="grad_x", grad_y=GRAD).n == 9 * 3
    by_weights = error_bound(X, W, KERNEL, quantity="grad_weights", grad_y=GRAD)
    assert by_weights.n == 2 * 4 * 5
    k = by_weights.n + m + 4 * d + np.count_nonzero(KERNEL.matrix, axis=0).max()
    np.testing.assert_allclose(by_weights.componentwise, k * u / (1 - k * u) * by_weights.scale, rtol=1e-6)
    many, grad = np.zeros((1, 1, 102, 102)), np.zeros((1, 1, 100, 100))
    assert error_bound(many, W[:1, :1], KERNEL, quantity="grad_weights", grad_y=grad).n == 4096


def test_absolute_takes_the_matrix():
    """`absolute` has the absolute values of A and the same support."""
    kernel = ik.InterpolatedKernel([[0.0], [1.0], [4.0]], 6, ik.Polyharmonic(3))
    assert (kernel.matrix < 0).any()
    np.testing.assert_array_equal(absolute(kernel).matrix, np.abs(kernel.matrix))
    dilated = ik.InterpolatedKernel([[1]], 3, "dilated")
    np.testing.assert_array_equal(absolute(dilated).structure.support, dilated.structure.support)


def _good(quantity, dtype):
    x, weights, grad_y = X.astype(dtype), W.astype(dtype), GRAD.astype(dtype)
    if quantity == "y":
        return ik.conv(x, weights, KERNEL), (x, weights, KERNEL), {}
    grad = getattr(ik.conv_backward(grad_y, x, weights, KERNEL), quantity.removeprefix("grad_"))
    return grad, (x, weights, KERNEL), {"quantity": quantity, "grad_y": grad_y}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("quantity", ["y", "grad_x", "grad_weights"])
def test_the_assertion_sees_small_errors(quantity, dtype):
    """One entry off by three bounds is found, and the message has the ratio, the index, both values and code."""
    good, arguments, options = _good(quantity, dtype)
    assert 0 <= assert_matches_reference(good, *arguments, **options) <= 1
    bound = error_bound(*arguments, arithmetic=dtype, **options).componentwise
    index = tuple(size - 1 for size in good.shape)
    bad = good.copy()
    bad[index] += 3 * bound[index]
    with pytest.raises(AssertionError, match="off reference") as caught:
        assert_matches_reference(bad, *arguments, **options)
    text = str(caught.value)
    for part in (
        str(index),
        "got",
        "expected",
        "bound",
        "interpolated_kernels as ik",
        "assert_matches_reference(",
    ):
        assert part in text


def test_the_quality_gate_is_stricter():
    """An error below C1 can exceed C2, which only `quality=True` holds."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    x, weights = RNG.uniform(size=(33, 33)), RNG.uniform(size=49)
    y = ik.conv(x, weights, kernel)
    bound = error_bound(x, weights, kernel, arithmetic="float64")
    off = y + 0.5 * bound.componentwise
    assert_matches_reference(off, x, weights, kernel)
    assert_matches_reference(y, x, weights, kernel, quality=True)
    with pytest.raises(AssertionError, match="C2"):
        assert_matches_reference(off, x, weights, kernel, quality=True)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda y: y.astype(np.float32), "dtype float32, expected float64"),
        (lambda y: y[:1], r"shape \(1, 3, 4, 5\), expected \(2, 3, 4, 5\)"),
        (lambda y: np.where(np.arange(5) == 2, np.nan, y), "finite where the reference is not"),
    ],
)
def test_the_assertion_checks_dtype_shape_and_finiteness(change, match):
    """Dtype and shape come first, then which entries are finite."""
    with pytest.raises(AssertionError, match=match):
        assert_matches_reference(change(ik.conv(X, W, KERNEL)), X, W, KERNEL)


def test_non_finite_entries_must_be_where_the_reference_has_them():
    """A finite result where the reference is NaN fails, and so does a weights' gradient beyond its filter."""
    x = X.copy()
    x[0, 0, 0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        y = ik.conv(x, W, KERNEL)
    assert_matches_reference(y, x, W, KERNEL)
    with pytest.raises(AssertionError, match="finite where"):
        assert_matches_reference(np.nan_to_num(y), x, W, KERNEL)
    grad_y = GRAD.copy()
    grad_y[0, 1, 2, 2] = np.inf
    grad = ik.conv_backward(GRAD, X, W, KERNEL).weights
    grad[1] = np.nan
    assert_matches_reference(grad, X, W, KERNEL, quantity="grad_weights", grad_y=grad_y)
    grad[2, 0, 0] = np.nan
    with pytest.raises(AssertionError, match="finite where"):
        assert_matches_reference(grad, X, W, KERNEL, quantity="grad_weights", grad_y=grad_y)


def _fail(size):
    x, weights = RNG.standard_normal((1, 2, size, size)).astype(np.float32), W.astype(np.float32)
    y = ik.conv(x, weights, KERNEL, padding=((1, 0), (0, 1)))
    y[0, 0, 0, 0] += 1
    with pytest.raises(AssertionError, match="To see it again") as caught:
        assert_matches_reference(y, x, weights, KERNEL, padding=((1, 0), (0, 1)))
    return x, weights, y, str(caught.value).partition("To see it again:\n\n")[2]


@pytest.mark.parametrize("size", [4, 7])
def test_the_reproducer_fails_again(size):
    """The code in a failure's message holds the result that failed, and raises the same failure."""
    x, weights, y, code = _fail(size)
    space = {}
    with pytest.raises(AssertionError, match=r"times the bound C1 off reference \(limit 1\) at index \(0, 0, 0, 0\)"):
        exec(code, space)
    for name, array in {"x": x, "weights": weights, "actual": y}.items():
        np.testing.assert_array_equal(space[name], array)
    assert space["kernel"] == KERNEL


def test_a_failure_leaves_no_files(tmp_path, monkeypatch):
    """What is too large for a message is named in its code, and no file is written."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    *_, code = _fail(60)
    assert "x = ...  # float32 (1, 2, 60, 60): too large" in code
    assert list(tmp_path.iterdir()) == []


def test_bad_questions():
    """An unknown quantity, or a gradient without `grad_y`, raises."""
    with pytest.raises(ValueError, match="`quantity` must be one of"):
        error_bound(X, W, KERNEL, quantity="grad_bias")
    with pytest.raises(ValueError, match="`arithmetic` must be one of float64, float32, tf32, float16, bfloat16, got"):
        error_bound(X, W, KERNEL, arithmetic="float8")
    for quantity in ("grad_x", "grad_weights", "grad_positions", "grad_widths"):
        for ask in (error_bound, lambda *arguments, **options: assert_matches_reference(X, *arguments, **options)):
            with pytest.raises(ValueError, match=f"`grad_y` is needed for {quantity}"):
                ask(X, W, KERNEL, quantity=quantity)


def test_a_fold_counts_its_additions():
    """The bound of a gradient by x counts the padded cells that are added into one, on every axis that has such."""
    x, kernel = np.ones((1, 1, 2, 3)), ik.InterpolatedKernel([[0, 0]], (1, 1), "dilated")
    options = {"padding": ((4, 0), (3, 5)), "padding_mode": ("circular", "replicate")}
    grad_y = np.ones(ik.conv(x, np.ones((1, 1, 1)), kernel, **options).shape)
    bound = error_bound(x, np.ones((1, 1, 1)), kernel, quantity="grad_x", grad_y=grad_y, **options)
    assert bound.n == 1 + (3 - 1) + (6 - 1)
    assert error_bound(x, np.ones((1, 1, 1)), kernel, **options).n == 1


def _name_modes(mode):
    return mode if isinstance(mode, str) else "modes"


def test_strategies_reach_every_kind():
    """Over some hundred draws every interpolator, channel mode, padding, mode and dimension occurs."""
    seen = set()

    @hypothesis.settings(max_examples=700, database=None, phases=[hypothesis.Phase.generate], derandomize=True)
    @hypothesis.given(cases())
    def draw(case):
        options = case.options
        padding = options["padding"]
        seen.update(
            {
                type(case.kernel.interpolator).__name__, case.kernel.channel_mode, _name_modes(options["padding_mode"]),
                padding if isinstance(padding, str) else f"{np.ndim(padding)} entries",
                f"{case.kernel.n_dims}-D",
                f"{case.kernel.positions.ndim} axes of positions", "plain" if case.weights.ndim == 1 else "bank",
                str(case.x.dtype), f"{options.get('groups', 1) > 1} groups", f"{np.max(options['stride']) > 1} stride",
                f"{np.max(options['dilation']) > 1} dilation", f"{len(set(case.kernel.window)) > 1} oblong",
            }
        )  # fmt: skip

    draw()
    expected = [
        "BSpline Bilinear Cone Cubic Delaunay Dilated Gaussian InverseDistance Keys Linear Nearest Polyharmonic RBF",
        "Triangle Voronoi separate tied interpolated zeros reflect replicate circular symmetric modes",
        "valid same causal 1-D 2-D 3-D plain bank float32 float64",
    ]
    counted = [f"{n} entries" for n in range(3)] + [f"{n} axes of positions" for n in (2, 3, 4)]
    counted += [f"True {option}" for option in ("groups", "stride", "dilation", "oblong")]
    assert {*" ".join(expected).split(), *counted} <= seen
