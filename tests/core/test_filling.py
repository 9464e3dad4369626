import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.filling import KINDS, Definition, choose_kind, find_filling, matrix, solved
from interpolated_kernels.interpolation.registry import find_name
from interpolated_kernels.paths import ENGINES
from interpolated_kernels.testing.strategies import cases, kernels

SPLINES = ["polyharmonic", "rbf"]
BY_ROWS = ["cone", "inverse_distance", *SPLINES]
# What forces a kind that small windows do not meet, and the interpolators that it then serves.
FORCED = {
    "matrix, by blocks of rows": ({(matrix, "BYTES_OF_MATRIX"): 0}, BY_ROWS, "matrix"),
    "solved": ({(solved, "BYTES_OF_SOLVED"): 0}, SPLINES, "solved"),
}


class force:  # noqa: N801 # reads as the verb that it is
    """Choose fillings as for windows so large that nothing is kept."""

    def __init__(self, limits):
        self.limits, self.patch = limits, pytest.MonkeyPatch()

    def __enter__(self):
        ik.clear_caches()
        for (module, name), value in self.limits.items():
            self.patch.setattr(module, name, value)

    def __exit__(self, *_):
        self.patch.undo()
        ik.clear_caches()


def _scattered(window, n, seed=0):
    return ik.random_positions(window, n, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("forced", sorted(FORCED))
@pytest.mark.parametrize("path", sorted(set(ENGINES) - {"reference", "fourier"}))
@hypothesis.settings(max_examples=60)
@hypothesis.given(data=st.data())
def test_engines_stay_within_the_bound(path, forced, data):
    """C1: y and both gradients are within the rigorous bound of the reference, by the kinds that large windows meet."""
    limits, names, kind = FORCED[forced]
    case = data.draw(cases(names=names))
    with force(limits):
        assert choose_kind(case.kernel) == kind
        results = case.results(path=path)
    for quantity, actual in results.items():
        case.assert_matches(quantity, actual)


@hypothesis.given(kernel=kernels(), seed=st.integers(0, 99))
@pytest.mark.parametrize("forced", ["as chosen", *sorted(FORCED)])
def test_apply_and_transpose_are_the_matrix(forced, kernel, seed):
    """Every kind gives `A @ weights` and `A^T @ gradient`, to what rounding makes of sums of so many terms."""
    limits, names, _ = FORCED.get(forced, ({}, None, None))
    hypothesis.assume(names is None or find_name(kernel.interpolator) in names)
    rng = np.random.default_rng(seed)
    filters = len(kernel.positions) if kernel.positions.ndim > 2 else 2
    channels = kernel.positions.shape[1] if kernel.positions.ndim == 4 else 1
    bank = rng.standard_normal((filters, channels, kernel.n_anchors))
    definition = Definition(kernel)
    with force(limits):
        filling = find_filling(kernel)
        dense = filling.apply(bank)
        grad = rng.standard_normal(dense.shape)
        found = filling.transpose(grad)
    sizes = np.abs(kernel.matrix).max(initial=0.0) * kernel.n_anchors
    tolerance = 2.0**-50 * (kernel.n_anchors + 16)
    np.testing.assert_allclose(dense, definition.apply(bank), rtol=0, atol=tolerance * sizes * 4)
    np.testing.assert_allclose(
        found, definition.transpose(grad), rtol=0, atol=tolerance * sizes * np.prod(kernel.window) * 4
    )


@hypothesis.given(kernel=kernels())
def test_gain_is_the_mean_square_of_the_matrix(kernel):
    """`gain` is the mean over cells of the sum over anchors of `A^2`, however it is had."""
    expected = np.square(kernel.matrix).sum(axis=-1).mean()
    assert find_filling(kernel).gain() == pytest.approx(expected, rel=1e-9)


@hypothesis.given(kernel=kernels())
@pytest.mark.parametrize("forced", ["as chosen", *sorted(FORCED)])
def test_sizes_are_those_of_the_matrix(forced, kernel):
    """`sum_sizes` is the sum over cells of `abs(A) abs(weights)` for each filter, however it is had."""
    limits, names, _ = FORCED.get(forced, ({}, None, None))
    hypothesis.assume(names is None or find_name(kernel.interpolator) in names)
    filters = len(kernel.positions) if kernel.positions.ndim > 2 else 2
    channels = kernel.positions.shape[1] if kernel.positions.ndim == 4 else 1
    bank = np.random.default_rng(0).standard_normal((filters, channels, kernel.n_anchors))
    with force(limits):
        found = find_filling(kernel).sum_sizes(bank)
    columns = np.abs(kernel.matrix).sum(axis=-2)
    columns = columns[:, None] if columns.ndim == 2 else columns
    expected = (np.abs(bank) * columns).sum(axis=(1, 2))
    # what cancels in an entry of A has the sizes of its terms: some hundred roundings
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("kernel", "kind"),
    [
        (ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "cubic"), "tensor"),
        (ik.InterpolatedKernel(_scattered((9, 9), 5), (9, 9), "gaussian"), "splats"),
        (ik.InterpolatedKernel(_scattered((9, 9), 5), (9, 9), "voronoi"), "local"),
        (ik.InterpolatedKernel(_scattered((9, 9), 5), (9, 9), "delaunay"), "local"),
        (ik.InterpolatedKernel([[1, 2], [3, 4]], (9, 9), "dilated"), "local"),
        (ik.InterpolatedKernel(_scattered((9, 9), 5), (9, 9), "polyharmonic"), "matrix"),
        (ik.InterpolatedKernel(_scattered((129, 129), 140), (129, 129), "polyharmonic"), "solved"),
        (ik.InterpolatedKernel(_scattered((9, 9), 5), (9, 9), "cone"), "matrix"),
    ],
)
def test_the_kind_follows_from_the_structure(kernel, kind):
    """What is true of a kernel, and how large its matrix would be, decides how it is filled; the plan says so."""
    assert choose_kind(kernel) == kind
    assert set(KINDS) >= {kind}
    plan = ik.plan((1, 1, 140, 140), (1, 1, kernel.n_anchors), kernel, path="direct")
    assert f"A: {kind}, " in str(plan)


@pytest.mark.parametrize("seed", range(3))
def test_a_solved_kernel_keeps_its_digits(seed):
    """Weights of 1e12 beside weights of 1 take no digits from the cells near these: rows of A give those."""
    window, rng = (40, 40), np.random.default_rng(seed)
    kernel = ik.InterpolatedKernel(_scattered(window, 30, seed), window)
    weights = rng.standard_normal(30).astype(np.float32)
    weights[rng.integers(30)] = 1e12
    grad = rng.standard_normal(window).astype(np.float32)
    grad[tuple(rng.integers(0, 40, 2))] = 1e12
    sizes = np.abs(kernel.matrix) @ np.abs(weights), np.abs(kernel.matrix).T @ np.abs(grad.ravel())
    expected = kernel.matrix @ weights, kernel.matrix.T @ grad.ravel()
    with force(FORCED["solved"][0]):
        found = ik.densify(weights, kernel).ravel(), ik.densify_backward(grad, weights, kernel).weights
    for actual, exact, size in zip(found, expected, sizes, strict=True):
        assert np.max(np.abs(actual - exact) / size) <= 2.0**-24 * (30 / 2 + 1)


def test_gradients_by_position_need_no_matrix():
    """A window of 31x31x31 has a gradient by positions within a few megabytes, not cells times cells."""
    kernel = ik.InterpolatedKernel(_scattered((31, 31, 31), 20), (31, 31, 31))
    x, weights = np.ones((1, 1, 33, 33, 33), np.float32), np.ones((1, 1, 20), np.float32)
    grads = ik.conv_backward(np.ones((1, 1, 3, 3, 3), np.float32), x, weights, kernel, wrt=("positions",))
    assert grads.positions.shape == (20, 3)
