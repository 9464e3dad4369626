"""Symmetric kernels: equal to their images to the last bit, of fewer weights, and right in every gradient."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interpolated_kernels as ik

INNER = [ik.Linear(), ik.Cubic(), ik.Polyharmonic(2), ik.RBF("cubic"), ik.Gaussian(), ik.InverseDistance()]


def _images(dense, group):
    """The images of a dense kernel `(..., rows, columns)` under a group, by NumPy."""
    turned = [np.rot90(dense, times, axes=(-2, -1)) for times in range(4 if group in ("rotations", "dihedral") else 1)]
    named = {"flips": (-2, -1), "dihedral": (-2, -1), "rotations": ()}
    flips = named[group] if isinstance(group, str) else tuple(axis - 2 for axis in group)
    chosen = itertools.chain.from_iterable(itertools.combinations(flips, count) for count in range(len(flips) + 1))
    return [np.flip(image, axes) for axes, image in itertools.product(chosen, turned)]


@given(
    inner=st.sampled_from(INNER), group=st.sampled_from(["flips", "rotations", "dihedral", (0,), (1,)]),
    size=st.integers(5, 12), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_the_dense_kernel_is_its_own_image(inner, group, size, seed):
    """`densify` is symmetric bit for bit, for random weights, in float32 and float64."""
    rng = np.random.default_rng(seed)
    positions = ik.symmetric_positions(ik.grid_positions((size, size), counts=4), (size, size), group)
    kernel = ik.InterpolatedKernel(positions, (size, size), ik.Symmetric(inner, group))
    assert kernel.n_anchors < 16
    for dtype in (np.float32, np.float64):
        dense = ik.densify(rng.standard_normal((2, 1, kernel.n_anchors)).astype(dtype), kernel)
        for image in _images(dense, group):
            np.testing.assert_array_equal(image, dense)


@given(inner=st.sampled_from(INNER), seed=st.integers(0, 2**32 - 1))
def test_it_is_the_kernel_of_all_anchors(inner, seed):
    """The other interpolator, with every image's weight set to its anchor's, gives the same kernel to rounding."""
    rng, grid = np.random.default_rng(seed), ik.grid_positions((9, 9), 2)
    corner = ik.symmetric_positions(grid, (9, 9), "dihedral")
    kernel = ik.InterpolatedKernel(corner, (9, 9), ik.Symmetric(inner, "dihedral"))
    weights = rng.standard_normal(len(corner))
    away = np.sort(np.abs(grid - 4), axis=1)
    shared = [weights[np.flatnonzero((np.sort(np.abs(corner - 4), axis=1) == own).all(axis=1))[0]] for own in away]
    whole = ik.densify(np.array(shared), ik.InterpolatedKernel(grid, (9, 9), inner))
    np.testing.assert_allclose(ik.densify(weights, kernel), whole, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("inner", [ik.Polyharmonic(3), ik.RBF(), ik.Gaussian(), ik.InverseDistance()])
@pytest.mark.parametrize("group", ["flips", "rotations", "dihedral"])
def test_finite_differences_confirm_the_gradients(inner, group):
    """Gradients by weights and positions, through a convolution."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 3, (4, 2))
    kernel = ik.InterpolatedKernel(positions, (8, 8), ik.Symmetric(inner, group))
    x, weights = rng.standard_normal((1, 2, 12, 12)), rng.standard_normal((3, 2, 4))
    grad_y = rng.standard_normal((1, 3, 5, 5))
    grads = ik.conv_backward(grad_y, x, weights, kernel, wrt=("weights", "positions"))
    step, moved, changed = 1e-6, rng.standard_normal(positions.shape), rng.standard_normal(weights.shape)
    kernels = [kernel.replace(positions=positions + s * moved) for s in (step, -step)]
    ends = [np.vdot(grad_y, ik.conv(x, weights, each)) for each in kernels]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(np.vdot(grads.positions, moved), rel=1e-6)
    ends = [np.vdot(grad_y, ik.conv(x, weights + s * changed, kernel)) for s in (step, -step)]
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(np.vdot(grads.weights, changed), rel=1e-6)


def test_an_anchor_at_the_centre_is_its_own_image():
    """It has one image, counts once, and no derivative: symmetry holds it."""
    kernel = ik.InterpolatedKernel([[4.0, 4.0], [1.0, 2.5]], (9, 9), ik.Symmetric(ik.Gaussian(), "dihedral"))
    dense = ik.densify(np.array([1.0, 0.0]), kernel)
    alone = ik.InterpolatedKernel([[4.0, 4.0]], (9, 9), "gaussian")
    np.testing.assert_allclose(dense, ik.densify(np.ones(1), alone), rtol=1e-12, atol=1e-300)
    grad = np.random.default_rng(0).standard_normal((9, 9))
    grads = ik.densify_backward(grad, np.ones(2), kernel, ("positions",))
    np.testing.assert_allclose(grads.positions[0], 0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3])
def test_other_dimensions(d):
    """Flips in 1-D, and flips and turns in 3-D, about the centre."""
    window, rng = (6,) * d, np.random.default_rng(0)
    for group in ("flips", "dihedral") if d > 1 else ("flips",):
        kernel = ik.InterpolatedKernel(rng.uniform(0, 2, (3, d)), window, ik.Symmetric(ik.Polyharmonic(), group))
        dense = ik.densify(rng.standard_normal(3), kernel)
        for axis in range(d):
            np.testing.assert_array_equal(np.flip(dense, axis), dense)
        if group == "dihedral":
            np.testing.assert_array_equal(np.rot90(dense, axes=(1, 2)), dense)


def test_it_round_trips():
    """A document names the other interpolator; equal documents give equal kernels."""
    kernel = ik.InterpolatedKernel([[0.0, 1.0]], (5, 5), ik.Symmetric(ik.Gaussian(normalized=False), (1,)))
    assert ik.InterpolatedKernel.from_dict(kernel.to_dict()) == kernel


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ik.Symmetric("linear"), TypeError, "`interpolator`"),
        (lambda: ik.Symmetric(ik.Linear(), "turns"), ValueError, "`group` must be one of"),
        (lambda: ik.InterpolatedKernel([[0, 0]], (5, 4), ik.Symmetric(ik.Linear(), "rotations")), ValueError, "equal"),
        (lambda: ik.InterpolatedKernel([[0, 0]], (5, 4), ik.Symmetric(ik.Linear(), (2,))), ValueError, "name axes"),
        (lambda: ik.InterpolatedKernel([[0], [4]], 5, ik.Symmetric(ik.Linear())), ik.AnchorError, "anchors 0, 1"),
        (lambda: ik.symmetric_positions([[0.0], [3.0]], 5, "flips"), ik.AnchorError, "anchors 0, 1 lack"),
    ],
)
def test_what_has_no_symmetry(call, error, message):
    """Options, windows and anchors that do not fit raise, naming what is wrong."""
    with pytest.raises(error, match=message):
        call()
