"""Local bases: what they cost in digits, when the lattice path takes them, and that it keeps its promises then."""

from dataclasses import dataclass
from math import prod

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.paths.lattice.nodes import choose_nodes, number_nodes, transform_weights, transpose_to_weights
from interpolated_kernels.structure import LocalBasis
from interpolated_kernels.testing import error_bound
from interpolated_kernels.testing.strategies import Case

interpolate = pytest.importorskip("scipy.interpolate")

U = 2.0**-53


def _regular(window, spacing, interpolator):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator)


@pytest.mark.parametrize("spacing", [2, 3, 4, 5, 7, 10, 30])
def test_cubics_basis_hardly_amplifies(spacing):
    """On a uniform grid errors weigh at most (1 + 2r) / (1 - 2r) < 3.4 times more, r = 2 - sqrt(3) of the moments."""
    basis = ik.InterpolatedKernel(ik.grid_positions((8 * spacing + 1,), spacing), 8 * spacing + 1, "cubic")
    basis = basis.factors().axes[0].basis
    ratio = 2 - np.sqrt(3)
    assert 1 < basis.amplification < (1 + 2 * ratio) / (1 - 2 * ratio)
    assert basis.keeps_the_bound


@pytest.mark.parametrize(
    ("gaps", "keeps"), [([3, 5, 3, 5, 3, 5], True), ([1, 2, 4, 8, 16], True), ([30, 1, 1, 1, 30], False)]
)
def test_uneven_gaps_cost_digits(gaps, keeps):
    """Where a long gap follows a short one the moments cancel more, and the lattice keeps to the anchors' columns."""
    coordinates = np.cumsum([0, *gaps])[:, None]
    kernel = ik.InterpolatedKernel(coordinates, int(coordinates[-1, 0]) + 1, "cubic")
    assert kernel.factors().axes[0].basis.keeps_the_bound == keeps
    problem = ik.plan((1, 1, 200), (1, 1, len(coordinates)), kernel, path="lattice").problem
    assert isinstance(choose_nodes(problem)[0], LocalBasis) == keeps


@dataclass(frozen=True)
class _BSplineBasis(ik.TensorProduct):
    """A user's own: the natural cubic spline as cubic B-splines, n + 2 an axis, and their coefficients."""

    def axis_matrix(self, coordinates, n_cells, axis):
        unit = np.eye(len(coordinates))
        spline = interpolate.make_interp_spline(coordinates, unit, k=3, bc_type="natural")
        cells = np.clip(np.arange(float(n_cells)), coordinates[0], coordinates[-1])
        return interpolate.BSpline.design_matrix(cells, spline.t, 3).toarray(), spline.c


def test_a_basis_that_cancels_is_refused():
    """B-splines cancel to 0 at the other anchors: the lattice keeps to the anchors' columns, and within the bound.

    One weight, one cell of x, at another anchor: the exact result is 0, and so must be the computed one.
    """
    positions = ik.grid_positions((31,), 5)
    kernel = ik.InterpolatedKernel(positions, 31, _BSplineBasis())
    basis = kernel.factors().axes[0].basis
    assert len(basis.classes) == len(positions) + 2
    assert basis.amplification > 1e9
    assert not basis.keeps_the_bound
    np.testing.assert_allclose(kernel.matrix, ik.InterpolatedKernel(positions, 31, "cubic").matrix, rtol=0, atol=64 * U)
    x, weights = np.eye(31, dtype=np.float32)[10], np.eye(7, dtype=np.float32)[0]
    assert abs(ik.conv(x, weights, kernel, path="lattice")[0]) < 2.0**-50
    assert ik.conv(x, weights, ik.InterpolatedKernel(positions, 31, "cubic"), path="lattice")[0] == 0


def _normal(rng, shape):
    return rng.standard_normal(shape)


def _uniform(rng, shape):
    return rng.uniform(0, 1, shape)


def _sparse(rng, shape):
    return rng.standard_normal(shape) * (rng.uniform(size=shape) < 0.1)


def _wide(rng, shape):
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-12, 12, shape)


DATA = {"normal": _normal, "uniform": _uniform, "sparse": _sparse, "wide": _wide}


def _case(kernel, out, filters, channels, dtype, make, seed=0, batch=1, **options):
    """A problem whose valid output, before padding, has the shape `out`."""
    rng = np.random.default_rng(seed)
    groups, dilation = options.get("groups", 1), options.get("dilation", 1)
    spatial = [(cells - 1) * dilation + n for cells, n in zip(kernel.spatial_window, out, strict=True)]
    lead = (filters, channels // groups) if kernel.channel_mode == "separate" else (filters,)
    x, weights = (batch, channels, *spatial), (*lead, kernel.n_anchors)
    y = ik.plan(x, weights, kernel, **options).problem.y_shape
    return Case(*(make(rng, shape).astype(dtype) for shape in (x, weights, y)), kernel, options)


def _nodes(case):
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, path="lattice", **case.options).problem
    return choose_nodes(problem.summed)


@st.composite
def _basis_cases(draw):
    """Problems whose kernel is cubic and has an axis with a local basis that the lattice path takes."""
    n_dims = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[n_dims]
    axes = []
    for axis in range(n_dims):
        count = draw(st.integers(4, most) if axis == 0 else st.integers(1, most))
        gaps = draw(st.lists(st.sampled_from([3, 5] if axis else [4, 5]), min_size=1, max_size=2))
        axes.append(draw(st.integers(-2, 1)) + np.cumsum([0, *(gaps * count)[: count - 1]]))
    window = tuple(max(1, int(axis[-1]) + draw(st.integers(0, 2))) for axis in axes)
    mode = draw(st.sampled_from(["separate", "separate", "tied", "interpolated"]))
    groups, channels, per_group = draw(st.sampled_from([(1, 1, 1), (1, 2, 2), (2, 1, 2), (1, 1, 5)]))
    if mode == "interpolated":
        axes, window = [*axes, np.arange(2)], (*window, channels)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(window))
    positions = grid[draw(st.permutations(range(len(grid))))]
    kernel = ik.InterpolatedKernel(positions, window, "cubic", channel_mode=mode)
    options = {
        "groups": groups,
        "stride": draw(st.integers(1, 3)),
        "dilation": draw(st.integers(1, 2)),
        "padding": draw(st.sampled_from(["valid", "same", 2])),
        "padding_mode": draw(st.sampled_from(["zeros", "replicate"])),
    }
    out = draw(st.lists(st.integers(1, {1: 40, 2: 8, 3: 3}[n_dims]), min_size=n_dims, max_size=n_dims))
    dtype, make = draw(st.sampled_from(["float32", "float64"])), draw(st.sampled_from(sorted(DATA)))
    seed = draw(st.integers(0, 2**32 - 1))
    case = _case(kernel, out, groups * per_group, groups * channels, dtype, DATA[make], seed, 2, **options)
    hypothesis.assume(any(isinstance(columns, LocalBasis) for columns in _nodes(case)))
    return case


@hypothesis.settings(max_examples=60)
@hypothesis.given(_basis_cases())
def test_bases_keep_the_bound(case):
    """C1: y and both gradients through a local basis are within the bound of the reference, on any problem and data."""
    worst = [case.assert_matches(quantity, actual) for quantity, actual in case.results(path="lattice").items()]
    hypothesis.target(max(worst))


@hypothesis.settings(max_examples=40)
@hypothesis.given(_basis_cases(), st.sampled_from(["x", "weights", "grad_y"]), st.integers(0, 999))
def test_non_finite_entries_through_bases(case, where, seed):
    """C7: NaN and infinity reach what the reference's reach, also through a dense transform."""
    rng, array = np.random.default_rng(seed), getattr(case, where).copy()
    array.flat[rng.integers(array.size, size=rng.integers(1, 3))] = rng.choice([np.nan, np.inf, -np.inf])
    case = case.replace(**{where: array})
    with np.errstate(invalid="ignore"):
        results = case.results(path="lattice")
    for quantity, actual in results.items():
        case.assert_matches(quantity, actual)


@hypothesis.given(_basis_cases(), st.integers(0, 999))
def test_the_weights_way_back_is_the_transpose(case, seed):
    """<node values of w, g> = <w, transpose of g>, to 64 roundings of the sum over absolute values."""
    problem = ik.plan(case.x.shape, case.weights.shape, case.kernel, path="lattice", **case.options).problem.summed
    rng = np.random.default_rng(seed)
    numbers = number_nodes(problem)
    bank = rng.standard_normal((problem.filters, case.weights.size // problem.filters // case.kernel.n_anchors, 1))
    bank = bank * rng.standard_normal(case.kernel.n_anchors)
    grad = rng.standard_normal(numbers.shape)
    values, back = transform_weights(problem, bank)[0][numbers], transpose_to_weights(problem, grad)
    size = np.abs(values * grad).sum() + np.abs(bank * back).sum()
    assert abs((values * grad).sum() - (bank * back).sum()) <= 64 * U * size


LARGER = {
    "cubic image of one filter": lambda **k: _case(_regular((31, 31), 5, "cubic"), (37, 45), 1, 1, **k),
    "cubic image of many filters": lambda **k: _case(_regular((21, 25), (5, 6), "cubic"), (17, 33), 40, 1, **k),
    "cubic line": lambda **k: _case(_regular((41,), 5, "cubic"), (700,), 5, 3, stride=2, **k),
    "cubic volume": lambda **k: _case(_regular((16, 16, 11), 5, "cubic"), (7, 9, 19), 2, 1, **k),
    "cubic, depthwise": lambda **k: _case(_regular((31, 26), 5, "cubic"), (20, 21), 4, 4, groups=4, padding=9, **k),
    "keys": lambda **k: _case(_regular((31, 19), (5, 3), "keys"), (20, 41), 5, 2, dilation=2, **k),
    "keys line": lambda **k: _case(_regular((25,), 3, "keys"), (500,), 1, 2, stride=3, **k),
    "bspline": lambda **k: _case(_regular((31, 19), (5, 3), "bspline"), (20, 41), 5, 2, padding=5, **k),
    "bspline volume": lambda **k: _case(_regular((9, 10, 11), 2, ik.BSpline(2)), (7, 9, 19), 2, 1, **k),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(LARGER))
def test_quality(name, dtype, threads):
    """C2 and C8: errors stay below 4 sqrt(n + 2) u S on normal and uniform data; bits are those of one thread."""
    for make in (_normal, _uniform):
        case = LARGER[name](dtype=dtype, make=make)
        threads(2)
        results = case.results(path="lattice")
        for quantity, actual in results.items():
            case.assert_matches(quantity, actual, quality=True)
        threads(1)
        for quantity, actual in case.results(path="lattice").items():
            np.testing.assert_array_equal(actual, results[quantity])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_single_weight_and_cell(dtype):
    """C1 where nothing averages: every weight with every cell of x alone, through a basis along both axes."""
    kernel = _regular((26, 21), 5, "cubic")
    case = _case(kernel, (26, 21), 1, 1, dtype, _normal)
    assert all(isinstance(columns, LocalBasis) for columns in _nodes(case))
    x = np.zeros((1, 1, 51, 41), dtype)
    x[0, 0, 25, 20] = 1 / 3  # y is then the dense kernel, turned
    for index in range(kernel.n_anchors):
        weights = np.zeros((1, 1, kernel.n_anchors), dtype)
        weights[..., index] = 1 / 7
        y = ik.conv(x, weights, kernel, path="lattice")
        bound = error_bound(x, weights, kernel, arithmetic=dtype).componentwise[0, 0]
        dense = ik.densify(weights.astype(np.longdouble).astype(float), kernel)[0, 0, ::-1, ::-1]
        assert (abs(y[0, 0] - dense * float(x.max())) <= bound + U * abs(dense)).all()


def test_the_more_filters_the_fewer_nodes():
    """Cubic takes its basis for few filters a group and its anchors for many; groups and samples change nothing."""
    kernel = _regular((31, 31), 5, "cubic")

    def count(x_shape, filters, **options):
        problem = ik.plan(x_shape, (filters, 1, 49), kernel, path="lattice", **options).problem
        return prod(len(columns.classes) for columns in choose_nodes(problem))

    counts = [count((1, 1, 64, 64), filters) for filters in (1, 8, 16, 32, 64, 128)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 144
    assert counts[-1] == 49
    assert count((3, 1, 64, 64), 1) == count((1, 256, 64, 64), 256, groups=256) == 144
