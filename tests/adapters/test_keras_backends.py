"""Keras on its other backends: native alone, the lattice and learned splats too. Each runs in a process of its own."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("keras")

_PROGRAM = """
import sys, numpy as np, keras, interpolated_kernels as ik
from keras import ops
from interpolated_kernels.adapting import lattices
from interpolated_kernels.testing import assert_matches_reference
from interpolated_kernels_keras import InterpolatedConv1D, InterpolatedConv2D, InterpolatedConv3D, native_lattice
backend = sys.argv[1]
assert keras.backend.backend() == backend
rng = np.random.default_rng(0)
LAYERS = {1: InterpolatedConv1D, 2: InterpolatedConv2D, 3: InterpolatedConv3D}
served, convolve = [], native_lattice.conv
native_lattice.conv = lambda *arguments: served.append(1) or convolve(*arguments)
# Wherever there is one, whether it is the cheaper one or not.
native_lattice.adapting.choose_lattice = (
    lambda kernel, *rest: lattices.find_lattice(kernel) if lattices.has_lattice(kernel) else None
)
make = lambda name, window, spacing, **options: ik.InterpolatedKernel(
    ik.grid_positions(window, spacing), window, name, **options
)
dense = lambda d, **options: make("inverse_distance", (3,) * d, 2, **options)
splats = ik.InterpolatedKernel(rng.uniform(0.5, 2.5, (5, 2)), (4, 4), "gaussian")

def gradients(layer, x):
    if backend == "torch":
        layer(x).sum().backward()
        return [variable.value.grad for variable in layer.trainable_variables]
    import jax
    start = [variable.value for variable in layer.trainable_variables]
    return jax.grad(lambda values: layer.stateless_call(values, [], x)[0].sum())(start)

for kernel, size, options, is_lattice in (
    (dense(2), 7, {"padding": "same", "strides": 2, "dilation_rate": 2, "groups": 2}, False),
    (dense(2), 7, {"data_format": "channels_first", "dilation_rate": 2}, False),
    (dense(2, channel_mode="tied"), 7, {"groups": 2}, False),
    (dense(3), 6, {"padding": "same"}, False),
    (make("linear", (10,), 3), 23, {"padding": "causal", "groups": 4, "dilation_rate": 2}, True),
    (make("linear", (7, 7), 3), 9, {"padding": "same", "groups": 4}, True),
    (make("cubic", (7, 7), 3), 12, {"strides": 2, "groups": 2, "data_format": "channels_first"}, True),
    (make("linear", (4, 4, 4), 3), 5, {"padding": "same", "groups": 4}, True),
    (splats, 7, {"learn_positions": True, "learn_widths": True}, False),
):
    served.clear()
    d = kernel.n_dims
    layer = LAYERS[d](8, kernel, use_bias=False, **options)
    last = layer.data_format == "channels_last"
    x = rng.normal(size=(2, 4, *(size,) * d)).astype("float32")
    given = ops.convert_to_tensor(np.moveaxis(x, 1, -1) if last else x)
    y = layer(given)
    assert layer.compute_output_shape(given.shape) == tuple(y.shape)
    assert bool(served) == is_lattice, kernel
    assert layer.choose_engine(given) == "native"
    core = {"stride": layer.strides, "padding": layer.padding, "dilation": layer.dilation_rate, "groups": layer.groups}
    y = ops.convert_to_numpy(y)
    arrays = x, ops.convert_to_numpy(layer.kernel), layer.current_kernel
    assert_matches_reference(np.moveaxis(y, -1, 1) if last else y, *arrays, **core)
    wrt = ("weights", "positions", "widths") if "learn_widths" in options else ("weights",)
    grad_y = np.ones_like(np.moveaxis(y, -1, 1) if last else y)
    expected = ik.conv_backward(grad_y, *arrays, wrt=wrt, **core)
    for name, grad in zip(wrt, gradients(layer, given), strict=True):
        own, other = ops.convert_to_numpy(grad), getattr(expected, name)
        assert np.abs(own - other).max() <= 1e-4 * np.abs(other).max(), (kernel, name)  # float32, sums of 1000 terms
    plain = np.asarray(ops.convert_to_numpy(layer.dense_kernel()))
    assert np.allclose(plain, np.moveaxis(ik.densify(arrays[1], kernel), (0, 1), (-1, -2)), rtol=0, atol=1e-5)

for mistake, message in (
    ({"engine": "numba"}, "`engine`='numba' needs Keras' TensorFlow backend"),
    ({"learn_positions": True}, "engine='native' learns those of splats and cones"),
):
    try:
        InterpolatedConv2D(4, splats.replace(interpolator="rbf"), **mistake)
    except ValueError as error:
        assert message in str(error)
    else:
        raise AssertionError(message)
assert "interpolated_kernels_tensorflow" not in sys.modules
"""


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_native_runs_on_the_other_backends(backend):
    """ "auto" is native and matches the core, gradients too; engine="numba" and anchors of other families raise."""
    pytest.importorskip(backend)
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", _PROGRAM, backend]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
