"""JAX's function: both engines against the reference, dtypes, one call of the core a direction, and mistakes."""

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import strategies

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402 # only where JAX is

from interpolated_kernels_jax import interpolated_conv  # noqa: E402

ENGINES = ("numba", "native")
KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def make_arrays(x_shape=(2, 2, 6, 7), weights_shape=(3, 2, 4)):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.standard_normal(x_shape)), jnp.asarray(rng.standard_normal(weights_shape))


def assert_matches(case, engine):
    """Hold y and both gradients of one engine to the bounds of the reference."""
    run = lambda x, weights: interpolated_conv(x, weights, case.kernel, engine=engine, **case.options)  # noqa: E731
    y, pull = jax.vjp(run, case.x, case.weights)
    grad_x, grad_weights = pull(jnp.asarray(case.grad_y))
    case.assert_matches("y", np.asarray(y))
    case.assert_matches("grad_x", np.asarray(grad_x))
    case.assert_matches("grad_weights", np.asarray(grad_weights), arithmetic=case.x.dtype.name)


@hypothesis.given(case=strategies.cases())
@hypothesis.settings(deadline=None, max_examples=10)
def test_numba_matches_the_reference(case):
    """For random problems y and both gradients are within the reference's bounds."""
    assert_matches(case, "numba")


@hypothesis.given(case=strategies.cases())
@hypothesis.settings(deadline=None, max_examples=12)  # each is compiled anew
def test_native_matches_the_reference(case):
    """For random problems y is within the reference's bound; the gradients are JAX's own."""
    y = interpolated_conv(case.x, case.weights, case.kernel, engine="native", **case.options)
    case.assert_matches("y", np.asarray(y))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_bias_is_added_to_every_filter(engine):
    """y with a bias is y without it, plus one value a filter; its gradient is a sum over all else."""
    x, weights = make_arrays()
    bias = jnp.array([1.0, 2.0, 3.0])
    run = lambda bias: interpolated_conv(x, weights, KERNEL, bias, engine=engine)  # noqa: E731 # one line says it
    y, pull = jax.vjp(run, bias)
    np.testing.assert_array_equal(y, interpolated_conv(x, weights, KERNEL, engine=engine) + bias[:, None, None])
    np.testing.assert_allclose(pull(y)[0], y.sum((0, 2, 3)), rtol=0, atol=1e-12)
    plain = interpolated_conv(x[0, 0], weights[0, 0], KERNEL, 2.0, engine=engine)
    np.testing.assert_array_equal(plain, interpolated_conv(x[0, 0], weights[0, 0], KERNEL, engine=engine) + 2.0)


def test_large_arrays_of_float64():
    """Programs that JAX runs on threads of its own, which do not know that float64 is switched on, keep its digits."""
    x, weights = jnp.full((8, 2, 200, 200), 1 + 1e-12), jnp.ones((3, 2, 4))
    y = jax.jit(lambda x: interpolated_conv(2 * x, weights, KERNEL))(x)
    np.testing.assert_allclose(y - 48, 48e-12, rtol=1e-2, atol=0)


def test_without_x64_everything_is_float32():
    """float64 arrays of NumPy become JAX's float32, as everywhere in JAX."""
    with jax.enable_x64(False):
        y = interpolated_conv(np.ones((1, 1, 6, 7)), np.ones((1, 1, 4)), KERNEL)
    assert y.dtype == "float32"


def test_one_call_of_the_core_a_direction(monkeypatch):
    """A training step calls `conv` once and `conv_backward` once, for what is wanted."""
    seen, asked, conv, backward = [], [], ik.conv, ik.conv_backward
    monkeypatch.setattr(ik, "conv", lambda x, *args, **options: seen.append(x.shape) or conv(x, *args, **options))
    monkeypatch.setattr(
        ik, "conv_backward", lambda *args, **options: asked.append(options["wrt"]) or backward(*args, **options)
    )
    x, weights = make_arrays()
    loss = lambda x, weights: (interpolated_conv(x, weights, KERNEL) ** 2).sum()  # noqa: E731 # one line says it
    jax.block_until_ready(jax.grad(loss, (0, 1))(x, weights))
    jax.block_until_ready(jax.jit(jax.grad(loss))(x, weights))
    jax.block_until_ready(jax.jit(jax.grad(loss, 1))(x, weights))
    assert asked == [("x", "weights"), ("x",), ("weights",)]
    assert seen == [x.shape] * 3


def test_layouts_and_byte_orders_of_numpy_do_not_matter():
    """Transposed, strided and foreign arrays of NumPy give what their plain copies give."""
    x, weights = (np.asarray(array) for array in make_arrays())
    scattered = np.repeat(x.transpose(3, 2, 0, 1), 2, axis=0)[::2].transpose(2, 3, 1, 0).astype(">f8")
    y = interpolated_conv(scattered, weights.astype(">f4").astype(">f8"), KERNEL)
    np.testing.assert_array_equal(y, interpolated_conv(x, weights.astype("float32").astype("float64"), KERNEL))


def test_one_file_for_all_frameworks(tmp_path):
    """Weights that `ik.save` wrote give here what they give in PyTorch."""
    torch, ikt = pytest.importorskip("torch"), pytest.importorskip("interpolated_kernels_torch")
    x, weights = (np.asarray(array) for array in make_arrays())
    ik.save(tmp_path / "kernel.npz", KERNEL, weights=weights)
    saved = ik.load(tmp_path / "kernel.npz")
    y = interpolated_conv(x, saved.weights, saved.kernel, padding="same")
    expected = ikt.interpolated_conv(torch.tensor(x), torch.tensor(weights), KERNEL, padding="same")
    np.testing.assert_array_equal(y, expected.numpy())


MISTAKES = {
    "list": (TypeError, "`x` must be an array of JAX or NumPy, got list", {"x": [[1.0]]}),
    "none": (TypeError, "`weights` must be an array of JAX or NumPy, got NoneType", {"weights": None}),
    "integers": (TypeError, "`x` must be a floating array, got int", {"x": np.ones((1, 2, 6, 7), int)}),
    "traced integers": (TypeError, "`x` must be a floating array, got int", {"x": jnp.ones((1, 2, 6, 7), int)}),
    "complex": (TypeError, "`bias` must be real", {"bias": jnp.ones(3, complex)}),
    "masked": (TypeError, "`x` must not be a masked array", {"x": np.ma.ones((1, 2, 6, 7))}),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_name_the_argument(name):
    """What is no floating array, or does not fit the engine, raises before anything is computed, under `jit` too."""
    error, message, changes = MISTAKES[name]
    x, weights = make_arrays()
    with pytest.raises(error, match=message):
        jax.jit(lambda: interpolated_conv(**{"x": x, "weights": weights, "kernel": KERNEL, **changes}))()
