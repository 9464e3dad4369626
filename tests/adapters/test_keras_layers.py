"""Keras' layers beyond the call: engines, learned anchors, conversion, files, state and export."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("these tests run Keras on TensorFlow", allow_module_level=True)

import interpolated_kernels as ik  # noqa: E402  # after the look for Keras
from interpolated_kernels import testing  # noqa: E402
from interpolated_kernels_keras import (  # noqa: E402
    InterpolatedConv1D,
    InterpolatedConv2D,
    InterpolatedConv2d,
    InterpolatedConv3D,
)

LAYERS = {1: InterpolatedConv1D, 2: InterpolatedConv2D, 3: InterpolatedConv3D}
KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
MOVING = ik.InterpolatedKernel(np.random.default_rng(0).uniform(0.5, 3.5, (6, 2)), (5, 5), "gaussian")


def make_x(channels=2, d=2):
    return np.random.default_rng(1).normal(size=(4, *(9, 8, 7)[:d], channels)).astype(np.float32)


def make_layer(kernel=KERNEL, channels=2, **options):
    keras.utils.set_random_seed(0)
    layer = LAYERS[kernel.n_dims](4, kernel, **options)
    layer.build((None, *(None,) * kernel.n_dims, channels))
    return layer


def make_model(*layers):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((9, 8, 2)), *layers, keras.layers.GlobalAveragePooling2D()])


def fit(model, **options):
    """Return the losses of three epochs towards a target that the layer can reach."""
    x = make_x()
    model.compile(keras.optimizers.Adam(0.02), "mse", **options)
    return model.fit(x, x.mean(axis=(1, 2)).repeat(2, 1), epochs=3, batch_size=2, verbose=0).history["loss"]


def test_fit_runs_numba_and_xla_native(monkeypatch):
    """Each step of `fit` calls the core once forward and, for a first layer, once for the weights; with XLA never."""
    calls = []
    for name in ("conv", "conv_backward"):
        original = getattr(ik, name)
        monkeypatch.setattr(
            ik, name, lambda *a, _name=name, _f=original, **o: calls.append((_name, o.get("wrt"))) or _f(*a, **o)
        )
    fit(make_model(InterpolatedConv2D(4, KERNEL)))
    assert calls == [("conv", None), ("conv_backward", ("weights",))] * 6
    calls.clear()
    losses = fit(make_model(InterpolatedConv2D(4, KERNEL)), jit_compile=True)
    assert losses[-1] < losses[0]
    assert not calls
    assert InterpolatedConv2D(4, KERNEL).supports_jit
    assert not InterpolatedConv2D(4, KERNEL, engine="numba").supports_jit


def test_a_layer_tells_which_engine_serves():
    """Eager and traced it is numba; under XLA native; by name as named."""
    layer, seen = make_layer(), []
    assert layer.choose_engine(make_x()) == "numba"
    assert make_layer(engine="native").choose_engine(make_x()) == "native"
    for compiled in (False, True):
        tf.function(lambda x: seen.append(layer.choose_engine(x)) or x, jit_compile=compiled)(make_x())
    assert seen == ["numba", "native"]


def test_models_export_native_and_serve_in_a_new_process(tmp_path):
    """After `fit` by numba, `model.export` writes what a process without this package serves; numba by name raises."""
    model = make_model(InterpolatedConv2D(4, KERNEL, padding="same"))
    fit(model)
    model.export(tmp_path / "model", verbose=False)
    np.save(tmp_path / "x.npy", make_x())
    program = (
        "import sys, numpy, tensorflow as tf; folder = sys.argv[1]\n"
        "model = tf.saved_model.load(folder + '/model')\n"
        "numpy.save(folder + '/y.npy', model.serve(tf.constant(numpy.load(folder + '/x.npy'))))\n"
        "assert not [name for name in sys.modules if name.startswith('interpolated')]"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict(make_x(), verbose=0), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"it is traced for export.* Use engine='native'"):
        make_model(InterpolatedConv2D(4, KERNEL, engine="numba")).export(tmp_path / "other", verbose=False)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tensorflow_lite_serves_native_models():
    """A model of a lattice and of learned splats converts, without custom operations, to equal outputs."""
    wide = ik.InterpolatedKernel(ik.grid_positions((13, 13), 4), (13, 13), "linear")
    model = make_model(
        InterpolatedConv2D(2, wide, groups=2, padding="same"), InterpolatedConv2D(4, MOVING, learn_positions=True)
    )
    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], make_x().shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], make_x())
    interpreter.invoke()
    y = interpreter.get_tensor(found["index"])
    np.testing.assert_allclose(y, model.predict(make_x(), verbose=0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_positions_and_widths_train(engine):
    """`fit` lowers the loss and moves all anchors; without `learn_positions` there is no such variable."""
    layer = InterpolatedConv2D(4, MOVING, learn_positions=True, learn_widths=True, engine=engine)
    losses = fit(make_model(layer))
    assert losses[-1] < losses[0]
    assert np.all(layer.current_kernel.positions != MOVING.positions)
    assert np.all(layer.current_kernel.widths != 0.23)
    assert make_layer(MOVING).positions is None


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_learned_anchors_have_the_core_s_gradients(engine):
    """y and the gradients by the input and all variables are the core's at the positions of now."""
    layer = make_layer(MOVING, learn_positions=True, learn_widths=True, engine=engine, dtype="float64", padding="same")
    layer.positions.assign_add(np.full((6, 2), 0.25))
    x = tf.constant(make_x(), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    variables = [layer.kernel, layer.positions, layer.widths]
    grads = tape.gradient(y, [x, *(variable.value for variable in variables)])
    arrays = np.moveaxis(x.numpy(), -1, 1), layer.kernel.numpy(), layer.current_kernel
    testing.assert_matches_reference(np.moveaxis(y.numpy(), -1, 1), *arrays, padding="same")
    names = ("x", "weights", "positions", "widths")
    expected = ik.conv_backward(np.ones((4, 4, 9, 8)), *arrays, wrt=names, padding="same")
    for name, grad in zip(names, grads, strict=True):
        own = np.moveaxis(grad.numpy(), -1, 1) if name == "x" else grad.numpy()
        np.testing.assert_allclose(own, getattr(expected, name), rtol=0, atol=1e-11)  # sums of order 100


def test_positions_may_be_learned_along_some_axes():
    """Along the other axes they stay the kernel's, whatever an optimizer does to the variable."""
    layer = make_layer(MOVING, learn_positions=(0,))
    layer.positions.assign_add(np.ones((6, 2)))
    np.testing.assert_allclose(layer.current_kernel.positions - MOVING.positions, [[1, 0]] * 6, rtol=0, atol=1e-6)
    again = InterpolatedConv2D.from_config(layer.get_config())
    assert again.learn_positions == (0,)


LEARNING_MISTAKES = {
    "positions": (KERNEL, {"learn_positions": True}, ValueError, "`positions` cannot be learned: Linear"),
    "widths": (KERNEL, {"learn_widths": True}, ValueError, "`widths` cannot be learned: Linear"),
    "axes": (MOVING, {"learn_positions": (2,)}, ValueError, "`learn_positions` must name axes below 2"),
    "axis": (MOVING, {"learn_positions": 0.5}, TypeError, "`learn_positions` must be a bool or a tuple of axes"),
    "native": (
        MOVING.replace(interpolator="rbf"),
        {"learn_positions": True, "engine": "native"},
        ValueError,
        "engine='native' learns those of splats and cones",
    ),
}


@pytest.mark.parametrize("name", sorted(LEARNING_MISTAKES))
def test_what_cannot_be_learned_raises(name):
    """The layer is not built, and the error names the argument."""
    kernel, options, error, message = LEARNING_MISTAKES[name]
    with pytest.raises(error, match=message):
        InterpolatedConv2D(4, kernel, **options)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_plain_convolutions_go_there_and_back(d, mode):
    """`to_conv()` has equal output, `from_conv` gives the weights back, and `dense_kernel()` is the core's."""
    window = (*(4, 3, 3)[:d], *((2,) if mode == "interpolated" else ()))
    kernel = ik.InterpolatedKernel(
        ik.grid_positions(window, counts=(2,) * len(window)), window, "linear", channel_mode=mode
    )
    layer = make_layer(kernel, channels=4, groups=2, padding="same", activation="tanh", bias_initializer="ones")
    dense = np.moveaxis(ik.densify(layer.kernel.numpy(), kernel), (0, 1), (-1, -2))
    np.testing.assert_allclose(layer.dense_kernel(), dense, rtol=0, atol=1e-6)
    conv, x = layer.to_conv(), make_x(4, d)
    assert type(conv).__name__ == f"Conv{d}D"
    np.testing.assert_allclose(conv(x), layer(x), rtol=0, atol=1e-5)
    back = type(layer).from_conv(conv, kernel)
    np.testing.assert_allclose(back.kernel, layer.kernel, rtol=0, atol=1e-5)
    np.testing.assert_allclose(back(x), layer(x), rtol=0, atol=1e-5)


def test_depthwise_convolutions_come_over():
    """A `DepthwiseConv2D` whose kernel the anchors can form gives a layer of equal output."""
    depthwise = keras.layers.DepthwiseConv2D(5, depth_multiplier=2, padding="same")
    depthwise.build((None, 9, 8, 2))
    weights = np.random.default_rng(0).normal(size=(4, 1, 9))
    dense = ik.densify(weights, KERNEL)[:, 0]  # filters in the order of channels, then multiples
    depthwise.set_weights([np.moveaxis(dense.reshape(2, 2, 5, 5), (0, 1), (2, 3)), np.arange(4.0)])
    layer = InterpolatedConv2D.from_conv(depthwise, KERNEL)
    np.testing.assert_allclose(layer(make_x()), depthwise(make_x()), rtol=0, atol=1e-5)


def test_from_conv_refuses_what_does_not_fit():
    """Another layer, one that is not built, another window, and the layer without a kernel argument raise."""
    conv = keras.layers.Conv2D(4, 3)
    with pytest.raises(TypeError, match=r"`conv` must be a keras.layers.Conv2D or keras.layers.DepthwiseConv2D"):
        InterpolatedConv2D.from_conv(keras.layers.Dense(4), KERNEL)
    with pytest.raises(ValueError, match="`Conv2D` must be built before"):
        InterpolatedConv2D.from_conv(conv, KERNEL)
    conv.build((None, 9, 9, 2))
    with pytest.raises(ValueError, match="`kernel` must have the window of `conv`"):
        InterpolatedConv2D.from_conv(conv, KERNEL)
    with pytest.raises(TypeError, match="use `InterpolatedConv2D`, which has one"):
        InterpolatedConv2d.from_conv(conv, KERNEL)


@pytest.mark.parametrize("interpolator", ["gaussian", "polyharmonic"])
def test_the_dense_kernel_of_learned_anchors_has_all_derivatives(interpolator):
    """`dense_kernel()` follows positions, by the framework's formulas or by the core's."""
    layer = make_layer(MOVING.replace(interpolator=interpolator), learn_positions=True, dtype="float64")
    layer.positions.assign_add(np.full((6, 2), 0.25))
    with tf.GradientTape() as tape:
        dense = layer.dense_kernel()
    weights, kernel = layer.kernel.numpy(), layer.current_kernel
    np.testing.assert_allclose(dense, np.moveaxis(ik.densify(weights, kernel), (0, 1), (-1, -2)), rtol=0, atol=1e-12)
    grads = tape.gradient(dense, [layer.kernel.value, layer.positions.value])
    expected = ik.densify_backward(np.ones((4, 2, 5, 5)), weights, kernel, wrt=("weights", "positions"))
    for own, other in zip(grads, (expected.weights, expected.positions), strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
def test_files_go_round(tmp_path, mode):
    """`to_file` and `from_file` give an equal layer, at the anchors of now; the core reads the same file."""
    window = (5, 5, 2) if mode == "interpolated" else (5, 5)
    positions = np.random.default_rng(0).uniform(0, 1, (6, len(window))) * (np.array(window) - 1)
    kernel = ik.InterpolatedKernel(positions, window, "gaussian", channel_mode=mode)
    layer = make_layer(kernel, channels=4, groups=2, learn_positions=True)
    layer.positions.assign_add(np.full(positions.shape, 0.25))
    layer.to_file(tmp_path / "layer.npz")
    needed = {"in_channels": 4} if mode == "tied" else {}
    back = InterpolatedConv2D.from_file(tmp_path / "layer.npz", groups=2, **needed)
    np.testing.assert_array_equal(back(make_x(4)), layer(make_x(4)))
    assert ik.load(tmp_path / "layer.npz").kernel == layer.current_kernel
    if needed:
        with pytest.raises(ValueError, match="`in_channels` must be given"):
            InterpolatedConv2D.from_file(tmp_path / "layer.npz", groups=2)


def test_a_file_without_a_bank_raises(tmp_path):
    """Plain weights are none of a layer's."""
    ik.save(tmp_path / "plain.npz", KERNEL, np.ones(9))
    with pytest.raises(ValueError, match="`path` must hold weights of 3 axes"):
        InterpolatedConv2D.from_file(tmp_path / "plain.npz")


def test_another_kernel_s_weights_are_refused(tmp_path):
    """Weights of other anchors, or another interpolator, do not load, and the error says what differs."""
    make_model(InterpolatedConv2D(4, KERNEL)).save_weights(tmp_path / "model.weights.h5")
    for kernel, parts in (
        (KERNEL.replace(positions=KERNEL.positions * 0.5), "positions"),
        (KERNEL.replace(interpolator="nearest"), "interpolator"),
    ):
        with pytest.raises(ValueError, match=f"`filepath` holds weights of another kernel.*: {parts} differ"):
            make_model(InterpolatedConv2D(4, kernel)).load_weights(tmp_path / "model.weights.h5")


def test_learned_parts_are_not_told_apart(tmp_path):
    """A layer that learns its positions loads them over others."""
    model = make_model(InterpolatedConv2D(4, MOVING, learn_positions=True))
    model.save_weights(tmp_path / "model.weights.h5")
    other = make_model(InterpolatedConv2D(4, MOVING.replace(positions=MOVING.positions + 0.5), learn_positions=True))
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.predict(make_x(), verbose=0), model.predict(make_x(), verbose=0))


def test_weights_of_other_origin_load_with_a_warning_at_the_user_s_line():
    """A store without the digest loads, and the warning is this file's."""
    store = {}
    layer, other = make_layer(), make_layer(kernel_initializer="ones")
    layer.save_own_variables(store)
    del store["kernel_digest"]
    with pytest.warns(UserWarning, match="does not say which kernel") as caught:
        other.load_own_variables(store)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(other.kernel, layer.kernel)


def test_an_anchor_warning_is_at_the_user_s_line():
    """Collinear anchors of the original's layer warn where it is made, once, and not when it is made of its config."""
    with pytest.warns(ik.AnchorWarning) as caught:
        layer = InterpolatedConv2d([[[0, 0], [1, 1], [2, 2]]] * 2, 4)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InterpolatedConv2d.from_config(layer.get_config())


_LOADING = """
import sys, numpy as np, keras, interpolated_kernels_keras
model = keras.models.load_model(sys.argv[1] + "/model.keras")
np.save(sys.argv[1] + "/y.npy", model.predict(np.load(sys.argv[1] + "/x.npy"), verbose=0))
"""


def test_a_saved_model_loads_where_the_adapter_was_imported(tmp_path, monkeypatch):
    """`import interpolated_kernels_keras` is all that a process needs; without it the error names it."""
    learned = InterpolatedConv2D(2, MOVING, learn_positions=True, padding="same")
    with pytest.warns(ik.AnchorWarning):
        original = InterpolatedConv2d([[[0, 0], [1, 1], [2, 2]]] * 2, 4)
    model = make_model(learned, original)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", make_x())
    subprocess.run([sys.executable, "-c", _LOADING, str(tmp_path)], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(make_x(), verbose=0))
    name = "interpolated_kernels_keras>InterpolatedConv2D"
    monkeypatch.delitem(keras.saving.get_custom_objects(), name)
    with pytest.raises(TypeError, match=name):
        keras.models.load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("options", [{}, {"engine": "native", "learn_positions": True}], ids=["auto", "native"])
def test_keras_own_checks_pass(options):
    """Keras' harness: configs, serialization, symbolic and eager calls, mixed precision, a training step."""
    harness = pytest.importorskip("keras.src.testing")
    kernel = MOVING if "learn_positions" in options else KERNEL

    class Case(harness.TestCase):
        def runTest(self):  # noqa: N802 # unittest's name
            self.run_layer_test(
                InterpolatedConv2D, {"filters": 3, "kernel": kernel, "activation": "relu", **options},
                input_shape=(2, 8, 7, 2), expected_output_shape=(2, 4, 3, 3),
                expected_num_trainable_weights=3 if options else 2, expected_num_non_trainable_weights=0,
                supports_masking=False,
            )  # fmt: skip

    case = Case()
    case.setUp()
    try:
        case.runTest()
    finally:
        case.tearDown()
        keras.config.enable_traceback_filtering()


def test_help_shows_public_names_alone():
    """The bases that a user meets have no underscore, and parameters are described."""
    bases = [base.__name__ for base in InterpolatedConv2D.__mro__[:2]]
    assert bases == ["InterpolatedConv2D", "InterpolatedConv"]
    assert "learn_positions : bool or tuple of axes" in InterpolatedConv2D.__init__.__doc__
