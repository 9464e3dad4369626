"""Splats and cones: the published values, the loops against the definition, and every gradient."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels.filling.splats import find_profile

ORACLE = np.load(Path(__file__).parent.parent / "oracles" / "splat.npz", allow_pickle=False)
CASES = sorted({key.rsplit("/", 1)[0] for key in ORACLE.files})
VERSIONS = {
    "v0": ik.Bilinear(normalized=False),
    "v1": ik.Bilinear(),
    "max": ik.Triangle(),
    "gauss": ik.Gaussian(),
}
SPLATS = [*VERSIONS.values(), ik.Gaussian(normalized=False), ik.Triangle(normalized=False)]
CONES = [ik.Cone(), ik.Cone(0.9), ik.Cone(0.5, normalized=False)]


def _published(case, field):
    key = f"{case}/{field}"
    return ORACLE[key] if key in ORACLE.files else None


@pytest.mark.parametrize("case", CASES)
def test_published_values(case):
    """Kernels and every gradient are those of the package dcls, to 1e-9 of the largest."""
    positions, weights, sigma = (_published(case, field) for field in ("positions", "weights", "sigma"))
    interpolator = VERSIONS[str(_published(case, "version"))]
    kernel = ik.InterpolatedKernel(positions, tuple(map(int, _published(case, "size"))), interpolator, widths=sigma)
    wrt = ("weights", "positions") + (() if sigma is None else ("widths",))
    grads = ik.densify_backward(_published(case, "upstream"), weights, kernel, wrt)
    found = {
        "kernel": ik.densify(weights, kernel), "grad_weights": grads.weights, "grad_positions": grads.positions,
        "grad_sigma": grads.widths,
    }  # fmt: skip
    for field, values in found.items():
        expected = _published(case, field)
        if values is not None:
            assert np.abs(values - expected).max() <= 1e-9 * np.abs(expected).max(), field


def _draw(draw_from, rng, window, shape, interpolator):
    """Return a kernel of random positions, some beyond the border, with random widths where it has them."""
    positions = rng.uniform(-1.5, np.array(window) + 0.5, (*shape, len(window)))
    widths = None
    if interpolator.width_axes is not None and draw_from(st.booleans()):
        widths = rng.uniform(0.2, 1.2, positions.shape[: positions.ndim - 1 + interpolator.width_axes])
    return ik.InterpolatedKernel(positions, window, interpolator, widths=widths)


windows = st.lists(st.integers(1, 7), min_size=1, max_size=3).map(tuple)


@given(data=st.data(), window=windows, seed=st.integers(0, 2**32 - 1), interpolator=st.sampled_from(SPLATS))
def test_loops_are_the_definition(data, window, seed, interpolator):
    """Kernels built from profiles are the matrices' products, and so are the weights' gradients."""
    rng = np.random.default_rng(seed)
    n, filters, channels = (data.draw(st.integers(1, high)) for high in (9, 3, 3))
    kernel = _draw(data.draw, rng, window, (filters, channels, n), interpolator)
    assume(not kernel.shares_positions)
    assert find_profile(kernel) is not None
    weights, grad = rng.standard_normal((filters, channels, n)), rng.standard_normal((filters, channels, *window))
    matrix = kernel.matrix.reshape(filters, channels, -1, n)
    size = np.einsum("fckn,fcn->fck", matrix, np.abs(weights)).reshape(grad.shape)
    dense = np.einsum("fckn,fcn->fck", matrix, weights).reshape(grad.shape)
    rounding = (n + 60) * 2.0**-53
    assert (np.abs(ik.densify(weights, kernel) - dense) <= rounding * size + 1e-300).all()
    found = ik.densify_backward(grad, weights, kernel).weights
    cells = grad.reshape(filters, channels, -1)
    expected, size = (np.einsum("fckn,fck->fcn", matrix, values) for values in (cells, np.abs(cells)))
    assert (np.abs(found - expected) <= (cells.shape[-1] + 60) * 2.0**-53 * size + 1e-300).all()


@given(data=st.data(), window=windows, seed=st.integers(0, 2**32 - 1), interpolator=st.sampled_from(SPLATS))
def test_loops_have_the_matrix_derivative(data, window, seed, interpolator):
    """Gradients by positions and widths from profiles are those through the matrix, anchor by anchor."""
    rng, n = np.random.default_rng(seed), data.draw(st.integers(1, 6))
    kernel = _draw(data.draw, rng, window, (2, n), interpolator)
    weights, grad = rng.standard_normal((2, 3, n)), rng.standard_normal((2, 3, *window))
    wrt = ("positions",) if kernel.widths is None else ("positions", "widths")
    found = ik.densify_backward(grad, weights, kernel, wrt)
    for index in range(2):
        grad_matrix = grad[index].reshape(3, -1).T @ weights[index]
        widths = None if kernel.widths is None else kernel.widths[index]
        by_positions, by_widths = interpolator.matrix_vjp(grad_matrix, kernel.positions[index], window, widths)
        np.testing.assert_allclose(found.positions[index], by_positions, rtol=1e-9, atol=1e-9)
        if widths is not None:
            np.testing.assert_allclose(found.widths[index], by_widths, rtol=1e-9, atol=1e-9)


def _is_smooth(kernel, step):
    """Return whether no kink lies within `step` of a cell for any anchor."""
    offsets = np.arange(max(kernel.window)) - kernel.positions[..., None]
    kinks = [offsets]
    if isinstance(kernel.interpolator, ik.Cone):
        scales = np.array([2 / (cells - 1) if cells > 1 else 0.0 for cells in kernel.window])
        cells = np.indices(kernel.window).reshape(len(kernel.window), -1).T
        away = (np.abs(cells - kernel.positions[..., None, :]) * scales).sum(-1)
        radii = kernel.interpolator.radius if kernel.widths is None else kernel.widths[..., None]
        kinks.append(away - radii)
    else:
        width = np.abs(kernel.widths[..., None]) if kernel.widths is not None else 0.0
        kinks += [np.abs(offsets) - 1 - width]
    return all((np.abs(kink) > step).all() for kink in kinks)


def _is_well_inside(kernel):
    """Whether no anchor's share of the window is nearly nothing, which a normalized splat is divided by."""
    if isinstance(kernel.interpolator, ik.Cone) or not kernel.interpolator.normalized:
        return True
    shares = kernel.replace(interpolator=dataclasses.replace(kernel.interpolator, normalized=False)).matrices.sum(
        axis=1
    )
    return ((shares == 0) | (shares > 0.2)).all()


@given(
    data=st.data(),
    window=st.lists(st.integers(2, 6), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**32 - 1),
    interpolator=st.sampled_from(SPLATS + CONES),
)
def test_finite_differences_confirm_every_gradient(data, window, seed, interpolator):
    """Away from kinks, gradients by positions and widths are central differences to their own error."""
    rng, step = np.random.default_rng(seed), 1e-5
    shape = data.draw(st.sampled_from([(3,), (2, 3), (2, 2, 3)]))
    kernel = _draw(data.draw, rng, window, shape, interpolator)
    assume(isinstance(interpolator, ik.Gaussian) or _is_smooth(kernel, 5 * step))
    assume(_is_well_inside(kernel))
    weights, grad = rng.standard_normal((2, 2, 3)), rng.standard_normal((2, 2, *window))
    wrt = ("positions",) if kernel.widths is None else ("positions", "widths")
    grads = ik.densify_backward(grad, weights, kernel, wrt)
    for name in wrt:
        held, direction = getattr(kernel, name), rng.uniform(-1, 1, getattr(kernel, name).shape)
        ends = [
            (grad * ik.densify(weights, kernel.replace(**{name: held + sign * step * direction}))).sum()
            for sign in (1, -1)
        ]
        found = (getattr(grads, name) * direction).sum()
        scale = np.abs(grad).sum() * np.abs(weights).max()
        # The third derivative of a profile is at most 50 / 0.27^3 of its value; rounding is 2^-53 over the step.
        assert abs((ends[0] - ends[1]) / (2 * step) - found) <= scale * (50 / 0.27**3 * step**2 + 2.0**-48 / step)


@pytest.mark.parametrize(
    ("interpolator", "expected"),
    [(ik.Bilinear(), 0.0), (ik.Triangle(), 0.0), (ik.Bilinear(normalized=False), 2.0)],
    ids=["bilinear", "triangle", "not normalized"],
)
def test_at_a_whole_position_the_derivative_is_the_documented_one(interpolator, expected):
    """An anchor on a cell: 0 where `abs` decides, and towards larger positions for the share that is not normalized."""
    kernel = ik.InterpolatedKernel([[2.0]], 5, interpolator)
    grad = np.array([0.0, 0.0, 1.0, 3.0, 0.0])  # moving on takes from cell 2 what it gives to cell 3
    assert ik.densify_backward(grad, np.ones(1), kernel, ("positions",)).positions == [[expected]]


@pytest.mark.parametrize("interpolator", SPLATS + CONES, ids=str)
@pytest.mark.parametrize("position", [2.0, 0.0, -0.5, 4.75, -40.0, 1e9])
def test_gradients_are_finite_anywhere(interpolator, position):
    """On cells, on and beyond the border, far away and where anchors coincide: finite values and gradients."""
    kernel = ik.InterpolatedKernel([[position], [position]], 5, interpolator)
    weights, grad = np.array([1.0, 2.0]), np.ones(5)
    assert np.isfinite(ik.densify(weights, kernel)).all()
    grads = ik.densify_backward(grad, weights, kernel, ("weights", "positions"))
    assert np.isfinite(grads.weights).all()
    assert np.isfinite(grads.positions).all()


@given(data=st.data(), window=windows, seed=st.integers(0, 2**32 - 1), interpolator=st.sampled_from(SPLATS))
def test_support_is_where_the_matrix_is_not_zero(data, window, seed, interpolator):
    """Every cell that some anchor reaches, and no other, is a tap; profiles that underflow reach all the same."""
    kernel = _draw(data.draw, np.random.default_rng(seed), window, (2, 4), interpolator)
    reached = np.broadcast_to(kernel.structure.support, (2, *window)).reshape(2, -1)
    matrix = np.broadcast_to(kernel.matrix, (2, reached.shape[1], 4)) if kernel.matrix.ndim == 2 else kernel.matrix
    nonzero = matrix.any(axis=-1)
    assert (reached | ~nonzero).all()
    if not isinstance(interpolator, ik.Gaussian):
        assert (reached == nonzero).all()


def test_equal_position_sets_have_gradients_of_their_own():
    """Positions listed for every filter are shared inside where equal, and their gradients are not summed."""
    rng = np.random.default_rng(0)
    one = rng.uniform(0, 6, (5, 2))
    weights, grad = rng.standard_normal((3, 2, 5)), rng.standard_normal((3, 2, 7, 7))
    listed = ik.InterpolatedKernel(np.stack([one] * 3), (7, 7), "gaussian")
    shared = ik.InterpolatedKernel(one, (7, 7), "gaussian")
    assert listed.shares_positions
    each = ik.densify_backward(grad, weights, listed, ("positions",)).positions
    together = ik.densify_backward(grad, weights, shared, ("positions",)).positions
    assert each.shape == (3, 5, 2)
    np.testing.assert_allclose(each.sum(axis=0), together, rtol=1e-12, atol=1e-12)


def test_a_class_of_ones_own_is_not_taken_for_its_parent():
    """A splat that overrides the profiles is built from its matrix, not by its parent's loops."""

    class Narrow(ik.Gaussian):
        def profiles(self, offsets, widths):
            return super().profiles(2 * offsets, widths)

    rng = np.random.default_rng(0)
    positions, weights = rng.uniform(0, 6, (2, 4, 1)), rng.standard_normal((2, 1, 4))
    kernel = ik.InterpolatedKernel(positions, 7, Narrow())
    assert find_profile(kernel) is None
    expected = np.einsum("fkn,fcn->fck", kernel.matrix, weights)
    np.testing.assert_allclose(ik.densify(weights, kernel), expected, rtol=1e-12)


@pytest.mark.parametrize("threads_count", [1, 2])
def test_bits_do_not_depend_on_threads(threads_count, threads):
    """C8: kernels and gradients of many sets have the same bits on one thread and two, alone and together."""
    rng = np.random.default_rng(0)
    positions, weights = rng.uniform(0, 16, (40, 2, 34, 2)), rng.standard_normal((40, 2, 34))
    kernel = ik.InterpolatedKernel(positions, (17, 17), "gaussian")
    threads(threads_count)
    dense = ik.densify(weights, kernel)
    for index in (0, 39):
        alone = ik.InterpolatedKernel(positions[index : index + 1], (17, 17), "gaussian")
        np.testing.assert_array_equal(ik.densify(weights[index : index + 1], alone)[0], dense[index])


@pytest.mark.parametrize(
    ("interpolator", "widths", "message"),
    [
        ("linear", np.ones((4, 1)), "has none"),
        ("bilinear", np.ones((4, 1)), "has none"),
        ("gaussian", np.ones(4), r"shape \(4, 1\)"),
        ("cone", np.ones((4, 1)), r"shape \(4,\)"),
        ("gaussian", np.full((4, 1), np.nan), "anchors 0, 1"),
        ("cone", np.array([1.0, 0.0, 1.0, -1.0]), "anchors 1, 3"),
    ],
)
def test_wrong_widths_raise(interpolator, widths, message):
    """Widths have the interpolator's shape, are finite, and radii positive."""
    with pytest.raises(ValueError, match=message):
        ik.InterpolatedKernel(ik.grid_positions((7,), 2), 7, interpolator, widths=widths)


def test_widths_that_are_not_numbers_raise():
    """Text is no width."""
    with pytest.raises(TypeError, match="real numbers"):
        ik.InterpolatedKernel([[0.0]], 3, "gaussian", widths=[["wide"]])


def test_a_gradient_by_widths_needs_widths():
    """Where the default stands there is no array to have a gradient."""
    kernel = ik.InterpolatedKernel([[0.0]], 3, "gaussian")
    with pytest.raises(ValueError, match="has none"):
        ik.densify_backward(np.ones(3), np.ones(1), kernel, ("widths",))


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_a_cone_needs_a_radius(radius):
    """A radius is positive and finite."""
    with pytest.raises(ValueError, match="radius"):
        ik.Cone(radius)


@given(seed=st.integers(0, 2**32 - 1))
def test_cones_are_means(seed):
    """A cell that k cones reach takes the sum of their values over k + 1e-6."""
    rng, window = np.random.default_rng(seed), (6, 5)
    positions, radii = rng.uniform(-1, 6, (7, 2)), rng.uniform(0.2, 1.5, 7)
    weights = rng.standard_normal(7)
    expected = np.zeros(window)
    for cell in np.ndindex(window):
        values = []
        for anchor in range(7):
            away = sum(abs(2 * (cell[axis] - positions[anchor, axis]) / (window[axis] - 1)) for axis in range(2))
            values.append(max(0.0, 1 - away / radii[anchor]))
        expected[cell] = sum(v * w for v, w in zip(values, weights, strict=True)) / (np.count_nonzero(values) + 1e-6)
    kernel = ik.InterpolatedKernel(positions, window, "cone", widths=radii)
    np.testing.assert_allclose(ik.densify(weights, kernel), expected, rtol=1e-12, atol=1e-12)
