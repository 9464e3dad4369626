from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.interpolation.base import window_cells
from interpolated_kernels.testing.strategies import kernels

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


@hypothesis.given(kernels(names=["polyharmonic"]))
def test_polyharmonic_solves_its_equations(kernel):
    """A is the spline of every unit weight, as the defining system solved by NumPy gives it, to 16 kappa u."""
    hypothesis.assume(_spans(kernel.positions))
    system, kappa = _system(kernel)
    cells, positions = window_cells(kernel.window), kernel.positions
    border = np.concatenate([cells - positions.mean(axis=0), np.ones((len(cells), 1))], axis=1)
    right = _phi(kernel.interpolator.order, np.linalg.norm(cells[:, None] - positions[None], axis=-1))
    right = np.concatenate([right, border[:, right.shape[1] + border.shape[1] - len(system) :]], axis=1)
    solution = np.linalg.solve(system, right.T).astype(np.longdouble)
    for _ in range(3):
        solution += np.linalg.solve(system, (right.T - system @ solution).astype(np.float64))
    expected = solution[: len(positions)].T.astype(np.float64)
    size = float(np.abs(solution).max())  # a solve errs by the whole solution: A, and what multiplies the polynomial
    np.testing.assert_allclose(kernel.matrix, expected, rtol=0, atol=16 * kappa * U * size)


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
        expected = (window_cells(kernel.window) @ slope + 3).reshape(kernel.window)
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


@hypothesis.given(st.integers(1, 5), st.floats(-2, 4), st.floats(0.1, 3), st.integers(0, 999))
def test_more_smoothing_bends_less_and_misses_more(order, exponent, more, seed):
    """As smoothing grows, abs(c^T Phi c) does not grow and the misfit at the anchors does not shrink.

    At the anchors `f = w - g c`, which gives `c` from the dense kernel; `c^T Phi c = c^T (w - g c)`, as `B^T c = 0`.
    """
    rng = np.random.default_rng(seed)
    positions = rng.permutation(window_cells((6, 7)))[: rng.integers(8, 25)]
    weights = rng.standard_normal(len(positions))
    energies, misfits, energy_errors, misfit_errors = [], [], [], []
    for smoothing in (10.0**exponent, 10.0 ** (exponent + more)):
        kernel = ik.InterpolatedKernel(positions, (6, 7), ik.Polyharmonic(order, smoothing, 1 if order < 4 else 2))
        residual = weights - ik.densify(weights, kernel)[tuple(positions.astype(int).T)]
        sign = 1 if order in (2, 3) else -1
        coefficients = residual / (sign * smoothing)
        energies.append(abs(coefficients @ (weights - residual)))
        misfits.append(np.linalg.norm(residual))
        kappa = kernel.interpolator.system(positions).factors.condition
        rounding = 16 * kappa * U * np.abs(kernel.matrix).max() * np.abs(weights).sum()
        misfit_errors.append(rounding * np.sqrt(len(positions)))
        energy_errors.append(2 * rounding / smoothing * (np.abs(weights) + 2 * np.abs(residual)).sum())
    hypothesis.assume(sum(energy_errors) < 1e-3 * energies[0])
    assert energies[1] <= energies[0] + sum(energy_errors)
    assert misfits[1] >= misfits[0] - sum(misfit_errors)


def test_degenerate_anchors_have_a_trend_along_their_span():
    """Collinear anchors warn once and give the plane through their line that is flat across it."""
    with pytest.warns(ik.AnchorWarning, match="no slope along 1 of 2") as caught:
        kernel = ik.InterpolatedKernel([[0, 0], [2, 2], [4, 4]], (5, 5))
    assert len(caught) == 1
    dense = ik.densify(np.array([0.0, 2.0, 4.0]), kernel)
    rows, columns = np.indices((5, 5))
    np.testing.assert_allclose(dense, (rows + columns) / 2, rtol=0, atol=1e-12)
    with pytest.warns(ik.AnchorWarning, match="a single anchor"):
        single = ik.InterpolatedKernel([[1, 1]], (3, 3))
    np.testing.assert_array_equal(ik.densify(np.array([3.0]), single), np.full((3, 3), 3.0))


def test_a_polynomial_needs_its_anchors():
    """Degree 2 in 2-D has six monomials: five anchors raise at construction, six on a circle at first use."""
    circle = 3 + 3 * np.stack([np.cos(np.arange(6.0)), np.sin(np.arange(6.0))], axis=1)
    quadratic = ik.Polyharmonic(order=4, degree=2)
    with pytest.raises(ik.AnchorError, match="at least 6 anchors for a polynomial of degree 2 along 2 directions"):
        ik.InterpolatedKernel(circle[:5], (7, 7), quadratic)
    kernel = ik.InterpolatedKernel(circle, (7, 7), quadratic)
    with pytest.raises(ik.AnchorError, match=r"too ill-conditioned .* the nearest pair is anchors \d, \d"):
        _ = kernel.matrix


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "`order` must be at least 1 and at most 100"),
        ({"order": 10**6}, "`order` must be at least 1 and at most 100"),
        ({"degree": 3}, "`degree` must be at least -1 and at most 2"),
        ({"smoothing": -1.0}, "`smoothing` must be finite and at least 0"),
        ({"smoothing": float("nan")}, "`smoothing` must be finite and at least 0"),
        *(
            ({"order": order, "smoothing": 1.0, "degree": degree - 1}, f"needs `degree` >= {degree} for order {order}")
            for order, degree in {1: 0, 2: 1, 3: 1, 4: 2, 5: 2}.items()
        ),
    ],
)
def test_options_out_of_range(options, message):
    """Each option names its range, and smoothing the degree that it needs."""
    with pytest.raises(ValueError, match=message):
        ik.Polyharmonic(**options)
