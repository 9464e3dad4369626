import json
import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import interpolated_kernels as ik  # noqa: E402  # after the look for TensorFlow
from interpolated_kernels.layers import InterpolatedConv2d  # noqa: E402
from interpolated_kernels.utils import auto_filter_positions, symmetric_filters  # noqa: E402

EXAMPLE = """\
import tensorflow as tf
from interpolated_kernels.layers import InterpolatedConv2d
from interpolated_kernels.utils import symmetric_filters

n_filters = 5
kernel_coordinates = [[0,0,1], [1,1,1], [2,2,1]]    # [height, width, channel]
filters = symmetric_filters(kernel_coordinates, n_filters)
layer = InterpolatedConv2d(filters, 4)               # kernel_size = 4
v = layer(tf.ones([5, 11, 11, 3]))                   # -> (5, 8, 8, 5)
"""
FLAT = symmetric_filters(auto_filter_positions(4, 3), 5)
THROUGH_CHANNELS = symmetric_filters([[0, 0, 0], [3, 3, 0], [0, 3, 2], [3, 0, 1], [1, 1, 1]], 5)


def test_the_original_example_runs_as_it_was_written():
    """The example gives (5, 8, 8, 5) with one warning, of its collinear anchors, and gradients reach `kernel`."""
    names = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tf.GradientTape() as tape:
            exec(EXAMPLE, names)
    assert [str(w.message)[:17] for w in caught if issubclass(w.category, ik.AnchorWarning)] == ["collinear anchors"]
    assert names["v"].shape == (5, 8, 8, 5)
    kernel = names["layer"].kernel
    assert kernel.shape == (5, 3, 1)
    gradient = tape.gradient(names["v"], kernel.value)
    assert np.abs(gradient).min() > 0


@pytest.mark.parametrize(
    ("positions", "options", "shape"),
    [
        (FLAT, {}, (5, 4, 1)),
        (FLAT, {"continous_3d": False}, (5, 3, 4)),
        (FLAT, {"order": 3, "strides": (1, 2, 1, 1), "padding": "SAME"}, (5, 4, 1)),
        (FLAT, {"interpolator": "linear", "use_bias": True, "activation": "tanh"}, (5, 4, 1)),
        (THROUGH_CHANNELS.tolist(), {"order": 2}, (5, 5, 1)),
        (THROUGH_CHANNELS, {"interpolator": ik.Polyharmonic(order=1, smoothing=0.5), "name": "smooth"}, (5, 5, 1)),
    ],
)
@pytest.mark.parametrize("engine", ["native", "numba"])
def test_the_layer_is_the_convolution_with_its_extracted_kernel(positions, options, shape, engine):
    """`tf.nn.conv2d` with `extract_interpolated_kernel()` gives the layer's y; the config gives an equal layer."""
    layer = InterpolatedConv2d(positions, 4, engine=engine, dtype="float64", **options)
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 9, 8, 3)))
    y, dense = layer(x), layer.extract_interpolated_kernel()
    assert (layer.kernel.shape, dense.shape) == (shape, (4, 4, 3, 5))
    how = options.get("strides", 1), options.get("padding", "VALID")
    convolved = layer.activation(tf.nn.conv2d(x, dense, *how))
    bound = 64 * 2.0**-53 * tf.nn.conv2d(tf.abs(x), tf.abs(dense), *how)
    assert (np.abs(y.numpy() - convolved.numpy()) <= bound.numpy()).all()
    again = InterpolatedConv2d.from_config(json.loads(json.dumps(layer.get_config())))
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), y)


def test_filters_are_not_scrambled():
    """Filter f of the extracted kernel is filter f's own dense kernel: a transpose, not the original's reshape."""
    layer = InterpolatedConv2d(FLAT, 4)
    layer.build((None, 9, 9, 3))
    dense = layer.extract_interpolated_kernel().numpy()
    one = ik.InterpolatedKernel(FLAT[0], 4)
    for f in range(5):
        expected = ik.densify(layer.kernel.numpy()[f, :, 0], one)
        bound = 64 * 2.0**-24 * np.abs(layer.kernel.numpy()[f]).sum()
        assert (np.abs(dense[..., f] - expected[..., None]) <= bound).all()


def test_order_is_honoured():
    """Order 3 fills the window otherwise than order 1, as `Polyharmonic(order=3)` does."""
    layer = InterpolatedConv2d(FLAT, 4, order=3)
    assert layer.interpolated_kernel.interpolator == ik.Polyharmonic(order=3)
    assert not np.allclose(layer.interpolated_kernel.matrix, ik.InterpolatedKernel(FLAT[0], 4).matrix)


def test_a_model_with_the_layer_trains_saves_and_loads(tmp_path):
    """`fit` lowers the loss within 2 epochs, a `.keras` file gives the same model, and Keras' `input_shape` passes."""
    keras.utils.set_random_seed(1)
    with pytest.warns(UserWarning, match="Do not pass an `input_shape`"):
        layer = InterpolatedConv2d(FLAT, 4, activation="relu", input_shape=(11, 11, 3))
    model = keras.Sequential([layer, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(32, 11, 11, 3)).astype(np.float32)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    before = model.layers[0].kernel.numpy()
    losses = model.fit(x, x.mean(axis=(1, 2, 3))[:, None] + 1, epochs=2, batch_size=8, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert (model.layers[0].kernel.numpy() != before).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_mixed_precision_passes_to_the_layer():
    """Under `mixed_float16`, y is float16 and `kernel` stays float32."""
    layer = InterpolatedConv2d(FLAT, 4, dtype="mixed_float16")
    assert layer(tf.ones([1, 9, 9, 3])).dtype == tf.float16
    assert layer.kernel.dtype == "float32"


@pytest.mark.parametrize(
    ("positions", "options", "message"),
    [
        ([[0, 0], [1, 1]], {}, "`kernel_positions` must have shape"),
        (THROUGH_CHANNELS, {"continous_3d": False}, "`continous_3d`=False needs 2 columns"),
        (FLAT, {"order": 2, "interpolator": "linear"}, "`order`=2 goes with the default `interpolator`"),
        (FLAT, {"order": 0}, "`order` must be at least 1 and at most 100, got 0"),
        (FLAT, {"strides": (2, 1, 1, 1)}, "`strides` must be 1 for batch and channels"),
        (FLAT, {"padding": "FULL"}, "`padding` must be one of"),
        ([[[0, 0], [0, 0]]], {}, "`positions` must be distinct"),
    ],
)
def test_mistakes_raise_at_construction(positions, options, message):
    """Positions and options that cannot be served are refused when the layer is made."""
    with pytest.raises(ValueError, match=message):
        InterpolatedConv2d(positions, 4, **options)


def test_three_columns_need_more_than_one_channel():
    """Positions with 3 columns raise on an input of 1 channel, as in the original."""
    with pytest.raises(ValueError, match="3 columns need an input of more than 1 channel"):
        InterpolatedConv2d(THROUGH_CHANNELS, 4).build((None, 9, 9, 1))


def test_the_kernel_is_extracted_once_built():
    """Before `build` there is no kernel to extract."""
    with pytest.raises(ValueError, match="`extract_interpolated_kernel` needs a layer that was built"):
        InterpolatedConv2d(FLAT, 4).extract_interpolated_kernel()
