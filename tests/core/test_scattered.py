"""Interpolators of scattered anchors against SciPy and their formulas."""

import warnings
from math import comb, prod

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.interpolation.base import squared_distances, window_cells
from interpolated_kernels.interpolation.factorisation import factorise
from interpolated_kernels.interpolation.rbf import FUNCTIONS

interpolate = pytest.importorskip("scipy.interpolate")

U = 2.0**-53
MOST_CELLS = {1: 12, 2: 8, 3: 5}


@st.composite
def _windows(draw):
    n_dims = draw(st.integers(1, 3))
    return tuple(draw(st.lists(st.integers(1, MOST_CELLS[n_dims]), min_size=n_dims, max_size=n_dims)))


def _random_positions(rng, window, n, on_lattice):
    """Distinct anchors in and around the window: anywhere, or on half cells, where distances tie."""
    if on_lattice:
        halves = np.stack(np.meshgrid(*[np.arange(-2, 2 * cells + 1) for cells in window], indexing="ij"), axis=-1)
        return rng.permutation(halves.reshape(-1, len(window)))[:n] / 2
    return rng.uniform(-1, window, (n, len(window)))


@st.composite
def _rbf_kernels(draw):
    """Kernels of all functions, every degree that SciPy takes without a warning up to 3, smoothed or not."""
    window = draw(_windows())
    function = draw(st.sampled_from(sorted(FUNCTIONS)))
    lowest = FUNCTIONS[function].min_degree
    degree = draw(st.sampled_from([None, -1, *range(max(lowest, 0), 4)]))
    needed = comb((max(lowest, 0) if degree is None else degree) + len(window), len(window))
    n = draw(st.integers(max(needed, 1), max(needed, 1) + 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = _random_positions(rng, window, n, draw(st.booleans()))
    smoothing = draw(st.sampled_from([0.0, 0.0, 1e-3, 0.1, 10.0]))
    try:
        kernel = ik.InterpolatedKernel(
            positions, window, ik.RBF(function, draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])), degree, smoothing)
        )
        assert kernel.matrix.shape == (prod(window), len(positions))
    except ik.AnchorError:
        hypothesis.reject()
    return kernel


def _kappa(kernel):
    return kernel.interpolator.system(kernel.positions).factors.condition


@hypothesis.settings(max_examples=200)
@hypothesis.given(_rbf_kernels(), st.integers(0, 999))
def test_rbf_is_scipys(kernel, seed):
    """RBF is SciPy's RBFInterpolator to max(1e-10, 100 kappa u) of the kernel's largest value."""
    weights = np.random.default_rng(seed).standard_normal(kernel.n_anchors)
    rbf = kernel.interpolator
    scipys = interpolate.RBFInterpolator(
        kernel.positions, weights, smoothing=rbf.smoothing, kernel=rbf.function, epsilon=rbf.shape, degree=rbf.degree
    )
    expected = scipys(window_cells(kernel.window))
    tolerance = max(1e-10, 100 * _kappa(kernel) * U) * max(np.abs(weights).max(), np.abs(expected).max())
    np.testing.assert_allclose(ik.densify(weights, kernel).ravel(), expected, rtol=0, atol=tolerance)


@hypothesis.given(st.integers(1, 12), st.integers(0, 999), st.floats(-8, 8), st.floats(0, 6))
def test_the_condition_is_numpys(n, seed, magnitude, spread):
    """The estimate is the 1-norm condition of the system with its rows and columns scaled, within a factor of 32."""
    rng = np.random.default_rng(seed)
    left = rng.standard_normal((n, n)) * np.logspace(0, spread, n)
    left = (left + left.T) * 10.0**magnitude
    right = rng.standard_normal((n, 3))
    factors = factorise(left)
    solution, condition = factors.solve(right), factors.condition
    scale = np.ones(n)
    for _ in range(20):
        scale /= np.sqrt(np.abs(left * scale[:, None] * scale).max(axis=1))
    expected = np.linalg.cond(left * scale[:, None] * scale, 1)
    assert expected / 32 <= condition <= 32 * expected
    exact = np.linalg.solve(left * scale[:, None] * scale, right * scale[:, None])
    np.testing.assert_allclose(
        solution / scale[:, None], exact, rtol=0, atol=32 * n * condition * U * np.abs(exact).max()
    )


def test_a_singular_system_has_no_condition():
    """A singular system, or one with infinity, has condition infinity and NaN for a solution."""
    for left in (np.ones((2, 2)), np.array([[np.inf, 0], [0, 1.0]])):
        factors = factorise(left)
        solution, condition = factors.solve(np.ones((2, 1))), factors.condition
        assert condition == np.inf
        assert np.isnan(solution).all()


@hypothesis.given(_rbf_kernels())
def test_rbf_keeps_polynomials_of_its_degree(kernel):
    """Weights of a polynomial of the degree give that polynomial, smoothed or not, to 16 kappa u."""
    degree = kernel.interpolator.polynomial_degree
    hypothesis.assume(degree >= 0)
    slope = np.array([0.5, -0.25, 0.125])[: len(kernel.window)]
    at_anchors = (kernel.positions @ slope + 1) ** degree
    at_cells = (window_cells(kernel.window) @ slope + 1) ** degree
    tolerance = 16 * _kappa(kernel) * U * np.abs(at_anchors).max() * max(1.0, np.abs(kernel.matrix).sum(axis=1).max())
    np.testing.assert_allclose(ik.densify(at_anchors, kernel).ravel(), at_cells, rtol=0, atol=tolerance)


@pytest.mark.parametrize("n_dims", [1, 2, 3])
@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_rbf_keeps_scipys_minimum_counts(function, n_dims):
    """One anchor fewer than SciPy takes raises at construction, and as many as it takes serve."""
    rbf = ik.RBF(function)
    needed = comb(rbf.polynomial_degree + n_dims, n_dims)
    positions = np.random.default_rng(0).uniform(0, 4, (needed, n_dims))
    interpolate.RBFInterpolator(positions, np.ones(needed), kernel=function, epsilon=1)
    assert np.isfinite(ik.InterpolatedKernel(positions, 4, rbf).matrix).all()
    if needed > 1:
        with pytest.raises(ValueError, match=f"At least {needed} data points"):
            interpolate.RBFInterpolator(positions[1:], np.ones(needed - 1), kernel=function, epsilon=1)
        with pytest.raises(ik.AnchorError, match=f"at least {needed} anchors"):
            ik.InterpolatedKernel(positions[1:], 4, rbf)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_rbf_warns_of_the_degrees_that_scipy_warns_of(function):
    """A degree of at least 0 below the function's own warns, as in SciPy; -1 and the others do not."""
    positions = np.random.default_rng(0).uniform(0, 4, (10, 2))
    for degree in range(-1, 4):
        with warnings.catch_warnings(record=True) as scipys:
            warnings.simplefilter("always")
            interpolate.RBFInterpolator(positions, np.ones(10), kernel=function, epsilon=1, degree=degree)
        with warnings.catch_warnings(record=True) as ours:
            warnings.simplefilter("always")
            ik.RBF(function, degree=degree)
        assert [entry.category for entry in ours] == [entry.category for entry in scipys]
        assert all(entry.filename == __file__ for entry in ours)


def test_rbf_raises_on_collinear_anchors():
    """A polynomial that the anchors do not determine raises at construction, with its rank; degree 0 serves."""
    line = [[0, 0], [1, 1], [2, 2], [3, 3]]
    with pytest.raises(ik.AnchorError, match=r"its 3 monomials have rank 2 at anchors 0, 1, 2, 3 .* lower `degree`"):
        ik.InterpolatedKernel(line, (4, 4), "rbf")
    assert np.isfinite(ik.InterpolatedKernel(line, (4, 4), ik.RBF("gaussian")).matrix).all()


def test_rbf_raises_on_ill_conditioned_anchors():
    """Gaussians far wider than their anchors are apart raise at first use, with the condition and the nearest pair."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((12, 12), 1)[::-1], (12, 12), ik.RBF("gaussian", shape=0.01))
    with pytest.raises(ik.AnchorError, match=r"condition \d.*; the nearest pair is anchors 0, 1\. .* raise `shape`"):
        _ = kernel.matrix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": "wavelet"}, "`function` must be one of linear, thin_plate_spline"),
        ({"shape": 0.0}, "`shape` must be finite and positive"),
        ({"shape": float("inf")}, "`shape` must be finite and positive"),
        ({"degree": -2}, "`degree` must be at least -1 and at most 100"),
        ({"degree": 10**6}, "`degree` must be at least -1 and at most 100"),
        ({"smoothing": -0.1}, "`smoothing` must be finite and at least 0"),
    ],
)
def test_rbf_options_out_of_range(options, message):
    """Each option names its range."""
    with pytest.raises(ValueError, match=message):
        ik.RBF(**options)


@st.composite
def _triangulated(draw, on_lattice):
    window = draw(_windows().filter(lambda window: len(window) > 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(len(window) + 1, 20))
    try:
        return ik.InterpolatedKernel(_random_positions(rng, window, n, on_lattice), window, "delaunay")
    except ik.AnchorError:
        hypothesis.reject()


def _assert_is_scipys(kernel, positions, weights):
    """Inside the hull LinearNDInterpolator, to the condition of the triangles; outside, one of the nearest weights."""
    cells = window_cells(kernel.window)
    expected = interpolate.LinearNDInterpolator(positions, weights)(cells)
    triangulation = interpolate.LinearNDInterpolator(positions, weights).tri
    corners = positions[triangulation.simplices]
    kappa = np.linalg.cond(corners[:, 1:] - corners[:, :1]).max()
    hypothesis.assume(kappa < 1e8)
    matrix, inside = kernel.matrix, ~np.isnan(expected)
    actual = ik.densify(weights, kernel.replace(positions=positions)).ravel()
    tolerance = 16 * kappa * U * np.abs(weights).max() * max(kernel.window)
    np.testing.assert_allclose(actual[inside], expected[inside], rtol=0, atol=tolerance)
    squared = squared_distances(cells, kernel.positions)
    chosen = matrix[~inside] != 0
    np.testing.assert_array_equal(chosen.sum(axis=1), np.ones(chosen.shape[0], dtype=int))
    nearest = np.isclose(squared, squared.min(axis=1, keepdims=True), rtol=1e-12, atol=0)
    assert nearest[~inside][chosen].all()


@hypothesis.given(_triangulated(on_lattice=False), st.integers(0, 999))
def test_delaunay_is_scipys(kernel, seed):
    """Anchors anywhere, listed in any order: one triangulation, and SciPy's values on it."""
    _assert_is_scipys(kernel, kernel.positions, np.random.default_rng(seed).standard_normal(kernel.n_anchors))


@hypothesis.given(_triangulated(on_lattice=True), st.integers(0, 999))
def test_delaunay_is_scipys_on_sorted_anchors(kernel, seed):
    """Where anchors on circles leave several triangulations, it is SciPy's for anchors listed in sorted order."""
    positions = kernel.positions[np.lexsort(kernel.positions.T[::-1])]
    _assert_is_scipys(kernel, positions, np.random.default_rng(seed).standard_normal(kernel.n_anchors))


@hypothesis.given(st.data())
def test_delaunay_does_not_depend_on_the_list(data):
    """Permuted anchors give the same kernel, bit for bit, ties or not."""
    kernel = data.draw(_triangulated(on_lattice=True))
    order = np.array(data.draw(st.permutations(range(kernel.n_anchors))))
    permuted = kernel.replace(positions=kernel.positions[order])
    np.testing.assert_array_equal(permuted.matrix, kernel.matrix[:, order])


@hypothesis.given(st.lists(st.floats(-3, 15), min_size=1, max_size=8, unique=True), st.integers(0, 999))
def test_delaunay_of_one_axis(coordinates, seed):
    """In 1-D it is linear between neighbours and constant beyond them, for one anchor and more: `numpy.interp`."""
    hypothesis.assume(np.diff(np.sort(coordinates), prepend=-9).min() > 1e-3)
    weights = np.random.default_rng(seed).standard_normal(len(coordinates))
    dense = ik.densify(weights, ik.InterpolatedKernel(np.array(coordinates)[:, None], 12, "delaunay"))
    order = np.argsort(coordinates)
    expected = np.interp(np.arange(12), np.array(coordinates)[order], weights[order])
    np.testing.assert_allclose(dense, expected, rtol=0, atol=1e5 * U)  # of gaps down to 1e-3 in coordinates up to 15


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([[1, 1]], r"3 anchors that are not on a line for `delaunay` in 2 dimensions, got anchor 0 on a point"),
        ([[0, 0], [2, 1]], r"3 anchors .* got anchors 0, 1 on a line\. Add one, move one off, or use `voronoi`"),
        ([[0, 0], [1, 1], [2, 2], [3, 3]], r"3 anchors .* got anchors 0, 1, 2, 3 on a line"),
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], r"4 anchors that are not on one plane .* got anchors 0, 1, 2"),
        ([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], r"4 anchors .* got anchors 0, 1, 2, 3 on one plane"),
    ],
)
def test_delaunay_raises_without_a_triangle(positions, message):
    """Too few anchors, and anchors on a line or plane, raise at construction, as SciPy does, and are named."""
    with pytest.raises(ik.AnchorError, match=message):
        ik.InterpolatedKernel(positions, 4, "delaunay")


def test_delaunay_raises_where_an_anchor_would_be_dropped():
    """Two anchors too close for their extent raise at first use and are named; SciPy drops one silently."""
    kernel = ik.InterpolatedKernel([[0, 0], [0, 4], [4, 0], [4, 4], [2, 2], [2, 2 + 1e-15]], (5, 5), "delaunay")
    with pytest.raises(ik.AnchorError, match=r"anchor [45] is too close to anchor [45]"):
        _ = kernel.matrix


@hypothesis.given(_windows(), st.integers(1, 12), st.booleans(), st.integers(0, 999))
def test_voronoi_is_scipys(window, n, on_lattice, seed):
    """NearestNDInterpolator's values, ties apart."""
    rng = np.random.default_rng(seed)
    positions = _random_positions(rng, window, n, on_lattice)
    weights, cells = rng.standard_normal(len(positions)), window_cells(window)
    dense = ik.densify(weights, ik.InterpolatedKernel(positions, window, "voronoi")).ravel()
    squared = np.sort(squared_distances(cells, positions), axis=1)
    clear = np.ones(len(cells), dtype=bool) if len(positions) == 1 else squared[:, 0] < squared[:, 1] * (1 - 16 * U)
    in_the_plane = [np.pad(points, ((0, 0), (0, 1))) for points in (positions, cells)]  # SciPy takes no single axis
    expected = interpolate.NearestNDInterpolator(in_the_plane[0], weights)(in_the_plane[1])
    np.testing.assert_array_equal(dense[clear], expected[clear])


def test_voronoi_ties_go_to_the_anchor_listed_first():
    """The cell halfway between two anchors takes the weight of the one listed first, wherever it stands."""
    for positions in ([[0, 0], [0, 2]], [[0, 2], [0, 0]]):
        kernel = ik.InterpolatedKernel(positions, (1, 3), "voronoi")
        assert ik.densify(np.array([5.0, 7.0]), kernel)[0, 1] == 5


@hypothesis.given(_windows(), st.integers(1, 10), st.floats(0.25, 8), st.booleans(), st.integers(0, 999))
def test_inverse_distance_is_shepards(window, n, power, on_lattice, seed):
    """`sum w r^-p / sum r^-p` off the anchors, an anchor's own weight at it, to the rounding of one power."""
    rng = np.random.default_rng(seed)
    positions = _random_positions(rng, window, n, on_lattice)
    matrix = ik.InterpolatedKernel(positions, window, ik.InverseDistance(power)).matrix
    for row, cell in zip(matrix, window_cells(window), strict=True):
        distances = np.linalg.norm((cell - positions).astype(np.longdouble), axis=1)
        at = distances == 0
        counts = at.astype(np.longdouble) if at.any() else (distances / distances.min()) ** -power
        np.testing.assert_allclose(row, (counts / counts.sum()).astype(float), rtol=0, atol=16 * (n + power) * U)


def test_inverse_distance_shares_between_coincident_anchors():
    """A cell at two anchors takes the mean of their weights; elsewhere the two count as two."""
    kernel = ik.InterpolatedKernel([[1], [1], [3]], 4, "inverse_distance")
    dense = ik.densify(np.array([2.0, 4.0, 9.0]), kernel)
    np.testing.assert_allclose(dense, [(2 + 4 + 1) / (2 + 1 / 9), 3, (2 + 4 + 9) / 3, 9], rtol=4 * U)


@pytest.mark.parametrize("power", [0.5, 2.0, 300.0])
def test_inverse_distance_stays_finite(power):
    """Anchors next to a cell, at enormous distances, and large powers neither overflow nor divide by zero."""
    positions = [[1e-170, 0], [1e200, 1e200], [-1e200, 3], [1.5, 1.5]]
    matrix = ik.InterpolatedKernel(positions, (3, 3), ik.InverseDistance(power)).matrix
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=8 * U)
    np.testing.assert_array_equal(matrix[0], [1, 0, 0, 0] if power > 1 else matrix[0])
    far = ik.InterpolatedKernel(positions[1:3], (2, 2), ik.InverseDistance(power)).matrix
    np.testing.assert_array_equal(far, np.full((4, 2), 0.5))


@pytest.mark.parametrize("power", [0.0, -1.0, float("inf"), float("nan")])
def test_inverse_distance_refuses_a_power(power):
    """The power is finite and positive."""
    with pytest.raises(ValueError, match="`power` must be finite and positive"):
        ik.InverseDistance(power)
