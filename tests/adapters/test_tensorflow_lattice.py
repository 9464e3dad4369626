"""The native lattice of TensorFlow: the numbers of the core, chosen by count, under XLA and with open sizes."""

import itertools
import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

import interpolated_kernels as ik  # noqa: E402  # after the look for TensorFlow
from interpolated_kernels import testing  # noqa: E402
from interpolated_kernels_tensorflow import interpolated_conv, native_lattice  # noqa: E402

WINDOWS = {1: (13,), 2: (9, 7), 3: (5, 5, 7)}
OPTIONS = {
    "plain": {},
    "dilated": {"dilation": 2, "padding": ((3, 1),), "padding_mode": "reflect"},
    "grouped": {"groups": 2, "padding": "same"},
    "depthwise": {"groups": 6, "padding": 1},  # the last: channels of one cannot be interpolated
}


def make_problem(name, d, chosen, mode="separate"):
    """Return a kernel, x and weights of it, and the options in full."""
    groups = chosen.get("groups", 1)
    window = (*WINDOWS[d], 6 // groups) if mode == "interpolated" else WINDOWS[d]
    kernel = ik.InterpolatedKernel(
        ik.grid_positions(window, counts=(2,) * len(window)), window, name, channel_mode=mode
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, *(2 * cells + 3 for cells in WINDOWS[d])))
    weights = rng.normal(size=(12, 6 // groups, kernel.n_anchors)[:: 1 if mode == "separate" else 2])
    padding = chosen.get("padding", "valid")
    return kernel, x, weights, {**chosen, "padding": padding * d if isinstance(padding, tuple) else padding}


@pytest.fixture
def lattices(monkeypatch):
    """The lattice wherever there is one, whether it is the cheaper one or not; how often it served."""
    served, convolve = [], native_lattice.conv
    monkeypatch.setattr(
        native_lattice.adapting, "choose_lattice", lambda kernel, *rest: native_lattice.adapting.find_lattice(kernel)
    )
    monkeypatch.setattr(native_lattice, "conv", lambda *arguments: served.append(1) or convolve(*arguments))
    return served


def step(x, weights, grad_y, kernel, options):
    """Return y and its gradients by x and weights, natively."""
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = interpolated_conv(x, weights, kernel, engine="native", **options)
    return y, *tape.gradient(y, [x, weights], grad_y)


def assert_is_the_core(kernel, x, weights, options, run):
    """Hold y and both gradients of `run` against the reference."""
    shape = testing.reference(x, weights, kernel, **options).shape
    grad_y = np.random.default_rng(1).normal(size=shape)
    for quantity, own in zip(("y", "grad_x", "grad_weights"), run(x, weights, grad_y), strict=True):
        testing.assert_matches_reference(own.numpy(), x, weights, kernel, quantity=quantity, grad_y=grad_y, **options)


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [*itertools.product(["separate", "tied"], OPTIONS), *itertools.product(["interpolated"], list(OPTIONS)[:-1])],
)
@pytest.mark.parametrize(("name", "d"), [("nearest", 1), ("linear", 1), ("cubic", 2), ("keys", 2), ("bspline", 3)])
def test_the_lattice_is_the_core(name, d, chosen, mode, lattices):
    """y and both gradients are within the reference's bounds."""
    kernel, x, weights, options = make_problem(name, d, OPTIONS[chosen], mode)
    run = lambda *arrays: step(*map(tf.constant, arrays), kernel, options)  # noqa: E731 # one line says it
    assert_is_the_core(kernel, x, weights, options, run)
    assert lattices


@pytest.mark.parametrize("chosen", ["plain", "depthwise"])
@pytest.mark.parametrize("sizes", ["known", "open"])
def test_it_compiles(chosen, sizes, lattices):
    """Under XLA with sizes that are known, and in a graph with sizes that are not, all of it is the same."""
    kernel, x, weights, options = make_problem("linear", 2, OPTIONS[chosen])
    compiled = sizes == "known"
    shape = (None, 6, None, None) if sizes == "open" else x.shape
    signature = [
        tf.TensorSpec(shape, tf.float64),
        tf.TensorSpec(weights.shape, tf.float64),
        tf.TensorSpec(None, tf.float64),
    ]
    traced = tf.function(
        lambda *tensors: step(*tensors, kernel, options),
        jit_compile=compiled,
        input_signature=None if compiled else signature,
    )
    assert_is_the_core(kernel, x, weights, options, traced)
    assert lattices


def test_the_cheaper_one_is_chosen():
    """A large window on a coarse even grid takes the lattice; a small one, and a stride, the dense kernel."""
    large = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    small = ik.InterpolatedKernel(ik.grid_positions((3, 3), 1), (3, 3), "linear")
    found = []
    for kernel, stride in ((large, 1), (small, 1), (large, 2)):
        weights = (8, 1, kernel.n_anchors)
        settled = native_lattice.adapting.settle((1, 8, 40, 40), weights, kernel, groups=8, stride=stride)
        found.append(native_lattice.choose({}, settled))
    assert [lattice is not None for lattice in found] == [True, False, False]
