"""Interpolators that fill a window axis by axis: against SciPy, their formulas and their promises."""

import itertools
from dataclasses import dataclass
from math import prod

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik

interpolate = pytest.importorskip("scipy.interpolate")

U = 2.0**-53
MOST_CELLS = {1: 20, 2: 9, 3: 5}
NAMES = pytest.mark.parametrize("name", ["bspline", "cubic", "keys"])


@st.composite
def _axes(draw, uniform=False, fewest=1):
    """A window of 1 to 3 axes, and on each some sorted coordinates on quarter cells, partly outside."""
    n_dims = draw(st.integers(1, 3))
    window = tuple(draw(st.lists(st.integers(1, MOST_CELLS[n_dims]), min_size=n_dims, max_size=n_dims)))
    axes = []
    for cells in window:
        count, quarters = draw(st.integers(fewest, 6)), st.integers(-12, 4 * cells + 8)
        if uniform:
            axes.append((draw(quarters) + draw(st.integers(1, 24)) * np.arange(count)) / 4)
        else:
            axes.append(np.sort(draw(st.lists(quarters, min_size=count, max_size=count, unique=True))) / 4)
    return window, axes


def _kernel(window, axes, interpolator, random=None):
    """The kernel on a grid of these coordinates, and the order in which its anchors are listed."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(window))
    order = list(range(len(grid)))
    if random is not None:
        random.shuffle(order)
    return ik.InterpolatedKernel(grid[order], window, interpolator), order


def _assert_fills(window, axes, interpolator, random, fill, slack=1.0):
    """The kernel of random weights is `fill(coordinates, values, cells)` axis after axis, cells clipped to the grid.

    To 64 roundings, and `slack` of them, of what the sums hold: each axis's local basis and transform over absolute
    values.
    """
    kernel, order = _kernel(window, axes, interpolator, random)
    weights = np.random.default_rng(random.randint(0, 999)).standard_normal([len(axis) for axis in axes])
    expected, size = weights, np.abs(weights).max()
    for index, (coordinates, factor) in enumerate(zip(axes, kernel.factors().axes, strict=True)):
        cells = np.clip(np.arange(float(window[index])), coordinates[0], coordinates[-1])
        expected = np.moveaxis(fill(coordinates, np.moveaxis(expected, index, 0), cells), 0, index)
        basis = factor.basis
        sizes = np.abs(factor.matrix) if basis is None else np.abs(basis.matrix) @ np.abs(basis.transform)
        size *= sizes.sum(axis=1).max()
    dense = ik.densify(weights.ravel()[order], kernel)
    np.testing.assert_allclose(dense, expected, rtol=0, atol=64 * U * slack * size)


def _scipys_spline(coordinates, values, cells):
    if len(coordinates) == 1:
        return np.repeat(values, len(cells), axis=0)
    return interpolate.CubicSpline(coordinates, values, bc_type="natural")(cells)


@hypothesis.settings(max_examples=100)
@hypothesis.given(_axes(), st.randoms(use_true_random=False))
def test_cubic_is_scipys(drawn, random):
    """Cubic is SciPy's natural CubicSpline along each axis, on any grid, with one anchor on an axis and with many.

    SciPy solves for slopes, whose terms `slope * gap` outgrow the values' by the ratio of neighbouring gaps.
    """
    _, axes = drawn
    gaps = [np.diff(axis) for axis in axes if len(axis) > 1]
    _assert_fills(*drawn, "cubic", random, _scipys_spline, slack=prod(gap.max() / gap.min() for gap in gaps))


def _scipys_bspline(degree):
    def fill(coordinates, values, cells):
        if len(coordinates) == 1:
            return np.repeat(values, len(cells), axis=0)
        spacing, n_outer = coordinates[1] - coordinates[0], degree + 1
        repeated = np.pad(values, [(n_outer, n_outer)] + [(0, 0)] * (values.ndim - 1), mode="edge")
        knots = np.arange(len(repeated) + degree + 1) - n_outer - (degree + 1) / 2
        return interpolate.BSpline(coordinates[0] + spacing * knots, repeated, degree)(cells)

    return fill


@hypothesis.settings(max_examples=100)
@hypothesis.given(_axes(uniform=True), st.integers(0, 7), st.randoms(use_true_random=False))
def test_bspline_is_scipys(drawn, degree, random):
    """Bspline is SciPy's BSpline along each axis with its end coefficients repeated, for any degree and few anchors."""
    _assert_fills(*drawn, ik.BSpline(degree), random, _scipys_bspline(degree), slack=1 + degree)


def _keys(coordinates, values, cells):
    """Cubic convolution as the paper has it: each cell and neighbour by itself."""
    n = len(values)
    if n == 1:
        return np.repeat(values, len(cells), axis=0)
    before, after = (
        3 * v[0] - 3 * v[1] + v[2] if n > 2 else 2 * v[0] - v[1] for v in (values, values[::-1])
    )  # fmt: skip
    extended = np.stack([before, *values, after])
    filled = np.zeros((len(cells), *values.shape[1:]))
    for cell, neighbour in itertools.product(range(len(cells)), range(n + 2)):
        t = abs((cells[cell] - coordinates[0]) / (coordinates[1] - coordinates[0]) - (neighbour - 1))
        if t < 1:
            share = 1.5 * t**3 - 2.5 * t**2 + 1
        elif t < 2:
            share = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        else:
            share = 0.0
        filled[cell] += share * extended[neighbour]
    return filled


@hypothesis.settings(max_examples=100)
@hypothesis.given(_axes(uniform=True), st.randoms(use_true_random=False))
def test_keys_is_the_papers_formula(drawn, random):
    """Keys is `sum u(t) c` over four neighbours along each axis, a missing one being 3c0 - 3c1 + c2 (2c0 - c1 of two).

    The formula's terms reach 8, and the rule's 7 times the weights.
    """
    _assert_fills(*drawn, "keys", random, _keys, slack=7.0 ** len(drawn[0]))


def _assert_reproduces(window, axes, interpolator, polynomial):
    """Weights from a polynomial of the positions give it at the cells, clipped to the grid."""
    kernel, _ = _kernel(window, axes, interpolator)
    cells = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij"), axis=-1).astype(float)
    clipped = np.clip(cells, [axis[0] for axis in axes], [axis[-1] for axis in axes])
    weights, expected = polynomial(kernel.positions), polynomial(clipped)
    size = np.abs(kernel.matrix).sum(axis=1).max() * np.abs(weights).max()
    gaps = [np.diff(axis) for axis in axes if len(axis) > 1]
    slack = prod(gap.max() / gap.min() for gap in gaps)
    np.testing.assert_allclose(ik.densify(weights, kernel), expected, rtol=0, atol=64 * U * slack * size)


@hypothesis.given(_axes(fewest=2), st.integers(0, 999))
def test_cubic_reproduces_what_is_linear_along_each_axis(drawn, seed):
    """A product of lines, which has planes and constants among it, comes back at every cell."""
    slopes = np.random.default_rng(seed).uniform(-1, 1, (2, len(drawn[0])))
    _assert_reproduces(*drawn, "cubic", lambda p: np.prod(slopes[0] * p + slopes[1], axis=-1))


@hypothesis.given(_axes(uniform=True, fewest=3), st.integers(0, 999))
def test_keys_reproduces_parabolas(drawn, seed):
    """A product of parabolas comes back at every cell, edges included."""
    shape = np.random.default_rng(seed).uniform(-1, 1, (3, len(drawn[0])))
    _assert_reproduces(*drawn, "keys", lambda p: np.prod(shape[0] * p**2 + shape[1] * p + shape[2], axis=-1))


@hypothesis.given(_axes(uniform=True), st.integers(0, 5))
def test_bspline_is_an_average(drawn, degree):
    """Every row of A is positive and sums to one: the kernel lies between its smallest and largest weight."""
    matrix = _kernel(*drawn, ik.BSpline(degree))[0].matrix
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=16 * (degree + 1) * U)


@hypothesis.given(_axes(uniform=True))
def test_bsplines_of_low_degree_are_linear_and_nearest(drawn):
    """Degree 1 is linear; degree 0 is nearest, but that a tie goes to the higher coordinate."""
    window, axes = drawn
    linear = _kernel(window, axes, "linear")[0].matrix
    np.testing.assert_allclose(_kernel(window, axes, ik.BSpline(1))[0].matrix, linear, rtol=0, atol=8 * U)
    mirrored = [cells - 1 - axis[::-1] for cells, axis in zip(window, axes, strict=True)]
    nearest = _kernel(window, mirrored, "nearest")[0].matrix
    np.testing.assert_array_equal(_kernel(window, axes, ik.BSpline(0))[0].matrix, nearest[::-1, ::-1])


@pytest.mark.parametrize("name", ["cubic", "keys"])
@pytest.mark.parametrize("spacing", [1, 2, 3, 5, 0.5])
def test_anchors_on_cells_are_exact(name, spacing):
    """At a cell that an anchor stands on, its own entry is 1 and all others are 0, exactly: nothing cancels there."""
    positions = ik.grid_positions((16, 7), spacing)
    kernel = ik.InterpolatedKernel(positions, (16, 7), name)
    for index in np.flatnonzero((positions % 1 == 0).all(axis=1)):
        row = kernel.matrix.reshape(16, 7, -1)[tuple(positions[index].astype(int))]
        np.testing.assert_array_equal(row, np.eye(kernel.n_anchors)[index])


@NAMES
def test_few_anchors(name):
    """One anchor gives a constant; two a straight line, for B-splines a smooth step; three what their formulas say."""
    two = [8, 24, 40] if name == "bspline" else [0, 24, 48]
    three = {"bspline": [8, 23, 32, 23, 8], "cubic": [0, 33, 48, 33, 0], "keys": [0, 36, 48, 36, 0]}[name]
    for weights, positions, expected in (
        ([3.0], [[1]], [3, 3, 3, 3]),
        ([0.0, 48.0], [[0], [2]], two),
        ([0.0, 48.0, 0.0], [[0], [2], [4]], three),
    ):
        dense = ik.densify(np.array(weights), ik.InterpolatedKernel(positions, len(expected), name))
        np.testing.assert_allclose(dense, expected, rtol=0, atol=16 * U * max(weights))


@pytest.mark.parametrize("name", ["bspline", "keys"])
def test_uneven_grids_are_refused(name):
    """A gap that differs raises and names its axis; coordinates that were float32 are even enough."""
    uneven = np.stack(np.meshgrid([0, 2, 4], [0, 2, 5], indexing="ij"), axis=-1).reshape(-1, 2)
    with pytest.raises(ik.AnchorError, match=r"evenly spaced .* on axis 1 neighbours are 2 to 3 cells apart.*'cubic'"):
        ik.InterpolatedKernel(uneven, (5, 6), name)
    with pytest.raises(ik.AnchorError, match=r"evenly spaced .* \(in position set 1\)"):
        ik.InterpolatedKernel(np.array([[[0.0], [2.0], [4.0]], [[0.0], [2.0], [5.0]]]), 6, name)
    rounded = ik.grid_positions((31, 31), counts=8).astype(np.float32)
    assert np.isfinite(ik.InterpolatedKernel(rounded, (31, 31), name).matrix).all()


@NAMES
def test_grids_are_full(name):
    """A grid with a hole, and anchors that coincide, raise."""
    with pytest.raises(ik.AnchorError, match="full rectilinear grid"):
        ik.InterpolatedKernel([[0, 0], [0, 2], [2, 0]], (3, 3), name)
    with pytest.raises(ik.AnchorError, match="anchor 1 stands on anchor 0"):
        ik.InterpolatedKernel([[0], [0]], 3, name)


def test_degrees_are_counts():
    """A B-spline's degree is an int from 0."""
    with pytest.raises(ValueError, match="`degree` must be at least 0 and at most 100, got -1"):
        ik.BSpline(-1)
    for wrong in (1.0, True, "3", None):
        with pytest.raises(TypeError, match="`degree` must be an int"):
            ik.BSpline(wrong)


@NAMES
@pytest.mark.parametrize("far", [1e6, 1e150, 1e300])
def test_anchors_far_away(name, far):
    """Anchors at huge coordinates overflow nothing: rows still sum to one."""
    matrix = ik.InterpolatedKernel([[-far], [0], [far]], 4, name).matrix
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=16 * U)


@hypothesis.given(_axes())
def test_local_bases_are_the_matrix(drawn):
    """Basis times transform is the axis's matrix, profiles at their shifts are the basis, and anchors' columns too."""
    for factor in _kernel(*drawn, "cubic")[0].factors().axes:
        for columns in (factor, factor.basis):
            if columns is None:
                continue
            rebuilt = np.zeros_like(columns.matrix)
            for node, (index, shift) in enumerate(zip(columns.classes, columns.shifts, strict=True)):
                profile = columns.profiles[index]
                rebuilt[shift : shift + len(profile), node] = profile
            np.testing.assert_allclose(rebuilt, columns.matrix, rtol=0, atol=2.0**-50)
        if factor.basis is not None:
            np.testing.assert_array_equal(factor.basis.matrix @ factor.basis.transform, factor.matrix)


def test_classes():
    """On a uniform grid cubic's basis has four classes, and its anchors' own columns have nothing in common.

    Of keys and bspline only the columns at the edges differ: their matrix is the better basis.
    """
    for name, classes, basis_classes in (("cubic", 9, 4), ("keys", 7, None), ("bspline", 5, None)):
        kernel = ik.InterpolatedKernel(ik.grid_positions((41,), 5), 41, name)
        basis = kernel.factors().axes[0].basis
        assert kernel.structure.classes == (classes,)
        assert (None if basis is None else len(basis.profiles)) == basis_classes


@dataclass(frozen=True)
class _Given(ik.TensorProduct):
    """A user's own that returns what it was given."""

    value: object

    def axis_matrix(self, coordinates, n_cells, axis):
        return self.value


@pytest.mark.parametrize(
    ("value", "shapes"),
    [
        (np.ones((3, 3)), r"\(3, 3\)"),
        (np.ones(3), r"\(3,\)"),
        ((np.ones((3, 4)), np.ones((3, 2))), r"\(3, 4\) and \(3, 2\)"),
        ((np.ones((4, 3)), np.ones((3, 2))), r"\(4, 3\) and \(3, 2\)"),
        ((np.ones(3), np.ones(2)), r"\(3,\) and \(2,\)"),
        ((np.ones((3, 2)),) * 3, r"\(3, 2\) and \(3, 2\) and \(3, 2\)"),
    ],
)
def test_axis_matrices_are_checked(value, shapes):
    """A user's own that returns other shapes than cells x anchors, or a pair through m, is told so."""
    with pytest.raises(ValueError, match=rf"`axis_matrix` of _Given must return .* on axis 0; got {shapes}\."):
        ik.densify(np.ones(2), ik.InterpolatedKernel([[0], [2]], 3, _Given(value)))


@NAMES
def test_the_planner_takes_the_lattice(name):
    """With 7 x 7 anchors in 31 x 31 cells and 16 filters the lattice path is the cheapest by far."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), name)
    plan = ik.plan((1, 1, 1024, 1024), (16, 1, 49), kernel)
    direct = next(row.cost for row in plan.candidates if row.path == "direct")
    assert plan.path == "lattice"
    assert direct.seconds > 3 * plan.cost.seconds
