"""Gradients of the interpolation matrix by positions: upstream's values, finite differences, and laws."""

from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.interpolation.base import squared_distances, window_cells
from interpolated_kernels.interpolation.polyharmonic import Polyharmonic
from interpolated_kernels.interpolation.rbf import FUNCTIONS
from interpolated_kernels.interpolation.spline import SplineInterpolator

U = 2.0**-53
STEP = 2.0**-11


def _oracle_cases():
    with np.load(Path(__file__).parent.parent / "oracles" / "polyharmonic.npz", allow_pickle=False) as archive:
        cases = {}
        for key in archive.files:
            name, field = key.split("/")
            cases.setdefault(name, {})[field] = archive[key]
    return cases


ORACLE = _oracle_cases()


def _gradient(interpolator, grad_matrix, positions, window):
    try:
        grad, by_widths = interpolator.matrix_vjp(grad_matrix, positions, window, None)
    except ik.AnchorError:  # anchors in one line, whose refusal has a test of its own
        hypothesis.reject()
    assert by_widths is None
    assert grad.dtype == np.float64
    assert grad.shape == positions.shape
    return grad


@pytest.mark.parametrize("name", sorted(ORACLE))
def test_polyharmonic_is_upstreams(name):
    """The gradient by positions is tensorflow-addons': 1e-9 relative, 1e-6 for orders 4 and 5."""
    case = ORACLE[name]
    order, smoothing, window = int(case["order"]), float(case["smoothing_tfa"]), tuple(case["size"].tolist())
    assert smoothing == 0 or order in (2, 3)  # where upstream's sign is ours
    grad_matrix = np.outer(case["upstream"], case["weights"])
    grad = _gradient(Polyharmonic(order, smoothing), grad_matrix, case["positions"], window)
    relative = 1e-6 if order in (4, 5) else 1e-9
    atol = relative * np.abs(case["grad_positions"]).max()
    np.testing.assert_allclose(grad, case["grad_positions"], rtol=0, atol=atol)


@st.composite
def _interpolators(draw, n_dims):
    """Every interpolator with a gradient by positions alone, its options, and the least anchors that it needs."""
    kind = draw(st.sampled_from(["polyharmonic", "rbf", "inverse_distance"]))
    if kind == "polyharmonic":
        order, degree = draw(st.integers(1, 7)), draw(st.integers(-1, 2))
        lowest = {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}.get(order, 3)
        smoothing = draw(st.sampled_from([0.0, 0.5])) if degree >= lowest else 0.0
        return Polyharmonic(order, smoothing, degree)
    if kind == "rbf":
        function = draw(st.sampled_from(sorted(FUNCTIONS)))
        lowest = max(FUNCTIONS[function].min_degree, 0)
        degree = draw(st.sampled_from([None, -1, *range(lowest, 3)]))
        return ik.RBF(function, draw(st.sampled_from([0.5, 1.0])), degree, draw(st.sampled_from([0.0, 0.5])))
    return ik.InverseDistance(draw(st.sampled_from([0.5, 1.0, 2.0, 3.5])))


@st.composite
def _problems(draw):
    """An interpolator, a window and anchors in and around it, away from cells and from each other."""
    n_dims = draw(st.integers(1, 3))
    interpolator = draw(_interpolators(n_dims))
    window = tuple(draw(st.integers(1, 4 if n_dims == 3 else 6)) for _ in range(n_dims))
    n = draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    positions = rng.uniform(-1, np.array(window), (n, n_dims))
    between = squared_distances(positions, positions) + np.eye(n)
    hypothesis.assume(min(between.min(), squared_distances(window_cells(window), positions).min()) > 0.05**2)
    try:
        interpolator.check(positions, window)
        matrix = interpolator.matrix(positions, window, None)
    except ik.AnchorError:
        hypothesis.reject()
    hypothesis.assume(
        np.linalg.matrix_rank(positions - positions.mean(axis=0)) == n_dims or not _has_trend(interpolator)
    )
    return interpolator, positions, window, rng.standard_normal(matrix.shape)


def _has_trend(interpolator):
    return isinstance(interpolator, Polyharmonic) and interpolator.degree >= 1


def _kappa(interpolator, positions, window):
    if isinstance(interpolator, SplineInterpolator):
        return interpolator.system(positions).factors.condition
    return 1.0


def _central_difference(function, positions, index, step):
    shift = np.zeros_like(positions)
    shift[index] = step
    return (function(positions + shift) - function(positions - shift)) / (2 * step)


@hypothesis.settings(max_examples=200)
@hypothesis.given(_problems())
def test_finite_differences(problem):
    """Central differences of `matrix`, at steps h and h/2 extrapolated to 0, are `matrix_vjp`.

    A difference at h is off by `a h^2 + b h^4 + ...` and by the rounding of `matrix`, `16 kappa u`, over h. What h and
    h/2 differ by bounds the first; `h = 2^-11` keeps both far below the gradients.
    """
    interpolator, positions, window, grad_matrix = problem

    def loss(moved):
        return np.sum(grad_matrix * interpolator.matrix(moved, window, None))

    grad = _gradient(interpolator, grad_matrix, positions, window)
    size = np.abs(grad_matrix).sum() * max(1.0, np.abs(interpolator.matrix(positions, window, None)).max())
    rounding = 16 * _kappa(interpolator, positions, window) * U * size / STEP
    for index in np.ndindex(positions.shape):
        try:
            wide, narrow = (_central_difference(loss, positions, index, step) for step in (STEP, STEP / 2))
        except ik.AnchorError:  # a step from anchors that are refused
            hypothesis.reject()
        tolerance = abs(wide - narrow) + 2 * rounding
        hypothesis.assume(tolerance < 1e-3 * size)
        np.testing.assert_allclose(grad[index], (4 * narrow - wide) / 3, rtol=0, atol=tolerance)


@hypothesis.given(_problems(), st.floats(-3, 3))
def test_linear_in_the_gradient(problem, factor):
    """The product is linear in `grad_matrix`, to the rounding of a second solve."""
    interpolator, positions, window, one = problem
    other = np.random.default_rng(0).standard_normal(one.shape)
    first, second, both = (_gradient(interpolator, g, positions, window) for g in (one, other, one + factor * other))
    size = max(np.abs(grad).max() for grad in (first, second, both)) * (1 + abs(factor))
    kappa = _kappa(interpolator, positions, window)
    hypothesis.assume(kappa < 1e8)
    np.testing.assert_allclose(both, first + factor * second, rtol=0, atol=64 * kappa * U * len(one) * max(size, 1.0))


@hypothesis.given(_problems())
def test_constants_do_not_depend_on_positions(problem):
    """Where rows of the matrix sum to one, a gradient that is constant along every row gives none by positions."""
    interpolator, positions, window, grad_matrix = problem
    hypothesis.assume(interpolator.constants)
    kappa = _kappa(interpolator, positions, window)
    hypothesis.assume(kappa < 1e8)
    constant = np.broadcast_to(grad_matrix[:, :1], grad_matrix.shape)
    grad = _gradient(interpolator, constant, positions, window)
    size = np.abs(_gradient(interpolator, grad_matrix, positions, window)).max() + np.abs(constant).sum()
    np.testing.assert_allclose(grad, 0, rtol=0, atol=64 * kappa * U * size)


@hypothesis.given(_problems(), st.randoms(use_true_random=False))
def test_permuted_anchors_have_permuted_gradients(problem, random):
    """The order in which anchors are listed does not matter."""
    interpolator, positions, window, grad_matrix = problem
    kappa = _kappa(interpolator, positions, window)
    hypothesis.assume(kappa < 1e8)
    order = list(range(len(positions)))
    random.shuffle(order)
    grad = _gradient(interpolator, grad_matrix, positions, window)[order]
    permuted = _gradient(interpolator, grad_matrix[:, order], positions[order], window)
    size = np.abs(grad).max() + np.abs(grad_matrix).sum()
    np.testing.assert_allclose(permuted, grad, rtol=0, atol=64 * kappa * U * size)


WITH_GRADIENTS = [
    *(Polyharmonic(order) for order in range(1, 7)),
    *(ik.RBF(function, degree=2) for function in sorted(FUNCTIONS)),
    *(ik.InverseDistance(power) for power in (0.5, 1.0, 2.0, 3.0)),
]


@pytest.mark.parametrize("interpolator", WITH_GRADIENTS, ids=str)
def test_anchors_on_cells(interpolator):
    """An anchor on a cell, or within 1e-9 of one, has a finite gradient: the mean of the one-sided differences.

    Smooth functions have that derivative; for those with a kink (`r`, Shepard's with power 1 and below) it is the
    documented value. Differences from both sides cancel all that is even around the cell.
    """
    window, rng = (5, 6), np.random.default_rng(3)
    positions = np.array([[0, 0], [4, 5], [0, 4], [3, 0], [2, 2], [1.3, 3.4], [3.6, 4.2]])
    grad_matrix = rng.standard_normal((30, 7))
    grad = _gradient(interpolator, grad_matrix, positions, window)
    step = 2.0**-9

    def loss(moved):
        return np.sum(grad_matrix * interpolator.matrix(moved, window, None))

    for index in np.ndindex(positions.shape):
        wide, narrow = (_central_difference(loss, positions, index, step) for step in (step, step / 2))
        tolerance = 2 * abs(wide - narrow) + 1e-6
        np.testing.assert_allclose(grad[index], narrow, rtol=0, atol=tolerance)
    assert np.isfinite(_gradient(interpolator, grad_matrix, positions + 1e-9, window)).all()
    assert np.isfinite(_gradient(interpolator, grad_matrix, positions + 1e-160, window)).all()


def test_coincident_anchors_share_their_pull():
    """Shepard's coincident anchors have equal gradients for equal columns off the cells, and finite ones on a cell."""
    interpolator, rng = ik.InverseDistance(), np.random.default_rng(0)
    column = rng.standard_normal((16, 2))
    positions = np.array([[1.3, 2.2], [1.3, 2.2], [2.7, 0.6]])
    grad = _gradient(interpolator, column[:, [0, 0, 1]], positions, (4, 4))
    np.testing.assert_array_equal(grad[0], grad[1])
    assert np.isfinite(_gradient(interpolator, column[:, [0, 0, 1]], np.round(positions), (4, 4))).all()


def test_next_to_a_cell_digits_are_kept():
    """A step of 1e-12 from a cell pulls Shepard's anchor by `power * r^(power - 1)`, not by rounding over r."""
    positions = np.array([[1 + 2.0**-40, 1.0], [0.0, 1.0]])
    grad_matrix = np.zeros((9, 2))
    grad_matrix[4] = [1.0, 0.0]  # the cell [1, 1]: A_0 = 1 / (1 + r^2) to the first order, so dA_0/dr = -2 r
    grad = _gradient(ik.InverseDistance(), grad_matrix, positions, (3, 3))
    np.testing.assert_allclose(grad[0, 0], -2 * 2.0**-40, rtol=1e-9)


@pytest.mark.parametrize("positions", [[[1, 1]], [[0, 0], [3, 2]], [[0, 0], [1, 1], [3, 3]]])
@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
def test_degenerate_anchors_have_no_gradient(positions):
    """Polyharmonic anchors on a line raise for degrees with a trend, and have a gradient for degree 0."""
    positions, grad_matrix = np.array(positions, dtype=float), np.ones((16, len(positions)))
    for degree in (1, 2):
        with pytest.raises(ik.AnchorError, match=r"no gradient here: (a single anchor|collinear anchors) in 2 dim"):
            Polyharmonic(degree=degree).matrix_vjp(grad_matrix, positions, (4, 4), None)
    assert np.isfinite(_gradient(Polyharmonic(degree=0), grad_matrix, positions, (4, 4))).all()


def test_ill_conditioned_anchors_have_no_gradient():
    """What raises in `matrix` raises in its gradient."""
    positions = ik.grid_positions((12, 12), 1)
    with pytest.raises(ik.AnchorError, match="too ill-conditioned"):
        ik.RBF("gaussian", shape=0.01).matrix_vjp(np.ones((144, 144)), positions, (12, 12), None)
