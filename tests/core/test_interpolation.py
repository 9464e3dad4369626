import re
from dataclasses import dataclass, fields
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.interpolation import INTERPOLATORS
from interpolated_kernels.interpolation.base import squared_distances, window_cells
from interpolated_kernels.interpolation.spline import SplineInterpolator
from interpolated_kernels.paths import PATHS
from interpolated_kernels.testing.strategies import Case, anchors, kernels, windows

U = 2.0**-53
DOCUMENT = Path(__file__).parents[2] / "docs" / "interpolators.md"


def _kappa(kernel):
    """The condition of what is solved: a spline's system; a tensor product's gaps between anchors; or nothing."""
    if isinstance(kernel.interpolator, SplineInterpolator):
        return kernel.interpolator.system(kernel.positions).factors.condition
    if isinstance(kernel.interpolator, ik.TensorProduct):
        gaps = [np.diff(np.unique(column)) for column in kernel.positions.T]
        return 4.0 * np.prod([gap.max() / gap.min() for gap in gaps if gap.size])
    return 1.0


def _tolerance(kernel):
    return 16 * _kappa(kernel) * U * max(1.0, np.abs(kernel.matrix).max())


def _has_ties(kernel):
    """Whether some cell is equally near to several anchors."""
    squared = squared_distances(window_cells(kernel.window), kernel.positions)
    return bool((np.sort(squared, axis=1)[:, :1] == np.sort(squared, axis=1)[:, 1:2]).any())


@hypothesis.settings(max_examples=150)
@hypothesis.given(kernels(), st.randoms(use_true_random=False))
@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
def test_permuted_anchors_give_the_same_kernel(kernel, random):
    """The order in which anchors are listed does not matter, to 16 kappa u; for voronoi, but in ties."""
    hypothesis.assume(not (isinstance(kernel.interpolator, ik.Voronoi) and _has_ties(kernel)))
    order = list(range(kernel.n_anchors))
    random.shuffle(order)
    widths = None if kernel.widths is None else kernel.widths[order]
    permuted = kernel.replace(positions=kernel.positions[order], widths=widths)
    np.testing.assert_allclose(permuted.matrix, kernel.matrix[:, order], rtol=0, atol=_tolerance(kernel))


@hypothesis.settings(max_examples=200)
@hypothesis.given(kernels())
def test_what_a_class_declares_holds(kernel):
    """`constants`: rows sum to one; `exact`: the row at an anchor on a whole cell is its unit vector; to 16 kappa u.

    Far from the anchors a row's entries are large and cancel, and so much larger are the errors of their sum.
    """
    matrix, interpolator = kernel.matrix, kernel.interpolator
    tolerance = _tolerance(kernel) * max(4, kernel.n_anchors)
    if interpolator.constants:
        sizes = np.maximum(1, np.abs(matrix).sum(axis=1))
        np.testing.assert_array_less(np.abs(matrix.sum(axis=1) - 1), tolerance * sizes)
    if interpolator.exact:
        cells, anchor = np.nonzero(squared_distances(window_cells(kernel.window), kernel.positions) == 0)
        np.testing.assert_allclose(matrix[cells], np.eye(kernel.n_anchors)[anchor], rtol=0, atol=tolerance)
    support = interpolator.support(kernel.positions, kernel.window, kernel.widths)
    if support is not None:
        np.testing.assert_array_equal(support.ravel() | ~matrix.any(axis=1), np.ones(len(matrix), dtype=bool))


@pytest.mark.parametrize("name", sorted(INTERPOLATORS))
@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
def test_coincident_anchors(name):
    """They raise and are named where `distinct` says so, and have finite kernels elsewhere."""
    positions, cls = np.array([[0, 0], [0, 2], [2, 0], [2, 2], [2, 0]], dtype=float), INTERPOLATORS[name]
    if cls.distinct or cls.needs_grid:
        with pytest.raises(ik.AnchorError, match=r"anchor 4 stands on anchor 2"):
            ik.InterpolatedKernel(positions, (3, 3), name)
    else:
        assert np.isfinite(ik.InterpolatedKernel(positions, (3, 3), name).matrix).all()


@pytest.mark.parametrize("name", sorted(INTERPOLATORS))
def test_a_gradient_that_is_declared_is_there(name):
    """`matrix_vjp` raises `NotImplementedError` for the classes that declare no derivative, and for those alone."""
    positions = np.array([[0, 0], [0, 2], [2, 0], [2, 2]], dtype=float)
    kernel = ik.InterpolatedKernel(positions, (3, 3), name)
    arguments = (np.ones((9, 4)), positions, (3, 3), kernel.widths)
    if kernel.interpolator.differentiable_by:
        grad_positions, grad_widths = kernel.interpolator.matrix_vjp(*arguments)
        assert grad_positions.shape == positions.shape
        if "widths" not in kernel.interpolator.differentiable_by:
            assert grad_widths is None
    else:
        with pytest.raises(NotImplementedError, match=f"{type(kernel.interpolator).__name__} must define `matrix_vjp"):
            kernel.interpolator.matrix_vjp(*arguments)


@hypothesis.given(kernels(names=["linear", "nearest"]))
def test_tensor_products_are_averages(kernel):
    """Every row of A has entries in [0, 1] that sum to 1, and at most 2^d of them (one for nearest)."""
    matrix = kernel.matrix
    assert (matrix >= 0).all()
    assert (matrix <= 1).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=16 * U)
    most = 1 if isinstance(kernel.interpolator, ik.Nearest) else 2**kernel.n_dims
    assert (np.count_nonzero(matrix, axis=1) <= most).all()


@hypothesis.given(kernels(names=["linear", "nearest", "dilated"]))
def test_tensor_products_are_exact_at_anchors(kernel):
    """The row of A at an anchor on a whole cell is the anchor's own unit vector, exactly."""
    for index, position in enumerate(kernel.positions):
        if (position == np.round(position)).all() and ((position >= 0) & (position < kernel.window)).all():
            row = kernel.matrix.reshape(*kernel.window, -1)[tuple(position.astype(int))]
            np.testing.assert_array_equal(row, np.eye(kernel.n_anchors)[index])


@hypothesis.given(st.data(), st.integers(1, 3), st.sampled_from(["linear", "nearest"]), st.integers(0, 99))
def test_tensor_products_are_scipys(data, n_dims, method, seed):
    """Linear and nearest are SciPy's RegularGridInterpolator at the cells clipped to the grid."""
    interpolate = pytest.importorskip("scipy.interpolate")
    window = data.draw(windows(n_dims))
    axes = [
        np.sort(data.draw(st.lists(st.integers(-2, 2 * n), min_size=2, max_size=4, unique=True))) / 2 for n in window
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, n_dims)
    weights = np.random.default_rng(seed).standard_normal(len(grid))
    order = data.draw(st.permutations(range(len(grid))))
    dense = ik.densify(weights[order], ik.InterpolatedKernel(grid[order], window, method))
    cells = np.clip(window_cells(window), [axis[0] for axis in axes], [axis[-1] for axis in axes])
    scipys = interpolate.RegularGridInterpolator(axes, weights.reshape([len(axis) for axis in axes]), method=method)
    np.testing.assert_allclose(dense.ravel(), scipys(cells), rtol=0, atol=16 * U * np.abs(weights).max())


def test_linear_by_hand():
    """Anchors off the cells and short of the edges: linear between them, constant beyond."""
    kernel = ik.InterpolatedKernel([[3.5], [1.5]], 6, "linear")
    np.testing.assert_array_equal(ik.densify(np.array([4.0, 0.0]), kernel), [0, 0, 1, 3, 4, 4])


def test_nearest_ties_go_to_the_lower_index():
    """The cell halfway between two anchors takes the lower coordinate's weight, in whatever order they are listed."""
    for positions, weights in (([[0], [2]], [5.0, 7.0]), ([[2], [0]], [7.0, 5.0])):
        dense = ik.densify(np.array(weights), ik.InterpolatedKernel(positions, 3, "nearest"))
        np.testing.assert_array_equal(dense, [5, 5, 7])


@hypothesis.given(st.data(), st.integers(1, 3))
def test_dilated_is_the_anchors_alone(data, n_dims):
    """Zeros everywhere but at the anchors' cells."""
    window = data.draw(windows(n_dims))
    n = data.draw(st.integers(1, min(5, int(np.prod(window)))))
    positions = data.draw(anchors(ik.Dilated(), window, n))
    expected = np.zeros(window)
    expected[tuple(positions.astype(int).T)] = np.arange(1.0, n + 1)
    np.testing.assert_array_equal(
        ik.densify(np.arange(1.0, n + 1), ik.InterpolatedKernel(positions, window, "dilated")), expected
    )


def test_table_of_names():
    """Every name in the table makes its class with the defaults."""
    for name, cls in INTERPOLATORS.items():
        assert ik.InterpolatedKernel([[0], [2]], 3, name).interpolator == cls()
    kernel = ik.InterpolatedKernel([[0], [2]], 3, "polyharmonic")
    assert kernel.interpolator == ik.Polyharmonic(order=1, smoothing=0, degree=1)
    assert ik.InterpolatedKernel([[0], [2]], 3).interpolator == ik.Polyharmonic()


@dataclass(frozen=True)
class _Mean(ik.Interpolator):
    """A user's own: every cell is the mean of the weights, times a factor."""

    factor: float = 1.0

    def matrix(self, positions, window, widths):
        return np.full((int(np.prod(window)), len(positions)), self.factor / len(positions))


@dataclass(frozen=True)
class _Steps(ik.TensorProduct):
    """A user's own tensor product."""

    def axis_matrix(self, coordinates, n_cells, axis):
        return (np.arange(n_cells)[:, None] >= coordinates).astype(float)


@pytest.fixture
def table():
    """The table of interpolators, put back as it was in the end."""
    before = dict(INTERPOLATORS)
    yield INTERPOLATORS
    INTERPOLATORS.clear()
    INTERPOLATORS.update(before)


@pytest.mark.usefixtures("table")
def test_a_users_own_interpolator():
    """A frozen dataclass of one method serves densify and conv at once; registered, also names and documents."""
    kernel = ik.InterpolatedKernel([[0, 0], [5, 1]], (2, 2), _Mean(2.0))
    np.testing.assert_array_equal(ik.densify(np.array([1.0, 3.0]), kernel), np.full((2, 2), 4.0))
    np.testing.assert_array_equal(ik.conv(np.ones((3, 3)), np.array([1.0, 3.0]), kernel), np.full((2, 2), 16.0))
    with pytest.raises(ValueError, match=r"call `interpolated_kernels\.register"):
        kernel.to_dict()
    ik.register("mean", _Mean)
    ik.register("mean", _Mean)
    assert "mean" in ik.interpolators()
    assert ik.InterpolatedKernel.from_dict(kernel.to_dict()) == kernel
    steps = ik.InterpolatedKernel([[0, 0], [0, 1], [2, 0], [2, 1]], (3, 2), _Steps())
    np.testing.assert_array_equal(ik.densify(np.arange(1.0, 5.0), steps), [[1, 3], [1, 3], [4, 10]])


@pytest.mark.usefixtures("table")
def test_register_refuses():
    """Only subclasses of Interpolator are registered, and a taken name stays."""
    with pytest.raises(TypeError, match="`cls` must be a subclass"):
        ik.register("mine", dict)
    with pytest.raises(TypeError, match="`cls` must be a subclass"):
        ik.register("mine", ik.Linear())
    with pytest.raises(ValueError, match="'linear' is taken by Linear"):
        ik.register("linear", _Mean)


def test_an_interpolator_must_say_how():
    """A subclass without `matrix` or `axis_matrix` raises at first use and names the method."""
    with pytest.raises(NotImplementedError, match="must define `matrix"):
        ik.densify(np.ones(1), ik.InterpolatedKernel([[0]], 1, ik.Interpolator()))
    with pytest.raises(NotImplementedError, match="must define `axis_matrix"):
        ik.densify(np.ones(1), ik.InterpolatedKernel([[0]], 1, ik.TensorProduct()))


def _documented():
    """The classes that the document defines, by running its programs."""
    names = {}
    for program in re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), flags=re.MULTILINE | re.DOTALL):
        exec(program, names)  # the document's reader would
    return names


def _normwise_limits(case):
    """C3 with the norms of the whole problem, which every path keeps."""
    dense = np.linalg.norm(ik.densify(case.weights, case.kernel))
    x, grad_y = np.linalg.norm(case.x), np.linalg.norm(case.grad_y)
    unit = 0.5 * U * np.log2(case.x[0, 0].size)
    columns = np.abs(case.kernel.matrix).sum(axis=0).max()
    return {"y": unit * x * dense, "grad_x": unit * grad_y * dense, "grad_weights": unit * x * grad_y * columns}


@pytest.mark.parametrize("path", sorted(PATHS))
@pytest.mark.parametrize("name", ["NadarayaWatson", "Cosine"])
def test_the_documented_interpolators_run_on_every_path(name, path):
    """The ten-line classes of docs/interpolators.md give the reference's y and gradients on every path they allow."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 7), 2), (5, 7), _documented()[name]())
    rng = np.random.default_rng(0)
    shapes = (1, 3, 36, 37), (15, 3, 12), (1, 15, 32, 31)
    case = Case(*(rng.standard_normal(shape) for shape in shapes), kernel, {})
    refusal = PATHS[path].supports(ik.plan(*shapes[:2], kernel).problem)
    if path == "lattice" and name == "NadarayaWatson":
        assert "not a tensor product" in refusal
        return
    assert refusal is None
    limits = _normwise_limits(case)
    for quantity, actual in case.results(path=path, accuracy=PATHS[path].ACCURACY).items():
        if PATHS[path].ACCURACY == "componentwise":
            case.assert_matches(quantity, actual)
        else:
            expected = case.results(path="reference")[quantity]
            np.testing.assert_allclose(actual, expected, rtol=0, atol=limits[quantity])


def test_the_document_names_every_interpolator():
    """The table of docs/interpolators.md has a row for every name, in code type."""
    rows = re.findall(r"^\| `(\w+)", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert set(INTERPOLATORS) <= set(rows)


@dataclass(frozen=True)
class _Scaled(ik.Nearest):
    factor: float = 1.0

    @property
    def constants(self):
        return self.factor == 1


@pytest.mark.parametrize(
    ("interpolator", "exact", "constants", "differentiable_by"),
    [
        (ik.Polyharmonic(), True, True, ("positions",)),
        (ik.Polyharmonic(1, 0.5), False, True, ("positions",)),
        (ik.Polyharmonic(degree=-1), True, False, ("positions",)),
        (ik.RBF(smoothing=1.0), False, True, ("positions",)),
        (ik.RBF("gaussian", degree=-1), True, False, ("positions",)),
        (ik.Symmetric(ik.Linear()), True, True, ()),
        (ik.Symmetric(ik.Gaussian()), False, False, ("positions",)),
        (_Scaled(1.0), True, True, ()),
        (_Scaled(2.0), True, False, ()),
    ],
    ids=repr,
)
def test_facts_follow_from_the_options(interpolator, exact, constants, differentiable_by):
    """What an interpolator says of itself depends on its fields, and on nothing that an instance stores beside them."""
    assert (interpolator.exact, interpolator.constants) == (exact, constants)
    assert interpolator.differentiable_by == differentiable_by
    assert set(vars(interpolator)) == {field.name for field in fields(interpolator)}
