import os
import re
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

import interpolated_kernels as ik  # noqa: E402  # after the look for TensorFlow
from interpolated_kernels.testing import assert_matches_reference, reference  # noqa: E402
from interpolated_kernels.testing.strategies import cases  # noqa: E402
from interpolated_kernels_tensorflow import interpolated_conv  # noqa: E402

ENGINES = ("native", "numba")


def _kernel(window, spacing=2, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, spacing), window, interpolator, **options)


@dataclass
class Row:
    """One convolution: x, weights and a gradient of y, all normal, in float64."""

    kernel: ik.InterpolatedKernel
    x_shape: tuple
    weights_shape: tuple
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        rng = np.random.default_rng(7)
        self.x, self.weights = rng.normal(size=self.x_shape), rng.normal(size=self.weights_shape)
        self.grad_y = rng.normal(size=reference(self.x, self.weights, self.kernel, **self.options).shape)


def _padded(mode, padding, **options):
    return Row(_kernel((5, 3)), (2, 2, 7, 6), (3, 2, 6), {"padding": padding, "padding_mode": mode, **options})


ROWS = {
    "plain weights": Row(_kernel((3, 5)), (2, 3, 8, 9), (6,), {"padding": "same"}),
    "no batch": Row(_kernel((3, 5)), (3, 8, 9), (4, 3, 6), {"padding": 1}),
    "1-D causal": Row(_kernel((5,)), (2, 3, 9), (4, 3, 3), {"padding": "causal", "dilation": 2}),
    "2-D even window, same": Row(_kernel((4, 6), 3), (2, 3, 9, 11), (4, 3, 4), {"padding": "same", "stride": (2, 3)}),
    "2-D groups": Row(_kernel((5, 5)), (2, 4, 9, 8), (6, 2, 9), {"groups": 2, "padding": [(1, 2), (0, 3)]}),
    "2-D reflect": _padded("reflect", [(2, 1), (3, 0)]),
    "2-D replicate": _padded("replicate", (8, 1)),
    "2-D circular": _padded("circular", "same"),
    **{f"2-D wide {mode}": _padded(mode, [(16, 7), (6, 14)]) for mode in ("reflect", "symmetric")},
    "2-D modes": _padded(("reflect", "zeros"), [(9, 3), (2, 11)]),
    "2-D modes, same": _padded(["symmetric", "circular"], "same", stride=2, dilation=(2, 1)),
    "tied": Row(_kernel((3, 5), channel_mode="tied"), (2, 4, 8, 9), (6, 6), {"groups": 2, "padding": "same"}),
}  # fmt: skip


def _y_and_gradients(row, engine, x=None, weights=None):
    x, weights = (tf.constant(row.x) if x is None else x), (tf.constant(row.weights) if weights is None else weights)
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = interpolated_conv(x, weights, row.kernel, engine=engine, **row.options)
    return y, *tape.gradient(y, [x, weights], tf.constant(row.grad_y, y.dtype))


def _assert_matches(row, results):
    for quantity, result in zip(("y", "grad_x", "grad_weights"), results, strict=True):
        assert_matches_reference(
            result.numpy(), row.x, row.weights, row.kernel, quantity=quantity, grad_y=row.grad_y, **row.options
        )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name",
    [
        *("2-D circular", "2-D replicate", "2-D even window, same", "tied", "no batch", "1-D causal"),
        *("2-D reflect", "2-D wide reflect", "2-D wide symmetric", "2-D modes", "2-D modes, same"),
    ],
)
def test_a_traced_function_of_unknown_sizes_matches_the_reference(name, engine):
    """In a `tf.function` that knows the channels alone, each engine gives the same, paddings included."""
    row = ROWS[name]
    channel_axis = row.x.ndim - row.kernel.n_dims - 1
    unknown = [size if axis == channel_axis else None for axis, size in enumerate(row.x.shape)]

    @tf.function(input_signature=[tf.TensorSpec(unknown, tf.float64), tf.TensorSpec(row.weights.shape, tf.float64)])
    def traced(x, weights):
        return _y_and_gradients(row, engine, x, weights)

    _assert_matches(row, traced(row.x, row.weights))


@pytest.mark.parametrize("engine", ENGINES)
@hypothesis.given(case=cases(data=lambda rng, shape: rng.standard_normal(shape)))
@hypothesis.settings(deadline=None, max_examples=20)
def test_any_problem_matches_the_reference(engine, case):
    """Whatever the axes, channel mode, padding, stride, dilation, groups and dtype, engines match the reference."""
    x, weights = tf.constant(case.x), tf.constant(case.weights)
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = interpolated_conv(x, weights, case.kernel, engine=engine, **case.options)
    grads = tape.gradient(y, [x, weights], tf.constant(case.grad_y, y.dtype))
    for quantity, result in zip(("y", "grad_x", "grad_weights"), (y, *grads), strict=True):
        case.assert_matches(quantity, result.numpy())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["2-D groups", "1-D causal", "no batch", "plain weights"])
def test_channels_last_is_channels_first_moved(name, engine):
    """`data_format` only moves the channel axis of x and y; plain weights have none."""
    row = ROWS[name]
    axis = row.x.ndim - row.kernel.n_dims - 1
    moved = row.x if row.weights.ndim == 1 else np.moveaxis(row.x, axis, -1)
    y = interpolated_conv(moved, row.weights, row.kernel, data_format="channels_last", engine=engine, **row.options)
    y = y.numpy() if row.weights.ndim == 1 else np.moveaxis(y.numpy(), -1, axis)
    assert_matches_reference(y, row.x, row.weights, row.kernel, **row.options)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_traced_function_takes_an_empty_batch(compiled):
    """A function that was traced for any batch gives an empty one its result, under XLA too."""
    weights, kernel = tf.ones([6, 2, 9]), _kernel((5, 5))

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 9, 8])], jit_compile=compiled)
    def step(x):
        y = interpolated_conv(x, weights, kernel, groups=2, engine="native")
        return y, *tf.gradients(y, [x, weights])

    for samples in (0, 2):
        y, grad_x, grad_weights = step(tf.ones([samples, 4, 9, 8]))
        assert (y.shape, grad_x.shape) == ((samples, 6, 5, 4), (samples, 4, 9, 8))
        assert (tf.reduce_max(grad_weights) > 0) == (samples > 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_dtypes_promote_as_in_numpy(engine):
    """float32 with float64 gives float64, in a traced function too; each gradient keeps its argument's dtype."""
    row = ROWS["2-D groups"]
    results = tf.function(lambda x, w: _y_and_gradients(row, engine, x, w))(tf.cast(row.x, tf.float32), row.weights)
    assert [result.dtype for result in results] == [tf.float64, tf.float32, tf.float64]


@pytest.mark.parametrize("engine", ENGINES)
def test_static_shapes_survive_tracing(engine):
    """Sizes that tracing knows are known of y and of the gradients; an unknown batch and row stay unknown."""
    kernel, seen = _kernel((5, 5)), {}

    @tf.function(input_signature=[tf.TensorSpec([None, 4, None, 12], tf.float32)])
    def traced(x):
        weights = tf.ones([6, 2, 9])
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            y = interpolated_conv(x, weights, kernel, groups=2, stride=2, engine=engine)
        seen.update(zip("ygw", (y.shape, *(grad.shape for grad in tape.gradient(y, [x, weights]))), strict=True))
        return y

    assert traced(tf.ones([3, 4, 9, 12])).shape == (3, 6, 3, 4)
    assert seen["y"].as_list() == [None, 6, None, 4]
    assert seen["g"].as_list() == [None, 4, None, 12]
    assert seen["w"].as_list() == [6, 2, 9]


@pytest.mark.parametrize("traced", [False, True])
def test_second_order_gradients_agree(traced):
    """The gradient of a function of the gradients is the same by both engines, to rounding of its largest entry."""
    row = ROWS["2-D groups"]

    def second(x, weights, engine):
        with tf.GradientTape() as outer:
            outer.watch([x, weights])
            with tf.GradientTape() as inner:
                inner.watch([x, weights])
                loss = tf.reduce_sum(interpolated_conv(x, weights, row.kernel, engine=engine, **row.options) ** 3)
            grad_x, grad_weights = inner.gradient(loss, [x, weights])
            penalty = tf.reduce_sum(grad_x**2) + tf.reduce_sum(grad_weights**2)
        return outer.gradient(penalty, [x, weights])

    function = tf.function(second) if traced else second
    for ours, theirs in zip(*(function(tf.constant(row.x), tf.constant(row.weights), e) for e in ENGINES), strict=True):
        assert np.abs(ours - theirs).max() <= 2.0**-43 * np.abs(theirs).max()


def test_forward_mode_is_never_silently_zero():
    """A forward accumulator gets the same tangent from both engines: y is linear in x and in the weights."""
    row = ROWS["2-D groups"]
    x, weights = tf.constant(row.x), tf.constant(row.weights)
    for engine in ENGINES:
        with tf.autodiff.ForwardAccumulator([x, weights], [x, weights]) as accumulator:
            y = interpolated_conv(x, weights, row.kernel, engine=engine, **row.options)
        assert np.abs(accumulator.jvp(y) - 2 * y).max() <= 2.0**-48 * np.abs(y).max()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_bias_is_added_to_every_filter(data_format, engine):
    """y with a bias is y plus the filter's bias, and the bias has its gradient."""
    kernel, bias = _kernel((3, 3)), tf.constant([1.0, 2.0, 4.0])
    shape = [2, 2, 6, 6] if data_format == "channels_first" else [2, 6, 6, 2]
    with tf.GradientTape() as tape:
        tape.watch(bias)
        y = interpolated_conv(tf.zeros(shape), tf.ones([3, 2, 4]), kernel, bias, data_format=data_format, engine=engine)
    by_filter = np.moveaxis(y.numpy(), 1 if data_format == "channels_first" else -1, 0)
    np.testing.assert_array_equal(by_filter, np.broadcast_to(bias.numpy()[:, None, None, None], by_filter.shape))
    np.testing.assert_array_equal(tape.gradient(y, bias), [32.0, 32.0, 32.0])


X, WEIGHTS, KERNEL = np.ones((2, 4, 9, 8)), np.ones((6, 4, 9)), _kernel((5, 5))
MISTAKES = {
    "integers": {"x": X.astype(int)},
    "bool": {"weights": WEIGHTS > 0},
    "complex": {"x": X + 1j},
    "object": {"x": X.astype(object)},
    "masked": {"x": np.ma.masked_less(X, 0)},
}


@pytest.mark.parametrize("engine", ["auto", *ENGINES])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_an_array_of_numpy_is_read_as_the_core_reads_it(mistake, engine):
    """What the core refuses of NumPy's arrays is refused with the core's type and words, by every engine."""
    arguments = {"x": X, "weights": WEIGHTS, "kernel": KERNEL, **mistake}
    with pytest.raises((TypeError, ValueError), match="`") as expected:
        ik.conv(**arguments)
    with pytest.raises(expected.type, match=re.escape(str(expected.value))):
        interpolated_conv(**arguments, engine=engine)


def test_an_unknown_layout_raises():
    """The data formats are named."""
    message = "`data_format` must be one of channels_first, channels_last, got 'NHWC'"
    with pytest.raises(ValueError, match=message):
        interpolated_conv(X, WEIGHTS, KERNEL, data_format="NHWC")


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (tf.TensorSpec(None, tf.float64), "`x` must have a known rank"),
        (tf.TensorSpec([2, None, 9, 8], tf.float64), "`x` must have a known number of channels"),
        (tf.TensorSpec([2, 3, None, 8], tf.float64), "`weights` must have shape"),
    ],
)
def test_tracing_checks_what_it_knows(signature, message):
    """A traced function raises for a wrong number of channels, and asks for the rank and the channels."""
    traced = tf.function(lambda x: interpolated_conv(x, WEIGHTS, KERNEL), input_signature=[signature])
    with pytest.raises(ValueError, match=message):
        traced.get_concrete_function()
