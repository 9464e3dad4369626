import json
import os
import re

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("these tests run Keras on TensorFlow", allow_module_level=True)

import interpolated_kernels as ik  # noqa: E402  # after the look for Keras
from interpolated_kernels.testing import assert_matches_reference  # noqa: E402
from interpolated_kernels_keras import InterpolatedConv1D, InterpolatedConv2D, InterpolatedConv3D  # noqa: E402

ENGINES = ("native", "numba")
LAYERS = {1: InterpolatedConv1D, 2: InterpolatedConv2D, 3: InterpolatedConv3D}


def _kernel(window, spacing=2, **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, "linear", **options)


# The kernel, the input's (channels, *spatial), and Keras' options.
CASES = {
    "1-D causal": (_kernel((4,), 3), (3, 11), {"padding": "causal", "dilation_rate": 2}),
    "1-D groups": (_kernel((5,)), (4, 11), {"groups": 2, "strides": 2}),
    "2-D same": (_kernel((4, 5), 3), (3, 9, 8), {"padding": "same", "strides": (2, 3)}),
    "2-D depthwise": (_kernel((5, 3)), (4, 9, 8), {"groups": 4, "padding": "SAME"}),
    "2-D stride and dilation": (_kernel((3, 3)), (2, 9, 11), {"strides": 2, "dilation_rate": (1, 3)}),
    "2-D tied": (_kernel((3, 5), channel_mode="tied"), (4, 9, 8), {"groups": 2}),
    "2-D interpolated": (_kernel((3, 5, 3), channel_mode="interpolated"), (3, 9, 8), {"padding": "same"}),
    "3-D": (_kernel((3, 2, 4), 1), (2, 5, 4, 6), {"dilation_rate": (1, 2, 1)}),
}


def _core_options(layer):
    return {"stride": layer.strides, "padding": layer.padding, "dilation": layer.dilation_rate, "groups": layer.groups}


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_empty_batch_gives_an_empty_result(case, engine, traced):
    """No sample gives no result of the right shape and zeros by `kernel`, eagerly and traced for any batch."""
    kernel, (channels, *spatial), options = case
    layer = LAYERS[kernel.n_dims](4, kernel, use_bias=False, engine=engine, **options)
    x = tf.zeros((0, *spatial, channels))
    layer.build(x.shape)

    def step(x):
        with tf.GradientTape() as tape:
            y = layer(x)
        return y, tape.gradient(y, layer.kernel)

    if traced:
        step = tf.function(step, input_signature=[tf.TensorSpec((None, *x.shape[1:]))])
    y, grad = step(x)
    assert y.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_array_equal(grad, np.zeros(layer.kernel.shape))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_traced_layer_of_unknown_sizes_matches_the_reference(case, engine):
    """In a function that knows the channels alone, a layer gives the reference's y, and unknown sizes stay unknown."""
    kernel, x_shape, options = case
    layer = LAYERS[kernel.n_dims](4, kernel, dtype="float64", use_bias=False, engine=engine, **options)
    unknown = (*(None,) * (kernel.n_dims + 1), x_shape[0])
    layer.build(unknown)
    traced = tf.function(layer, input_signature=[tf.TensorSpec(unknown, tf.float64)])
    x = np.random.default_rng(1).normal(size=(2, *x_shape))
    y = np.moveaxis(traced(tf.constant(np.moveaxis(x, 1, -1))).numpy(), -1, 1)
    assert_matches_reference(y, x, layer.kernel.numpy(), kernel, **_core_options(layer))
    assert layer.compute_output_shape(unknown) == (*unknown[:-1], 4)


def test_bias_and_activation_follow_as_in_keras():
    """A layer gives `activation(y + bias)`."""
    layer = InterpolatedConv2D(
        3, _kernel((3, 3)), activation="relu", bias_initializer="ones", kernel_initializer="zeros"
    )
    np.testing.assert_array_equal(layer(tf.ones([1, 5, 5, 2])), np.ones((1, 3, 3, 3)))


def test_the_default_start_is_the_core_start():
    """Weights start from `initial_weights`, and `keras.utils.set_random_seed` repeats them."""
    starts = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        layer = InterpolatedConv2D(64, _kernel((5, 5)))
        layer.build((None, 9, 9, 8))
        starts.append(layer.kernel.numpy())
    np.testing.assert_array_equal(*starts)
    dense = ik.densify(starts[0].astype(np.float64), layer.interpolated_kernel)
    assert 0.8 < np.mean(dense**2) * 3 * 8 * 25 < 1.25


@pytest.mark.parametrize("options", [{}, {"dtype": "float64"}, {"padding": "same", "strides": 2, "dilation_rate": 3}])
def test_config_is_json_and_gives_the_same_layer(options):
    """`get_config` passes through JSON, and `from_config` gives a layer of the same config."""
    layer = InterpolatedConv2D(
        4, _kernel((5, 5), channel_mode="tied"), activation="relu", kernel_regularizer="l2",
        kernel_constraint="non_neg", bias_initializer=keras.initializers.Constant(0.5), engine="numba",
        path="reference", accuracy="componentwise", **options,
    )  # fmt: skip
    config = json.loads(json.dumps(layer.get_config()))
    again = InterpolatedConv2D.from_config(config)
    assert again.get_config() == layer.get_config()
    assert again.interpolated_kernel == layer.interpolated_kernel


def _model(layer, size=9):
    return keras.Sequential(
        [keras.Input((size, size, 2)), layer, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    )


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
def test_a_model_trains_saves_and_loads(engine, tmp_path):
    """`fit` lowers the loss, and a `.keras` file gives the same predictions."""
    keras.utils.set_random_seed(0)
    model = _model(InterpolatedConv2D(4, _kernel((5, 5)), activation="relu", engine=engine))
    x = np.random.default_rng(0).normal(size=(32, 9, 9, 2)).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    losses = model.fit(x, x.mean(axis=(1, 2, 3))[:, None] + 1, epochs=2, batch_size=8, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_float32(policy, engine):
    """Under a mixed policy y has the compute dtype, is rounded once from float32, and the variables stay float32."""
    kernel = _kernel((5, 5))
    layer = InterpolatedConv2D(4, kernel, dtype=policy, use_bias=False, engine=engine)
    x = tf.cast(np.random.default_rng(0).normal(size=(2, 9, 9, 2)), layer.compute_dtype)
    with tf.GradientTape() as tape:
        y = layer(x)
    assert y.dtype == layer.compute_dtype
    assert layer.kernel.dtype == tape.gradient(y, layer.kernel.value).dtype == "float32"
    narrow = y.dtype.as_numpy_dtype
    assert_matches_reference(
        np.moveaxis(y.numpy(), -1, 1), np.moveaxis(x.numpy(), -1, 1), layer.kernel.numpy(), kernel, dtype=narrow
    )


def test_xla_compiles_auto_and_is_off_for_numba():
    """A model compiled with `jit_compile=True` runs the native engine; engine="numba" does not support it."""
    model = _model(InterpolatedConv2D(4, _kernel((5, 5))))
    x = np.random.default_rng(0).normal(size=(4, 9, 9, 2)).astype(np.float32)
    eager = model(x)
    model.compile("sgd", "mse", jit_compile=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), eager, rtol=0, atol=2.0**-20)
    assert not InterpolatedConv2D(4, _kernel((5, 5)), engine="numba").supports_jit


KERNEL = _kernel((5, 5))
MISTAKES = {
    "filters": ((0, KERNEL), {}, ValueError, "`filters` must be at least 1, got 0"),
    "kernel": ((4, 3), {}, TypeError, "`kernel` must be an InterpolatedKernel, got int"),
    "rank": ((4, _kernel((5,))), {}, ValueError, "`kernel` must have 2 spatial axes for InterpolatedConv2D"),
    "groups": ((4, KERNEL), {"groups": 3}, ValueError, "`groups` must divide filters"),
    "strides": ((4, KERNEL), {"strides": 0}, ValueError, "`stride` must be at least 1, got 0"),
    "dilation": ((4, KERNEL), {"dilation_rate": (1, 2, 3)}, ValueError, "`dilation` must be an int or have 2 entries"),
    "padding": ((4, KERNEL), {"padding": "full"}, ValueError, "`padding` must be one of valid, same, causal"),
    "causal": ((4, KERNEL), {"padding": "causal"}, ValueError, "`padding`='causal' needs one spatial axis"),
    "data format": ((4, KERNEL), {"data_format": "NHWC"}, ValueError, "`data_format` must be one of"),
    "engine": ((4, KERNEL), {"engine": "cuda"}, ValueError, "`engine` must be one of auto, native, numba"),
    "path": ((4, KERNEL), {"path": "fastest"}, ValueError, "`path` must be 'auto' or one of"),
    "native path": ((4, KERNEL), {"engine": "native", "path": "direct"}, ValueError, "needs engine='numba'"),
    "accuracy": ((4, KERNEL), {"accuracy": "high"}, ValueError, "`accuracy` must be one of"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_raises_at_construction(mistake):
    """What does not depend on the input is refused before there is one, mostly in the core's words."""
    arguments, options, error, message = mistake
    with pytest.raises(error, match=re.escape(message)):
        InterpolatedConv2D(*arguments, **options)


@pytest.mark.parametrize(
    ("input_shape", "options", "message"),
    [
        ((None, 9, 9, 3), {"groups": 2}, "`groups` must divide x's channels"),
        ((None, 4, 9, 2), {}, "`window` must fit into the padded input"),
        ((None, 9, 9, None), {}, "`input_shape` must have a known number of channels"),
    ],
)
def test_an_input_that_does_not_fit_raises_when_built(input_shape, options, message):
    """Channels that groups do not divide, a window beyond the input and unknown channels are refused by `build`."""
    with pytest.raises(ValueError, match=message):
        InterpolatedConv2D(4, KERNEL, **options).build(input_shape)


@pytest.mark.parametrize("engine", ENGINES)
def test_integers_raise_and_are_never_cast(engine):
    """An integer input raises the core's own error."""
    layer = InterpolatedConv2D(4, KERNEL, engine=engine)
    layer.build((None, 9, 9, 2))
    with pytest.raises(TypeError, match="`x` must be a floating array, got int32"):
        layer(tf.ones([1, 9, 9, 2], tf.int32))
