"""Which engine serves where, and what it costs: host functions, gradients that nobody asked for, copies."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

import interpolated_kernels as ik  # noqa: E402  # after the look for TensorFlow
from interpolated_kernels.testing import assert_matches_reference  # noqa: E402
from interpolated_kernels_tensorflow import engines, interpolated_conv  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 3), 2), (5, 3), "linear")
OPTIONS = {"padding": "same", "padding_mode": "circular"}
X = np.random.default_rng(0).normal(size=(2, 2, 7, 6))
WEIGHTS = np.random.default_rng(1).normal(size=(3, 2, 6))


def conv(x, weights=WEIGHTS, **options):
    return interpolated_conv(x, weights, KERNEL, **OPTIONS, **options)


def step(x, weights, **options):
    """Return y and the gradients by x and weights of the sum of y's squares."""
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = conv(x, weights, **options)
        loss = tf.reduce_sum(y**2)
    return y, *tape.gradient(loss, [x, weights])


def count_host_functions(function, *arguments):
    graph = function.get_concrete_function(*arguments).graph
    return sum("PyFunc" in operation.type for operation in graph.get_operations())


@pytest.fixture
def backward_calls(monkeypatch):
    """What is asked of `ik.conv_backward`, call by call."""
    calls, original = [], ik.conv_backward
    monkeypatch.setattr(
        ik, "conv_backward", lambda *a, **options: calls.append(options["wrt"]) or original(*a, **options)
    )
    return calls


def test_auto_is_numba_on_the_cpu_eager_and_traced():
    """`engine="auto"` calls this project's loops: in a training step's graph one host function a direction."""
    assert engines.choose_engine("auto", "auto", tf.constant(X)) == "numba"
    assert count_host_functions(tf.function(conv), tf.constant(X)) == 1
    traced = tf.function(step)
    assert count_host_functions(traced, tf.constant(X), tf.constant(WEIGHTS)) == 2
    for own, expected in zip(traced(X, WEIGHTS), step(tf.constant(X), tf.constant(WEIGHTS)), strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("traced", [False, True])
def test_only_the_gradients_that_were_asked_for_are_computed(traced, backward_calls):
    """Of x as it came there is no gradient; of both they come from one call of the core."""

    def by_weights(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            y = conv(x, weights)
        return tape.gradient(y, weights)

    for function, expected in ((by_weights, ("weights",)), (step, ("x", "weights"))):
        backward_calls.clear()
        (tf.function(function) if traced else function)(tf.constant(X), tf.constant(WEIGHTS))
        assert backward_calls == [expected]


def test_gradients_that_no_tape_saw_coming_are_there(backward_calls):
    """`tf.gradients`, and a tape around a traced function, find all of them, and compute what they need alone."""
    x, weights = tf.constant(X), tf.constant(WEIGHTS)
    _, *expected = step(x, weights)
    backward_calls.clear()
    by_x = tf.function(lambda x, w: tf.gradients(tf.reduce_sum(conv(x, w) ** 2), x))(x, weights)
    assert backward_calls == [("x",)]
    traced = tf.function(conv)
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        loss = tf.reduce_sum(traced(x, weights) ** 2)
    for own, other in zip([*by_x, *tape.gradient(loss, [x, weights])], [expected[0], *expected], strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-12)  # sums of order 100


def test_a_jacobian_is_there():
    """`tape.jacobian`, which vectorizes the backward pass, gives the matrix of the linear map."""
    x = tf.constant(X[:1, :, :5, :4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = conv(x)
    jacobian = tape.jacobian(y, x)
    np.testing.assert_allclose(tf.tensordot(jacobian, x, 4), y, rtol=0, atol=1e-12)


def test_xla_runs_native_and_refuses_numba():
    """Under `jit_compile=True`, "auto" compiles, gradients too, and "numba" raises while tracing."""
    compiled = tf.function(step, jit_compile=True)
    for own, expected in zip(compiled(X, WEIGHTS), step(tf.constant(X), tf.constant(WEIGHTS)), strict=True):
        np.testing.assert_allclose(own, expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"cannot serve this call: it is compiled by XLA.* Use engine='native'"):
        tf.function(lambda x: conv(x, engine="numba"), jit_compile=True)(X)


def test_other_devices_get_native(monkeypatch):
    """A graph may run on an accelerator where there is one, unless it is told to stay; tensors know where they are."""
    devices = [SimpleNamespace(device_type=kind) for kind in ("CPU", "GPU")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: devices)
    assert engines.choose_engine("auto", "auto", tf.constant(X)) == "numba"
    assert count_host_functions(tf.function(conv), tf.constant(X)) == 0
    assert count_host_functions(tf.function(lambda x: conv(x, engine="numba")), tf.constant(X)) == 1
    seen = []

    @tf.function
    def traced(x):
        with tf.device("/CPU:0"):
            seen.append(engines.choose_engine("auto", "auto", tf.identity(x)))

    traced(tf.constant(X))
    assert seen == ["numba"]
    elsewhere = SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0")
    assert engines.choose_engine("auto", "auto", elsewhere) == "native"
    with pytest.raises(ValueError, match=r"its loops run on the CPU and a tensor is on .*GPU:0. Use engine='native'"):
        engines.choose_engine("numba", "auto", elsewhere)


def test_a_named_path_needs_numba():
    """Where native has to serve, a path of the core that was named raises."""
    with pytest.raises(ValueError, match="`path`='direct' is this project's own and needs engine='numba'"):
        tf.function(lambda x: conv(x, path="direct"), jit_compile=True)(X)


def test_a_saved_model_serves_in_a_new_process(tmp_path):
    """A function that ran by numba before is saved as native, of any batch and size; by name numba raises."""
    module, signature = tf.Module(), [tf.TensorSpec([None, 2, None, None], tf.float64)]
    module.serve = tf.function(conv, input_signature=signature)
    module.serve(X)
    assert count_host_functions(module.serve) == 1
    tf.saved_model.save(module, str(tmp_path / "model"))
    np.save(tmp_path / "x.npy", X)
    program = (
        "import sys, numpy, tensorflow as tf; folder = sys.argv[1]\n"
        "y = tf.saved_model.load(folder + '/model').serve(tf.constant(numpy.load(folder + '/x.npy')))\n"
        "numpy.save(folder + '/y.npy', y); assert 'interpolated_kernels' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)
    assert_matches_reference(np.load(tmp_path / "y.npy"), X, WEIGHTS, KERNEL, **OPTIONS)
    module.serve = tf.function(lambda x: conv(x, engine="numba"), input_signature=signature)
    with pytest.raises(ValueError, match=r"cannot serve this call: it is traced for export.* Use engine='native'"):
        tf.saved_model.save(module, str(tmp_path / "model"))
