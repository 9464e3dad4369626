"""JAX's native lattice gives the core's numbers."""

import re

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting, testing

jax = pytest.importorskip("jax")

from interpolated_kernels_jax import interpolated_conv  # noqa: E402 # only where JAX is
from interpolated_kernels_jax.convolution import describe  # noqa: E402
from interpolated_kernels_jax.native_engine import conv_lattice  # noqa: E402

WINDOWS = {1: (13,), 2: (9, 7), 3: (5, 5, 7)}
CASES = [
    ("linear", 2, "separate", {"stride": 2, "padding": 2}),
    ("nearest", 1, "tied", {"dilation": 2, "padding": ((3, 1),), "padding_mode": "reflect"}),
    ("cubic", 2, "separate", {"groups": 2, "padding": "same"}),
    ("bspline", 1, "separate", {}),
    ("linear", 3, "interpolated", {"dilation": (1, 2, 1)}),
    ("linear", 2, "depthwise", {"groups": 2, "stride": (1, 2), "dilation": 2}),
]


@pytest.mark.parametrize(("name", "d", "mode", "options"), CASES)
def test_the_lattice_is_the_core(name, d, mode, options):
    """y and both gradients of float32 are within the reference's bounds, be it the cheaper one or not."""
    window = (*WINDOWS[d], 3) if mode == "interpolated" else WINDOWS[d]
    kernel = ik.InterpolatedKernel(
        ik.grid_positions(window, 2), window, name, channel_mode=mode.replace("depthwise", "separate")
    )
    groups, rng = options.get("groups", 1), np.random.default_rng(0)
    channels = 1 if mode == "depthwise" else 3
    shape = (4, kernel.n_anchors) if mode in ("tied", "interpolated") else (4, channels, kernel.n_anchors)
    x = rng.standard_normal((2, channels * groups, *(2 * cells + 3 for cells in WINDOWS[d]))).astype("float32")
    weights = rng.standard_normal(shape).astype("float32")
    full = {"padding": "valid", "path": "auto", "accuracy": "normwise", **options}
    convolution = describe(x.shape, shape, kernel, "float32", anchors=("weights",), engine="native", **full)
    lattice = adapting.find_lattice(kernel)
    y, pull = jax.vjp(jax.jit(lambda x, weights: conv_lattice(x, weights, lattice, convolution)), x, weights)
    grad_y = rng.standard_normal(y.shape).astype("float32")
    testing.assert_matches_reference(np.asarray(y), x, weights, kernel, **options)
    for quantity, grad in zip(("grad_x", "grad_weights"), pull(jax.numpy.asarray(grad_y)), strict=True):
        testing.assert_matches_reference(
            np.asarray(grad), x, weights, kernel, quantity=quantity, grad_y=grad_y, **options
        )


def test_the_cheaper_one_is_chosen():
    """A large window on a coarse even grid takes the lattice, of narrow convolutions alone; scattered ones do not."""

    def find_widest(interpolator):
        x, weights = (jax.ShapeDtypeStruct(shape, "float32") for shape in [(1, 4, 64, 64), (4, 4, 49)])
        kernel = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), interpolator)
        run = lambda x, weights: interpolated_conv(x, weights, kernel, engine="native")  # noqa: E731
        text = jax.jit(run).lower(x, weights).as_text()
        return max(int(size) for size in re.findall(r"stablehlo.convolution.*, tensor<4x4x(\d+)x\d+xf32>\)", text))

    assert find_widest("linear") < 31
    assert find_widest("gaussian") == 31
