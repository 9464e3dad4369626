"""The bounds C0 to C8 on random problems with fixed seeds, on every path: 300 here, 10,000 by `make soak`.

Few of the problems that are drawn suit `fourier` and `basis`, so every third is changed into one that does.
"""

import os
from collections import Counter
from dataclasses import replace

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
CELLS_OF_FOURIER = 1024  # it serves no smaller samples
MOST_FILTERS = 12
BITWISE = ("direct", "lattice")
SUMS = ("y", "grad_x", "grad_weights")


def _run(trial, **options):
    """y and both gradients."""
    given, asked = (trial.x, trial.weights, trial.problem.kernel), {**trial.problem.conv_options, **options}
    with np.errstate(all="ignore"):
        y = ik.conv(*given, **asked)
        grads = ik.conv_backward(trial.grad_y, *given, **asked)
    return {"y": y, "grad_x": grads.x, "grad_weights": grads.weights}


def _is_served(problem, path):
    try:
        ik.plan(problem.x_shape, problem.weights_shape, problem.kernel, dtype=problem.dtype, path=path,
                accuracy=PATHS[path].ACCURACY, **problem.conv_options)  # fmt: skip
    except ValueError:
        return False
    return True


def _lengthen(problem):
    """A problem of a longer x, as `fourier` takes it; bounds by norms are for finite numbers."""
    *lead, last = problem.x_shape
    more = -(-CELLS_OF_FOURIER // max(1, int(np.prod(problem.described.padded[:-1]))))
    data = problem.data if problem.data in NORMED else "normal"
    return replace(problem, x_shape=(*lead, last + more), data=data,
                   conv_options={**problem.conv_options, "missing": "propagate"})  # fmt: skip


def _share(problem):
    """A problem of one set of positions and more filters than anchors, as `basis` takes it."""
    kernel, filters = problem.kernel, problem.conv_options["groups"] * (problem.kernel.n_anchors + 1)
    if problem.is_plain or kernel.interpolates_channels or filters > MOST_FILTERS:
        return problem
    first = (0,) * (kernel.positions.ndim - 2)
    widths = None if kernel.widths is None else kernel.widths[first]
    return replace(problem, kernel=kernel.replace(positions=kernel.positions[first], widths=widths),
                   weights_shape=(filters, *problem.weights_shape[1:]))  # fmt: skip


NORMED = ("normal", "exact", "wide")
SUITED = {"fourier": _lengthen, "basis": _share}


def _check_sums(trial, results):
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


def _check(trial, path, threads):
    if PATHS[path].ACCURACY == "normwise":
        _check_norms(trial)
        return
    results = _run(trial, path=path)
    _check_sums(trial, results)
    if trial.problem.data == "normal":
        _check_adjoint(trial, results)
    if path in BITWISE:
        _check_bits(trial, path, results, threads)


@pytest.mark.parametrize("seed", range(-(-PROBLEMS // OF_SEED)))
def test_bounds_hold(seed, threads):
    """C0 to C8 on fifty problems, of which every path is reached by one in twenty at least."""
    drawer, rng, reached = Drawer(seed, ("float32", "float64")[seed % 2]), np.random.default_rng(seed), Counter()
    count = min(OF_SEED, PROBLEMS - seed * OF_SEED)
    for number in range(count):
        problem = drawer.draw()
        _check_kernel(problem.kernel, rng)
        trial = drawer.draw_trial(problem)
        for path in PATHS:
            suited = trial
            if path in SUITED and number % 3 == 0:
                suited = drawer.draw_trial(SUITED[path](problem))
            if not _is_served(suited.problem, path) or (path == "fourier" and suited.problem.data not in NORMED):
                continue
            reached[path] += 1
            try:
                _check(suited, path, threads)
            except AssertionError as error:
                error.add_note(f"Seed {seed}, path {path}: {suited.problem}.")
                raise
    assert min(reached[path] for path in PATHS) >= -(-count // 20), reached
