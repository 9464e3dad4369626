"""JAX's transformations of the function, on both engines: derivatives, batches, loops, devices, export."""

import os
import subprocess
import sys

import numpy as np
import pytest

import interpolated_kernels as ik

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402 # only where JAX is
from jax.test_util import check_grads  # noqa: E402

from interpolated_kernels_jax import interpolated_conv  # noqa: E402

ENGINES = ("auto", "native")
KERNEL = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def make_arrays(seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape)) for shape in [(2, 4, 6, 7), (6, 2, 4), (6,)]]


def conv(engine):
    """Return y of x, weights and bias."""
    return lambda x, weights, bias=None: interpolated_conv(
        x, weights, KERNEL, bias, groups=2, stride=2, padding=((1, 2), (0, 1)), engine=engine
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_derivatives_to_the_second_order_in_both_modes(engine):
    """Every mix of forward and reverse mode, by x, weights and bias together, is that of finite differences."""
    check_grads(jax.jit(lambda *arrays: conv(engine)(*arrays) ** 2), make_arrays(), order=2, modes=("fwd", "rev"))


def test_third_derivatives_and_hessians():
    """The core serves any order: those of engine "numba" are those of JAX's own operations."""
    x, weights, _ = make_arrays()

    def third(engine):
        energy = lambda x, weights: (conv(engine)(x, weights) ** 3).sum()  # noqa: E731 # one line says it
        along = lambda f: lambda x, weights: sum(map(jnp.vdot, jax.grad(f, (0, 1))(x, weights), (x, weights)))  # noqa: E731
        return jax.jit(jax.grad(along(along(energy)), (0, 1)))(x, weights)

    for own, expected in zip(third("numba"), third("native"), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-11, atol=0)
    hessians = [
        jax.jit(jax.hessian(lambda weights: (conv(engine)(x, weights) ** 2).sum()))(weights)  # noqa: B023
        for engine in ("numba", "native")
    ]
    np.testing.assert_allclose(*hessians, rtol=0, atol=1e-11)


def test_linear_transposes():
    """`jax.linear_transpose` by x, by the weights and by the bias is the gradient."""
    x, weights, bias = make_arrays()
    grad_y = conv("auto")(x, weights)
    grads = jax.vjp(conv("auto"), x, weights, bias)[1](grad_y)
    (by_x,) = jax.linear_transpose(lambda x: conv("auto")(x, weights), x)(grad_y)
    (by_weights,) = jax.linear_transpose(lambda weights: conv("auto")(x, weights), weights)(grad_y)
    (by_bias,) = jax.linear_transpose(lambda bias: conv("auto")(0 * x, weights, bias), bias)(grad_y)
    for own, expected in zip((by_x, by_weights, by_bias), grads, strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_mapped_axes(engine):
    """`vmap` over x, whichever axis, weights, or both is a loop over them."""
    stack = jnp.stack([make_arrays(seed)[0] for seed in range(3)], axis=1)
    banks = jnp.stack([make_arrays(seed)[1] for seed in range(3)])
    run = conv(engine)
    expected = [[run(stack[:, i], banks[j]) for j in range(3)] for i in range(3)]
    cases = {
        (1, None): [expected[i][0] for i in range(3)],
        (None, 0): [expected[0][j] for j in range(3)],
        (1, 0): [expected[i][i] for i in range(3)],
    }
    for axes, rows in cases.items():
        x, weights = (stack if axes[0] == 1 else stack[:, 0]), (banks if axes[1] == 0 else banks[0])
        np.testing.assert_allclose(jax.jit(jax.vmap(run, axes))(x, weights), rows, rtol=0, atol=1e-13)


def test_a_mapped_x_is_one_call(monkeypatch):
    """Samples without a batch axis become the batch, in y and in the gradients of a loss over all."""
    asked, once, backward = [], ik.conv, ik.conv_backward
    monkeypatch.setattr(ik, "conv", lambda x, *args, **options: asked.append(x.shape) or once(x, *args, **options))
    monkeypatch.setattr(
        ik, "conv_backward", lambda g, x, *args, **options: asked.append(x.shape) or backward(g, x, *args, **options)
    )
    x, weights, _ = make_arrays()
    loss = lambda run: lambda x, weights: (run(x, weights) ** 2).sum()  # noqa: E731 # one line says it
    grads = jax.jit(jax.grad(loss(jax.vmap(conv("auto"), (0, None))), (0, 1)))(x, weights)
    assert jax.block_until_ready(grads)
    assert asked == [x.shape, x.shape]
    for own, expected in zip(grads, jax.grad(loss(conv("auto")), (0, 1))(x, weights), strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_of_each_sample(engine):
    """`vmap` of `grad` by weights, and Jacobians in both modes, keep the samples apart."""
    x, weights, _ = make_arrays()
    loss = lambda weights, x: (conv(engine)(x, weights) ** 2).sum()  # noqa: E731 # one line says it
    each = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(weights, x)
    for own, sample in zip(each, x, strict=True):
        np.testing.assert_allclose(own, jax.grad(loss)(weights, sample), rtol=0, atol=1e-12)
    x, weights = x[0, :, :4, :5], weights[:2]
    jacobians = [jax.jit(make(conv(engine), (0, 1)))(x, weights) for make in (jax.jacfwd, jax.jacrev)]
    for forward, reverse in zip(*jacobians, strict=True):
        np.testing.assert_allclose(forward, reverse, rtol=0, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
def test_plain_weights_map_over_anything(engine):
    """Images of any leading axes, one plain kernel: a mapped axis is one more of them."""
    x = make_arrays()[0]
    run = lambda x: interpolated_conv(x, jnp.array([1.0, 2.0, 3.0, 4.0]), KERNEL, engine=engine)  # noqa: E731
    np.testing.assert_array_equal(jax.vmap(jax.vmap(run), 1, 1)(x), run(x))


@pytest.mark.parametrize("engine", ENGINES)
def test_loops(engine):
    """Within `scan` under `jit`, with and without rematerialisation: y and gradients of the unrolled loop."""
    x, weights, _ = make_arrays()
    layer = lambda h: jnp.tanh(interpolated_conv(h, weights[:4], KERNEL, groups=2, padding="same", engine=engine))  # noqa: E731

    def scanned(step):
        return lambda x: jax.lax.scan(lambda h, _: (step(h), None), x, length=3)[0].sum()

    expected = jax.value_and_grad(lambda x: layer(layer(layer(x))).sum())(x)
    for step in (layer, jax.checkpoint(layer)):
        for own, other in zip(jax.jit(jax.value_and_grad(scanned(step)))(x), expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=0, atol=1e-12)


def test_outside_of_jit():
    """With `jax.disable_jit` the result is the same."""
    x, weights, bias = make_arrays()
    with jax.disable_jit():
        y = conv("auto")(x, weights, bias)
    np.testing.assert_array_equal(y, conv("auto")(x, weights, bias))


def test_an_export_is_native():
    """What `jax.export` writes runs for an open batch and on other platforms; engine "numba" by name raises."""
    from jax import export  # it is no attribute of jax

    x, weights, _ = make_arrays()
    (batch,) = export.symbolic_shape("batch")
    types = jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype), jax.ShapeDtypeStruct(weights.shape, weights.dtype)
    written = export.export(jax.jit(conv("auto")), platforms=("cpu", "cuda"))(*types).serialize()
    y = export.deserialize(written).call(x, weights)
    np.testing.assert_allclose(y, conv("auto")(x, weights), rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match=r"`engine`='numba' cannot serve this call: it is exported.*engine='native'"):
        export.export(jax.jit(conv("numba")))(*types)
    with pytest.raises(ValueError, match="its loops run on the CPU, not on cuda"):
        jax.jit(conv("numba")).trace(x, weights).lower(lowering_platforms=("cuda",))
    lowered = jax.jit(conv("auto")).trace(x, weights).lower(lowering_platforms=("cuda",)).as_text()
    assert "callback" not in lowered


ON_FOUR_DEVICES = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from jax.sharding import NamedSharding, PartitionSpec as P
import interpolated_kernels as ik
from interpolated_kernels_jax import interpolated_conv

kernel = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")
rng = np.random.default_rng(0)
x, weights = rng.normal(size=(8, 4, 6, 7)), rng.normal(size=(6, 2, 4))
mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
conv = lambda engine: lambda x, weights: interpolated_conv(x, weights, kernel, groups=2, engine=engine)
loss = lambda run: lambda x, weights: (run(x, weights) ** 2).sum()
expected = jax.grad(loss(conv("numba")), (0, 1))(x, weights)

def check(step):
    for own, other in zip(step(x, weights), expected, strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-11)

for checks in (True, False):
    sharded = jax.shard_map(
        conv("numba"), mesh=mesh, in_specs=(P("batch"), P()), out_specs=P("batch"), check_vma=checks)
    check(jax.jit(jax.grad(loss(sharded), (0, 1))))
x = jax.device_put(x, NamedSharding(mesh, P("batch")))
check(jax.jit(jax.grad(loss(conv("auto")), (0, 1))))
try:
    jax.jit(conv("numba"))(x, weights)
except ValueError as error:
    print(error)
"""


def test_several_devices():
    """Under `shard_map` each device calls the core; where JAX divides the work itself, "auto" is native."""
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_FOUR_DEVICES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "`engine`='numba' cannot serve this call: JAX divides it among several devices" in done.stdout
