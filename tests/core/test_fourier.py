import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.paths import PATHS
from interpolated_kernels.testing import reference, reference_backward
from interpolated_kernels.testing.norm_bounds import find_norm_bounds
from interpolated_kernels.testing.oracle import describe_problem
from interpolated_kernels.testing.strategies import Case, cases

DTYPE = pytest.mark.parametrize("dtype", ["float32", "float64"])
OPTIONS = {"path": "fourier", "accuracy": "normwise"}


def _normal(rng, shape):
    return rng.standard_normal(shape)


def _serves(case):
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **case.options).problem
    return PATHS["fourier"].supports(problem.summed) is None


def _bounds(case):
    """C3 for y, and its like for both gradients."""
    return find_norm_bounds(case.x, case.weights, case.grad_y, case.kernel, **case.options)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of at most 2000 cells, so that problems of a few thousand cells have several, and threads for any."""
    monkeypatch.setattr("interpolated_kernels.paths.fourier.tiles._MOST_CELLS", 2000)
    for least in ("_LEAST_CELLS_OF_THREADS", "_LEAST_CELLS_OF_TASK"):
        monkeypatch.setattr(f"interpolated_kernels.paths.fourier.tiles.{least}", 0)
    ik.clear_caches()
    yield
    ik.clear_caches()


def _enlarged(case):
    """Return the case with its data repeated over 1024 cells or more, since smaller samples are refused."""
    d = case.kernel.n_dims
    more = {1: 1024, 2: 32, 3: 10}[d]
    x = np.resize(case.x, (*case.x.shape[:-d], *(size + more for size in case.x.shape[-d:])))
    grad_y = np.resize(case.grad_y, ik.plan(x.shape, case.weights.shape, case.kernel, **case.options).problem.y_shape)
    y_shape = np.shape(case.replace(x=x).conv())
    return case.replace(x=x, grad_y=grad_y.reshape(y_shape))


def _expected(case):
    precise = np.longdouble if case.x.dtype == np.float64 else np.float64
    with np.errstate(invalid="ignore"):
        grads = reference_backward(case.grad_y, case.x, case.weights, case.kernel, dtype=precise, **case.options)
        y = reference(case.x, case.weights, case.kernel, dtype=precise, **case.options)
    return {"y": y, "grad_x": grads.x, "grad_weights": grads.weights}


def assert_within_norms(case, results):
    """Raise unless every result is within C3 of the reference; return the worst ratio."""
    expected, bounds, worst = _expected(case), _bounds(case), 0.0
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    shapes = {"y": problem.y_shape, "grad_x": problem.x_shape, "grad_weights": problem.weights_shape}
    for quantity, actual in results.items():
        assert actual.shape == expected[quantity].shape
        difference = np.abs(actual - expected[quantity]).reshape(shapes[quantity])
        bound = np.broadcast_to(bounds[quantity], shapes[quantity])
        assert (difference <= bound).all(), f"{quantity}: {np.max(difference / bound):.3g} times C3 for {case}"
        worst = max(worst, float(np.max(difference / bound, initial=0.0)))
    return worst


@hypothesis.given(case=cases().map(_enlarged))
def test_within_the_norms(case):
    """C3: y and both gradients are within 0.5 u log2(N) of the norms' product, on any problem and data."""
    hypothesis.assume(_serves(case))
    hypothesis.target(assert_within_norms(case, case.results(**OPTIONS)))


def _bank(x_shape, filters, kernel, dtype="float32", scale=1.0, **options):
    rng = np.random.default_rng(7)
    channels = x_shape[1] // options.get("groups", 1)
    lead = (filters, channels) if kernel.channel_mode == "separate" else (filters,)
    weights = rng.standard_normal((*lead, kernel.n_anchors)).astype(dtype)
    x = (scale * rng.standard_normal(x_shape)).astype(dtype)
    grad_y = rng.standard_normal(ik.plan(x.shape, weights.shape, kernel, **options).problem.y_shape).astype(dtype)
    return Case(x, weights, grad_y, kernel, options)


def _scattered(window, n=6, filters=(), **options):
    positions = np.random.default_rng(n).uniform(0, np.array(window) - 1, (*filters, n, len(window)))
    return InterpolatedKernel(positions, window, **options)


LARGER = {
    "line of many tiles": lambda **k: _bank((2, 3, 6000), 2, _scattered((70,)), padding="same", **k),
    "several tiles": lambda **k: _bank((1, 1, 100, 90), 2, _scattered((5, 6)), **k),
    "wide padding": lambda **k: _bank(
        (1, 2, 40, 90), 2, _scattered((7, 5)), padding=(6, 9), padding_mode="circular", **k
    ),
    "strided": lambda **k: _bank(
        (2, 2, 80, 85), 2, _scattered((5, 4)), stride=(2, 3), padding=((0, 2), (3, 1)), dilation=(2, 1),
        padding_mode="reflect", **k,
    ),
    "depthwise": lambda **k: _bank((2, 6, 60, 50), 6, _scattered((5, 5)), groups=6, padding="same", **k),
    "many channels": lambda **k: _bank((2, 12, 40, 40), 4, _scattered((5, 5)), groups=2, **k),
    "batch of one tile": lambda **k: _bank((70, 1, 32, 32), 2, _scattered((3, 3)), padding="same", **k),
    "tied": lambda **k: _bank((2, 4, 40, 40), 4, _scattered((5, 5), channel_mode="tied"), groups=2, **k),
    "own positions": lambda **k: _bank((1, 2, 40, 40), 3, _scattered((5, 5), filters=(3,)), **k),
    "through channels": lambda **k: _bank(
        (1, 3, 40, 40), 3, _scattered((5, 5, 3), channel_mode="interpolated"), **k
    ),
    "volume": lambda **k: _bank((1, 2, 14, 15, 20), 2, _scattered((3, 4, 2)), padding="same", **k),
}  # fmt: skip


@DTYPE
@pytest.mark.parametrize("name", sorted(LARGER))
def test_larger_problems(name, dtype, threads, small_tiles):
    """C3 at sizes of several tiles, blocks of filters and partial sums, on one thread and on two."""
    case = LARGER[name](dtype=dtype)
    for n_threads in (1, 2):
        threads(n_threads)
        results = case.results(**OPTIONS)
        assert {actual.dtype.name for actual in results.values()} == {dtype}
        assert_within_norms(case, results)


@pytest.mark.parametrize("name", sorted(LARGER))
def test_small_blocks(name, monkeypatch, small_tiles):
    """C3 where few kernels' spectra are held at once: filters and groups in blocks."""
    monkeypatch.setattr("interpolated_kernels.paths.fourier.tiles._BYTES_OF_KERNELS", 1)
    case = LARGER[name]()
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, **OPTIONS, **case.options).problem.summed
    path = PATHS["fourier"]
    plans = tuple(map(ik.planning.plan_engine, path.parts(problem)))
    prepared = path.prepare(problem, plans)
    assert len(prepared.tiled.tiles.blocks) == problem.filters
    x = case.x
    if problem.channels != x.shape[1]:
        x = x.reshape(len(x), problem.channels, -1, *x.shape[2:]).sum(axis=2)
    bank = case.weights.reshape(problem.filters, -1, case.kernel.n_anchors)
    filling = find_filling(case.kernel)
    dense, y, grad_x = (
        filling.apply(bank, problem.dtype),
        np.empty(problem.y_shape, x.dtype),
        np.empty(x.shape, x.dtype),
    )
    prepared.forward(x, dense, y)
    grad_dense = prepared.gradients(case.grad_y, x, dense, grad_x)
    results = {"y": y, "grad_x": np.repeat(grad_x, case.x.shape[1] // problem.channels, axis=1)}
    results["grad_weights"] = filling.transpose(grad_dense, problem.dtype).reshape(case.weights.shape)
    assert_within_norms(case, results)


@pytest.mark.parametrize("name", sorted(LARGER))
def test_gradients_apart_and_together(name, small_tiles):
    """Each gradient has the same bits asked for alone and with the other, and when computed again."""
    case = LARGER[name]()
    together = case.conv_backward(**OPTIONS)
    for wrt in ("x", "weights", "x"):
        grads = ik.conv_backward(case.grad_y, case.x, case.weights, case.kernel, wrt=(wrt,), **OPTIONS, **case.options)
        np.testing.assert_array_equal(getattr(grads, wrt), together[f"grad_{wrt}"])


def _assert_same_finite(case, results):
    """C7: the same entries are finite; in weights' gradients a filter may be spoiled whole, and the rest keeps C3."""
    for quantity, actual in results.items():
        finite, expected = np.isfinite(actual), np.isfinite(_expected(case)[quantity])
        if quantity == "grad_weights":
            assert not (finite & ~expected).any()
            spoiled = _spoiled(case).reshape(-1, *(1,) * (actual.ndim - 1))
            assert (finite | ~expected | spoiled).all()
        else:
            np.testing.assert_array_equal(finite, expected, err_msg=quantity)


def _spoiled(case):
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    axes = (0, *range(2, 2 + len(problem.spatial)))
    by_filter = ~np.isfinite(case.grad_y.reshape(problem.y_shape)).all(axis=axes)
    by_channel = ~np.isfinite(case.x.reshape(problem.x_shape)).all(axis=axes)
    by_group = by_channel.reshape(problem.groups, -1).any(axis=1)
    return by_filter | np.repeat(by_group, problem.filters_per_group)


@hypothesis.given(
    case=cases(data=_normal).map(_enlarged),
    where=hypothesis.strategies.sampled_from(["x", "weights", "grad_y"]),
    seed=hypothesis.strategies.integers(0, 999),
)
def test_non_finite_entries(case, where, seed, spoil):
    """C7: NaN and infinity in x, weights or grad_y reach what the reference's reach, and no more."""
    hypothesis.assume(_serves(case))
    case = spoil(case, where, seed)
    with np.errstate(invalid="ignore"):
        _assert_same_finite(case, case.results(**OPTIONS))


@DTYPE
@pytest.mark.parametrize("where", ["x", "weights", "grad_y"])
@pytest.mark.parametrize("name", sorted(LARGER))
def test_one_non_finite_entry_in_a_larger_problem(name, where, dtype, small_tiles):
    """C7 over several tiles: one NaN spoils what it reaches, and finite results stay within the norms of the rest."""
    case = LARGER[name](dtype=dtype)
    array = getattr(case, where).copy()
    array.flat[array.size // 3] = np.nan
    planted = case.replace(**{where: array})
    results = planted.results(**OPTIONS)
    _assert_same_finite(planted, results)
    array[np.isnan(array)] = 0.0
    clean = case.replace(**{where: array})
    limits, without = _bounds(clean), _expected(clean)
    for quantity in {"x": ["y"], "weights": ["y", "grad_x"], "grad_y": ["grad_x"]}[where]:
        difference = np.abs(results[quantity] - without[quantity])
        assert (np.isnan(difference) | (difference <= limits[quantity])).all()


@pytest.mark.parametrize("scale", [1e34, 1e-38])
def test_magnitudes_near_the_end_of_the_range(scale):
    """C3 where a tile's spectrum would overflow, or holds subnormal numbers, though no output does."""
    case = _bank((1, 1, 120, 130), 2, _scattered((3, 3)), scale=scale)
    assert_within_norms(case, {"y": case.conv(**OPTIONS)})
    swapped = case.replace(x=(case.x / scale).astype(case.x.dtype), grad_y=(case.grad_y * scale).astype(case.x.dtype))
    assert_within_norms(swapped, swapped.conv_backward(**OPTIONS))


def test_equal_products_keep_their_digits():
    """C3 for a weights' gradient of a million equal products over many tiles: partial sums end in float64."""
    case = _bank((60, 1, 140, 130), 1, _scattered((2, 2), 3))
    case = case.replace(x=np.full_like(case.x, 0.1), grad_y=np.full_like(case.grad_y, 1 / 3))
    assert_within_norms(case, {"grad_weights": case.conv_backward(**OPTIONS)["grad_weights"]})


def test_an_empty_batch():
    """No samples give no outputs and a zero gradient by the weights."""
    case = _bank((0, 1, 40, 40), 2, _scattered((5, 5)))
    results = case.results(**OPTIONS)
    assert results["y"].shape == (0, 2, 36, 36)
    np.testing.assert_array_equal(results["grad_weights"], 0)


def test_componentwise_refuses():
    """Under `accuracy="componentwise"` the path is refused, and `print(plan)` says what unlocks it."""
    case = LARGER["several tiles"]()
    with pytest.raises(ValueError, match=r"bounded by norms: accuracy='normwise' unlocks it"):
        case.conv(path="fourier")
    assert "accuracy='normwise' unlocks it" in str(ik.plan(case.x.shape, case.weights.shape, case.kernel))


@pytest.mark.parametrize(("window", "size"), [(1, 200), (3, 12)])
def test_refuses_what_gains_nothing(window, size):
    """A window of one cell and a tiny sample are refused with the reason."""
    kernel = InterpolatedKernel([[0]], (window,), "dilated")
    with pytest.raises(ValueError, match=r"`path`='fourier' cannot serve this problem"):
        ik.conv(np.ones(size), np.ones(1), kernel, **OPTIONS)


def test_normwise_takes_it_where_it_is_cheapest():
    """Scattered anchors in a large window are planned by transforms, a small window is not."""
    assert ik.plan((1, 1, 512, 512), (8, 1, 20), _scattered((31, 31), 20), accuracy="normwise").path == "fourier"
    assert ik.plan((1, 1, 512, 512), (8, 1, 6), _scattered((3, 3)), accuracy="normwise").path != "fourier"
