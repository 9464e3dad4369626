from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.testing.strategies import anchors, kernels, windows

U = 2.0**-53


def _oracle_cases():
    with np.load(Path(__file__).parent.parent / "oracles" / "polyharmonic.npz", allow_pickle=False) as archive:
        cases = {}
        for key in archive.files:
            name, field = key.split("/")
            cases.setdefault(name, {})[field] = archive[key]
    return cases


ORACLE = _oracle_cases()


@dataclass(frozen=True)
class _UpstreamSigned(ik.Polyharmonic):
    """Upstream's smoothing for orders 1, 4 and 5, whose sign is wrong there: our own options cannot express it."""

    def __post_init__(self):
        object.__setattr__(self, "smoothing", -self.smoothing)


def _upstream(order, smoothing_tfa):
    if smoothing_tfa > 0 and order in (1, 4, 5):
        return _UpstreamSigned(order, smoothing_tfa)
    return ik.Polyharmonic(order, smoothing_tfa)


@pytest.mark.parametrize("name", sorted(ORACLE))
def test_polyharmonic_is_upstreams(name):
    """Kernel and gradient by weights are tensorflow-addons' to 1e-9 relative, in float64."""
    case = ORACLE[name]
    interpolator = _upstream(int(case["order"]), float(case["smoothing_tfa"]))
    kernel = ik.InterpolatedKernel(case["positions"], tuple(case["size"].tolist()), interpolator)
    dense = ik.densify(case["weights"], kernel)
    assert dense.dtype == np.float64
    np.testing.assert_allclose(dense, case["kernel"], rtol=0, atol=1e-9 * np.abs(case["kernel"]).max())
    grad = ik.densify_backward(case["upstream"], case["weights"], kernel).weights
    np.testing.assert_allclose(grad, case["grad_weights"], rtol=0, atol=1e-9 * np.abs(case["grad_weights"]).max())


def _phi(order, distance):
    """The table of the design, with its floor."""
    squared = distance**2
    floored = np.maximum(squared, 1e-10)
    if order == 1:
        return np.sqrt(floored)
    if order == 2:
        return squared * np.log(floored) / 2
    if order == 4:
        return squared**2 * np.log(floored) / 2
    return floored ** (order / 2) * (np.log(floored) / 2 if order % 2 == 0 else 1)


def _system(kernel):
    """The bordered system (degree 1 or less, anchors that span all directions), and its condition when equilibrated."""
    positions, interpolator = kernel.positions, kernel.interpolator
    n, order = len(positions), interpolator.order
    sign = (-1) ** ((order + 1) // 2) if order % 2 else (-1) ** (order // 2 + 1)
    border = np.concatenate([positions - positions.mean(axis=0), np.ones((n, 1))], axis=1)
    border = border[:, positions.shape[1] - (interpolator.degree > 0) * positions.shape[1] :]
    k = border.shape[1]
    system = np.zeros((n + k, n + k))
    system[:n, :n] = _phi(order, np.linalg.norm(positions[:, None] - positions[None], axis=-1))
    system[:n, :n] += interpolator.smoothing * sign * np.eye(n)
    system[:n, n:], system[n:, :n] = border, border.T
    scale = np.ones(n + k)
    for _ in range(8):
        largest = np.abs(system * scale[:, None] * scale).max(axis=1)
        scale /= np.sqrt(np.where(largest > 0, largest, 1))
    return system, float(np.linalg.cond(system * scale[:, None] * scale, 1))


def _spans(positions):
    values = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
    return len(positions) > positions.shape[1] and values[-1] > 1e-6 * values[0]


def _cells(window):
    return np.stack(np.meshgrid(*map(np.arange, window), indexing="ij"), axis=-1).reshape(-1, len(window))


@hypothesis.given(kernels(names=["polyharmonic"]))
def test_polyharmonic_solves_its_equations(kernel):
    """A is the spline of every unit weight, as the defining system solved by NumPy gives it, to 16 kappa u."""
    hypothesis.assume(_spans(kernel.positions))
    system, kappa = _system(kernel)
    cells, positions = _cells(kernel.window), kernel.positions
    border = np.concatenate([cells - positions.mean(axis=0), np.ones((len(cells), 1))], axis=1)
    right = _phi(kernel.interpolator.order, np.linalg.norm(cells[:, None] - positions[None], axis=-1))
    right = np.concatenate([right, border[:, right.shape[1] + border.shape[1] - len(system) :]], axis=1)
    solution = np.linalg.solve(system, right.T).astype(np.longdouble)
    for _ in range(3):
        solution += np.linalg.solve(system, (right.T - system @ solution).astype(np.float64))
    expected = solution[: len(positions)].T.astype(np.float64)
    np.testing.assert_allclose(kernel.matrix, expected, rtol=0, atol=16 * kappa * U * np.abs(expected).max())


@hypothesis.given(kernels(names=["polyharmonic"]), st.integers(0, 99))
def test_polyharmonic_is_exact_at_anchors(kernel, seed):
    """Without smoothing the kernel equals the weight at every anchor on a whole cell, to 16 kappa u."""
    hypothesis.assume(kernel.interpolator.smoothing == 0 and _spans(kernel.positions))
    whole = (kernel.positions == np.round(kernel.positions)).all(axis=1)
    inside = ((kernel.positions >= 0) & (kernel.positions < kernel.window)).all(axis=1)
    chosen = np.flatnonzero(whole & inside)
    hypothesis.assume(chosen.size)
    weights = np.random.default_rng(seed).standard_normal(kernel.n_anchors)
    at_anchors = ik.densify(weights, kernel)[tuple(kernel.positions[chosen].astype(int).T)]
    tolerance = 16 * _system(kernel)[1] * U * np.abs(weights).max() * max(1.0, np.abs(kernel.matrix).max())
    np.testing.assert_allclose(at_anchors, weights[chosen], rtol=0, atol=tolerance)


@hypothesis.given(kernels(names=["polyharmonic"]))
def test_polyharmonic_reproduces_constants_and_planes(kernel):
    """Equal weights give a constant, weights on a plane that plane (degree 1), smoothed or not: to 16 kappa u."""
    hypothesis.assume(_spans(kernel.positions))
    tolerance = 16 * _system(kernel)[1] * U * max(1.0, np.abs(kernel.matrix).max()) * max(*kernel.window, 4)
    ones = ik.densify(np.ones(kernel.n_anchors), kernel)
    np.testing.assert_allclose(ones, np.ones(kernel.window), rtol=0, atol=tolerance)
    if kernel.interpolator.degree == 1:
        slope = np.array([1.0, -2.0, 0.5])[: kernel.n_dims]
        plane = ik.densify(kernel.positions @ slope + 3, kernel)
        expected = (_cells(kernel.window) @ slope + 3).reshape(kernel.window)
        np.testing.assert_allclose(plane, expected, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_smoothing_smooths(order):
    """More smoothing moves the kernel from its weights towards the least-squares polynomial, in the limit onto it."""
    degree = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}[order]
    rng = np.random.default_rng(order)
    positions = rng.permutation(np.stack(np.meshgrid(range(7), range(7)), axis=-1).reshape(-1, 2))[:20].astype(float)
    weights = rng.standard_normal(20)
    at = tuple(positions.astype(int).T)
    columns = [np.ones(20)]
    columns += list(positions.T) if degree > 0 else []
    columns += [positions[:, 0] ** 2, positions[:, 0] * positions[:, 1], positions[:, 1] ** 2] if degree > 1 else []
    fitted = np.stack(columns, axis=1) @ np.linalg.lstsq(np.stack(columns, axis=1), weights)[0]
    residuals, distances = [], []
    for smoothing in (0.0, 1e-2, 1.0, 1e2, 1e8):
        dense = ik.densify(weights, ik.InterpolatedKernel(positions, (7, 7), ik.Polyharmonic(order, smoothing, degree)))
        residuals.append(np.linalg.norm(dense[at] - weights))
        distances.append(np.linalg.norm(dense[at] - fitted))
    assert residuals == sorted(residuals)
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3 * distances[0]


@hypothesis.given(kernels(), st.randoms(use_true_random=False))
@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
def test_permuted_anchors_give_the_same_kernel(kernel, random):
    """The order in which anchors are listed does not matter, to 16 kappa u."""
    order = list(range(kernel.n_anchors))
    random.shuffle(order)
    permuted = kernel.replace(positions=kernel.positions[order])
    kappa = 1.0
    if isinstance(kernel.interpolator, ik.Polyharmonic):
        hypothesis.assume(_spans(kernel.positions))
        kappa = _system(kernel)[1]
    tolerance = 16 * kappa * U * max(1.0, np.abs(kernel.matrix).max())
    np.testing.assert_allclose(permuted.matrix, kernel.matrix[:, order], rtol=0, atol=tolerance)


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
    cells = np.clip(_cells(window), [axis[0] for axis in axes], [axis[-1] for axis in axes])
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
    assert {"dilated", "linear", "nearest", "polyharmonic"} <= set(ik.interpolators())
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
    from interpolated_kernels.interpolation import INTERPOLATORS

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
