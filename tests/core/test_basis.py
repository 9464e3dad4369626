import warnings

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.paths import PATHS
from interpolated_kernels.testing.strategies import Case, cases

DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
OPTIONS = {"path": "basis"}


def _scattered(window, n, **options):
    positions = np.random.default_rng(n).uniform(0, np.array(window) - 1, (n, len(window)))
    return InterpolatedKernel(positions, window, **options)


def _bank(x_shape, filters, kernel, dtype="float32", **options):
    rng = np.random.default_rng(7)
    lead = (filters, x_shape[1] // options.get("groups", 1)) if kernel.channel_mode == "separate" else (filters,)
    weights = rng.standard_normal((*lead, kernel.n_anchors)).astype(dtype)
    x = rng.standard_normal(x_shape).astype(dtype)
    grad_y = rng.standard_normal(ik.plan(x.shape, weights.shape, kernel, **options).problem.y_shape).astype(dtype)
    return Case(x, weights, grad_y, kernel, options)


CASES = {
    "line": lambda **k: _bank((2, 2, 300), 9, _scattered((20,), 4), padding="same", **k),
    "landscape": lambda **k: _bank((1, 1, 40, 45), 16, _scattered((9, 8), 5), **k),
    "grid": lambda **k: _bank((2, 3, 30, 31), 12, InterpolatedKernel(ik.grid_positions((7, 7), 3), 7, "linear"), **k),
    "strided groups": lambda **k: _bank(
        (2, 4, 30, 37), 14, _scattered((5, 6), 6), groups=2, stride=(2, 3), dilation=2, padding=5,
        padding_mode="reflect", **k,
    ),
    "tied": lambda **k: _bank((2, 6, 24, 25), 16, _scattered((7, 7), 5, channel_mode="tied"), groups=2, **k),
    "sparse": lambda **k: _bank((2, 2, 25, 26), 4, InterpolatedKernel([[0, 0], [4, 1]], (6, 5), "dilated"), **k),
    "repeated positions": lambda **k: _bank(
        (1, 2, 24, 25), 8, _scattered((5, 5), 5).replace(positions=np.tile(_scattered((5, 5), 5).positions, (8, 1, 1))),
        **k,
    ),
    "volume": lambda **k: _bank((1, 2, 9, 10, 11), 7, _scattered((3, 4, 3), 6), padding="same", **k),
}  # fmt: skip
NAME = pytest.mark.parametrize("name", sorted(CASES))


@DTYPE
@NAME
def test_within_the_bound(name, dtype):
    """C1 and C2: y and both gradients are within the bounds of the reference, in the arrays' dtype."""
    case = CASES[name](dtype=dtype)
    for quantity, actual in case.results(**OPTIONS).items():
        case.assert_matches(quantity, actual, quality=True)


@NAME
def test_chunks_of_samples(name, monkeypatch):
    """C1 where the maps of few samples are held at once: chunks of one sample, and a last chunk that is not full."""
    for n_samples in (1, 2):
        case = CASES[name]()
        case = case.replace(x=np.repeat(case.x, 3, axis=0)[:3], grad_y=np.repeat(case.grad_y, 3, axis=0)[:3])
        problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem.summed
        one_map = PATHS["basis"]._count_map_bytes(problem)
        monkeypatch.setattr("interpolated_kernels.paths.basis._BYTES_OF_MAPS", n_samples * one_map)
        ik.clear_caches()
        assert PATHS["basis"].parts(problem)[0].batch == n_samples
        for quantity, actual in case.results(**OPTIONS).items():
            case.assert_matches(quantity, actual)
    ik.clear_caches()


def _with_more_filters(case):
    """Return the case with its filters repeated until there are more in a group than anchors."""
    times = case.kernel.n_anchors + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ik.AnchorWarning)
        widths = None if case.kernel.width_sets is None else case.kernel.width_sets[0]
        kernel = case.kernel.replace(positions=case.kernel.position_sets[0], widths=widths)
    weights = np.repeat(case.weights, times, axis=0)
    shape = ik.plan(case.x.shape, weights.shape, kernel, **case.options).problem.y_shape
    y_shape = shape[1:] if case.x.ndim == kernel.n_dims + 1 else shape
    return Case(case.x, weights, np.resize(case.grad_y, y_shape), kernel, case.options)


def _serves(case):
    bank = case.weights.ndim > 1 and case.kernel.channel_mode != "interpolated"
    return bank and 1 < np.prod(case.kernel.window) >= case.kernel.n_anchors


def _is_served(case):
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, dtype=case.x.dtype.name, **case.options).problem
    return PATHS["basis"].supports(problem.summed) is None


MANY_FILTERS = cases().filter(_serves).map(_with_more_filters).filter(_is_served)


@hypothesis.given(case=MANY_FILTERS)
def test_within_the_bound_on_any_problem(case):
    """C1: y and both gradients are within the rigorous bound of the reference, on any problem and data."""
    for quantity, actual in case.results(**OPTIONS).items():
        case.assert_matches(quantity, actual)


@hypothesis.given(
    case=MANY_FILTERS,
    where=hypothesis.strategies.sampled_from(["x", "weights", "grad_y"]),
    seed=hypothesis.strategies.integers(0, 999),
)
def test_non_finite_entries(case, where, seed, spoil):
    """C7: NaN and infinity in x, weights or grad_y reach what the reference's reach, and no more; the rest keeps C1."""
    case = spoil(case, where, seed)
    with np.errstate(invalid="ignore", over="ignore"):
        results = case.results(**OPTIONS)
        for quantity, actual in results.items():
            case.assert_matches(quantity, actual)


def test_an_empty_batch():
    """No samples give no outputs and a zero gradient by the weights."""
    results = _bank((0, 1, 20, 20), 8, _scattered((5, 5), 4)).results(**OPTIONS)
    assert results["y"].shape == (0, 8, 16, 16)
    np.testing.assert_array_equal(results["grad_weights"], 0)


def test_auto_takes_it_for_many_filters():
    """Scattered anchors and many more filters than anchors are planned by their basis; few filters are not."""
    kernel = _scattered((21, 21), 9)
    assert ik.plan((1, 1, 128, 128), (96, 1, 9), kernel).path == "basis"
    assert ik.plan((1, 1, 128, 128), (10, 1, 9), kernel).path != "basis"


THROUGH_CHANNELS = InterpolatedKernel([[0, 0, 0], [4, 4, 0]], (5, 5, 1), "dilated", channel_mode="interpolated")


@pytest.mark.parametrize(
    ("kernel", "filters", "match"),
    [
        (_scattered((5, 5), 4), 4, "more filters a group than anchors unlock it, and there are 4"),
        (InterpolatedKernel([[0, 0]], (1, 1), "dilated"), 4, "a window of one cell has nothing to share"),
        (
            InterpolatedKernel(np.random.default_rng(0).uniform(0, 4, (6, 4, 2)), (5, 5)),
            6,
            "shared positions unlock it",
        ),
        (THROUGH_CHANNELS, 6, "interpolated through channels"),
    ],
)
def test_refuses_what_gains_nothing(kernel, filters, match):
    """Too few filters, a window of one cell, positions of their own: refused with the reason."""
    lead = (filters, 1) if kernel.channel_mode == "separate" else (filters,)
    with pytest.raises(ValueError, match=match):
        ik.plan((1, 1, 20, 20), (*lead, kernel.n_anchors), kernel, path="basis")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shares_that_the_dtype_cannot_hold_are_declined(dtype):
    """A gaussian's tail of 1e-43 is subnormal in float32, where it would lose its digits; in float64 it is not."""
    kernel = ik.InterpolatedKernel([[0.0, 0.0]], (8, 1), "gaussian")
    rng = np.random.default_rng(0)
    weights = (1e12 * rng.standard_normal((2, 1, 1))).astype(dtype)
    x, grad_y = (rng.standard_normal(shape).astype(dtype) for shape in ((1, 1, 12, 3), (1, 2, 12, 3)))
    case = Case(x, weights, grad_y, kernel, {"padding": "same"})
    if dtype == "float32":
        with pytest.raises(ValueError, match="share of a cell is too small for float32"):
            case.results(path="basis")
        options = {}
    else:
        options = {"path": "basis"}
    for quantity, actual in case.results(**options).items():
        case.assert_matches(quantity, actual)
