"""Positions and widths that are learned in JAX: both engines, both modes, first and second order."""

import warnings

import numpy as np
import pytest

import interpolated_kernels as ik

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402 # only where JAX is
from jax.test_util import check_grads  # noqa: E402

from interpolated_kernels_jax import interpolated_conv  # noqa: E402

OPTIONS = {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "groups": 2}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def make_problem(interpolator="gaussian", n=4):
    """Return a kernel, and x, weights, positions and (where it has them) widths, off all kinks."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0.2, 2.8, (n, 2))
    kernel = ik.InterpolatedKernel(positions, (4, 5), interpolator)
    arrays = [rng.normal(size=(1, 6, 5, 6)), rng.normal(size=(2, 3, n)), positions]
    if kernel.interpolator.width_axes is not None:
        shape = positions.shape if kernel.interpolator.width_axes else positions.shape[:-1]
        arrays.append(rng.uniform(0.5, 1.5, shape))
        kernel = kernel.replace(widths=arrays[-1])
    return kernel, [jnp.asarray(array) for array in arrays]


def conv(kernel, engine):
    """Return y of x, weights, positions and widths."""
    return lambda x, weights, positions, widths=None: interpolated_conv(
        x, weights, kernel, positions=positions, widths=widths, engine=engine, **OPTIONS
    )


@pytest.mark.parametrize(("name", "engine"), [("gaussian", "numba"), ("cone", "numba"), ("gaussian", "native")])
def test_derivatives_of_first_and_second_order(name, engine):
    """By x, weights, positions and widths together, in both modes, they are those of finite differences."""
    kernel, arrays = make_problem(name, n=3)
    check_grads(jax.jit(conv(kernel, engine)), arrays, order=2, modes=("fwd", "rev"), rtol=1e-4, atol=1e-4)


def test_other_interpolators_move_by_numba_alone():
    """First derivatives with numba; native raises, and so do a second one and forward mode with numba."""
    kernel, arrays = make_problem("polyharmonic", n=5)
    check_grads(conv(kernel, "auto"), arrays, order=1, modes=("rev",))
    with pytest.raises(ValueError, match="engine='native' learns those of splats and cones"):
        conv(kernel, "native")(*arrays)
    by_positions = lambda positions: conv(kernel, "numba")(*arrays[:2], positions).sum()  # noqa: E731 # one line says it
    for derive in (jax.hessian, jax.jacfwd):
        with pytest.raises(NotImplementedError, match=r"there is no second one by them, and no forward mode \(jvp\)"):
            derive(by_positions)(arrays[2])
    with pytest.raises(NotImplementedError, match="there is no second one by them"):
        jax.grad(lambda positions: jax.grad(by_positions)(positions).sum())(arrays[2])


def test_dtypes_and_samples():
    """Gradients have the dtypes of what they are by; samples of a mapped axis keep theirs apart."""
    kernel, (x, weights, positions, widths) = make_problem()
    single = [array.astype("float32") for array in (x, weights)]
    grads = jax.grad(lambda *anchors: conv(kernel, "auto")(*single, *anchors).sum(), (0, 1))(
        positions.astype("bfloat16"), widths
    )
    assert [grad.dtype for grad in grads] == ["bfloat16", "float64"]
    stack = jnp.concatenate([x, 2 * x])
    of_each = jax.vmap(jax.grad(lambda p, x: conv(kernel, "auto")(x, weights, p, widths).sum()), (None, 0))
    first, second = of_each(positions, stack)
    np.testing.assert_allclose(second, 2 * first, rtol=0, atol=1e-12)


def test_anchors_on_a_line_warn_where_their_kernel_is_made():
    """A kernel that was warned about does not warn again at each step."""
    with pytest.warns(ik.AnchorWarning, match="slope"):
        kernel = ik.InterpolatedKernel([[0, 0], [1, 1], [2, 2]], (3, 3), "polyharmonic")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ik.AnchorWarning)
        y = interpolated_conv(jnp.ones((1, 1, 5, 5)), jnp.ones((1, 1, 3)), kernel, positions=kernel.positions + 0.25)
    assert y.shape == (1, 1, 3, 3)


def test_mistakes_name_the_argument():
    """Another shape, or an interpolator without the derivative, raises."""
    kernel, (x, weights, positions, widths) = make_problem()
    with pytest.raises(ValueError, match=r"`positions` must have shape \(4, 2\)"):
        conv(kernel, "auto")(x, weights, positions[1:])
    with pytest.raises(ValueError, match="`widths` cannot be learned: Bilinear"):
        conv(kernel.replace(interpolator="bilinear", widths=None), "auto")(x, weights, positions, widths)
