"""The bounds C0 to C8 on random problems with fixed seeds, on every path: 300 here, 10,000 by `make soak`."""

import os

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.paths import PATHS
from interpolated_kernels.testing.bounds import error_bound
from interpolated_kernels.testing.comparison import compare
from interpolated_kernels.testing.drawing import Drawer
from interpolated_kernels.testing.norm_bounds import find_norm_bounds
from interpolated_kernels.testing.sums import find_condition

PROBLEMS = int(os.environ.get("INTERPOLATED_KERNELS_SOAK", "300"))
OF_SEED = 50
COMPONENTWISE = [name for name, path in PATHS.items() if path.ACCURACY == "componentwise"]
BITWISE = ("direct", "lattice")
SUMS = ("y", "grad_x", "grad_weights")


def _run(trial, **options):
    """y and both gradients."""
    given, asked = (trial.x, trial.weights, trial.problem.kernel), {**trial.problem.conv_options, **options}
    with np.errstate(all="ignore"):
        y = ik.conv(*given, **asked)
        grads = ik.conv_backward(trial.grad_y, *given, **asked)
    return {"y": y, "grad_x": grads.x, "grad_weights": grads.weights}


def _is_served(trial, **options):
    problem = trial.problem
    try:
        ik.plan(problem.x_shape, problem.weights_shape, problem.kernel, dtype=problem.dtype,
                **problem.conv_options, **options)  # fmt: skip
    except ValueError:
        return False
    return True


def _check_sums(trial, path, results):
    """C0, C1, C2 and C7: exact where sums are, else within the bounds, and finite where the reference is."""
    problem = trial.problem
    for quantity, actual in results.items():
        compare(
            actual, trial.arrays, problem.kernel, quantity, problem.conv_options, arithmetic=problem.dtype,
            quality=problem.data == "normal", exact=trial.is_exact,
        )  # fmt: skip


def _check_adjoint(trial, results):
    """C5: <grad_y, y> = <grad_x, x> = <grad_weights, weights>."""
    problem, asked = trial.problem, {"grad_y": trial.grad_y, "arithmetic": trial.problem.dtype}
    given = (trial.x, trial.weights, problem.kernel)
    bounds = [error_bound(*given, quantity=quantity, **asked, **problem.conv_options) for quantity in SUMS]
    pairs = (trial.grad_y, results["y"]), (results["grad_x"], trial.x), (results["grad_weights"], trial.weights)
    y, by_x, by_weights = (np.sum(np.multiply(*pair, dtype=np.longdouble)) for pair in pairs)
    limit = max(bound.quality for bound in bounds) * bounds[0].unit * np.sum(np.abs(trial.grad_y) * bounds[0].scale)
    assert abs(y - by_x) <= limit
    assert abs(y - by_weights) <= limit


def _check_norms(trial):
    """C3: the Fourier path within the bounds of norms."""
    problem, options = trial.problem, {**trial.problem.conv_options, "missing": "propagate"}
    geometry = {name: value for name, value in options.items() if name != "missing"}
    bounds = find_norm_bounds(trial.x, trial.weights, trial.grad_y, problem.kernel, **geometry)
    results = _run(trial, path="fourier", accuracy="normwise")
    expected = _run(trial.replace(**{name: array.astype(np.float64) for name, array in trial.arrays.items()}),
                    path="reference")  # fmt: skip
    for quantity, actual in results.items():
        bound = np.broadcast_to(bounds[quantity], _shape(problem, quantity)).reshape(actual.shape)
        assert (np.abs(actual - expected[quantity]) <= bound).all(), quantity


def _shape(problem, quantity):
    described = problem.described
    return {"y": described.y_shape, "grad_x": described.x_shape, "grad_weights": described.weights_shape}[quantity]


def _check_kernel(kernel, rng):
    """C4: permuted anchors give the same kernel, and rows sum to one where they should."""
    tolerance = 16 * find_condition(kernel) * 2.0**-53 * max(1.0, np.abs(kernel.matrix).max()) * kernel.n_anchors
    if kernel.interpolator.constants:
        assert np.abs(kernel.matrix.sum(axis=-1) - 1).max() <= tolerance
    if kernel.positions.ndim == 2 and type(kernel.interpolator).__name__ not in ("BSpline", "Delaunay", "Voronoi"):
        order = rng.permutation(kernel.n_anchors)
        widths = None if kernel.widths is None else kernel.widths[order]
        permuted = kernel.replace(positions=kernel.positions[order], widths=widths)
        assert np.abs(permuted.matrix - kernel.matrix[:, order]).max() <= tolerance


def _check_bits(trial, path, results, threads):
    """C8: the same bits on one thread, for a sample alone, and for outputs of a chunk with its halo."""
    problem = trial.problem
    threads(1)
    for quantity, actual in _run(trial, path=path).items():
        np.testing.assert_array_equal(actual, results[quantity])
    threads(2)
    d, asked = problem.kernel.n_dims, {**problem.conv_options, "path": path}
    given = (trial.weights, problem.kernel)
    with np.errstate(all="ignore"):
        if len(problem.x_shape) == d + 2 and not problem.is_plain and len(trial.x):
            np.testing.assert_array_equal(ik.conv(trial.x[-1], *given, **asked), results["y"][-1])
        if not np.any(problem.pads) and problem.described.out_spatial[-1] > 1:
            chunk = trial.x[..., problem.described.stride[-1] :]
            np.testing.assert_array_equal(
                ik.conv(chunk, *given, **{**asked, "padding": "valid"}), results["y"][..., 1:]
            )


@pytest.mark.parametrize("seed", range(-(-PROBLEMS // OF_SEED)))
def test_bounds_hold(seed, threads):
    """C0 to C8 on fifty problems."""
    drawer = Drawer(seed, ("float32", "float64")[seed % 2])
    for _ in range(min(OF_SEED, PROBLEMS - seed * OF_SEED)):
        trial = drawer.draw_trial(drawer.draw())
        _check_kernel(trial.problem.kernel, np.random.default_rng(seed))
        for path in COMPONENTWISE:
            if not _is_served(trial, path=path):
                continue
            try:
                results = _run(trial, path=path)
                _check_sums(trial, path, results)
                if trial.problem.data == "normal":
                    _check_adjoint(trial, results)
                if path in BITWISE:
                    _check_bits(trial, path, results, threads)
            except AssertionError as error:
                error.add_note(f"Seed {seed}, path {path}: {trial.problem}.")
                raise
        if trial.problem.data == "normal" and _is_served(trial, path="fourier", accuracy="normwise"):
            _check_norms(trial)
