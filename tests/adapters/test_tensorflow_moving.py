"""Positions and widths that are learned in TensorFlow: both engines, derivatives of first and second order."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

import interpolated_kernels as ik  # noqa: E402  # after the look for TensorFlow
from interpolated_kernels_tensorflow import interpolated_conv  # noqa: E402

WINDOW, OPTIONS = (4, 5), {"stride": (2, 1), "padding": ((1, 2), (0, 1)), "groups": 2}


def make_problem(interpolator="gaussian", n=4):
    """Return a kernel, and x, weights, positions and (where it has them) widths, off all kinks."""
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(rng.uniform(0.2, 2.8, (n, 2)), WINDOW, interpolator)
    operands = [rng.normal(size=(1, 6, 5, 6)), rng.normal(size=(2, 3, n)), np.array(kernel.positions)]
    if kernel.interpolator.width_axes is not None:
        operands.append(rng.uniform(0.5, 1.5, kernel.positions.shape[: None if kernel.interpolator.width_axes else -1]))
        kernel = kernel.replace(widths=operands[-1])
    return kernel, [tf.constant(operand) for operand in operands]


def conv(kernel, engine, x, weights, positions, widths=None, **options):
    return interpolated_conv(
        x, weights, kernel, positions=positions, widths=widths, engine=engine, **{**OPTIONS, **options}
    )


def differentiate(kernel, engine, operands, grad_y=None):
    """Return y and its gradients by all operands."""
    with tf.GradientTape() as tape:
        tape.watch(operands)
        y = conv(kernel, engine, *operands)
    return y, tape.gradient(y, operands, grad_y)


def test_traced_steps_and_dilation_are_the_same():
    """In a graph of each engine, under XLA too, and with a dilation, gradients are those of the eager numba call."""
    kernel, operands = make_problem()
    step = lambda engine: lambda *tensors: differentiate(kernel, engine, list(tensors))[1]  # noqa: E731 # short
    expected = step("numba")(*operands)
    for engine, compiled in (("numba", False), ("native", False), ("auto", True)):
        for own, other in zip(tf.function(step(engine), jit_compile=compiled)(*operands), expected, strict=True):
            np.testing.assert_allclose(own, other, rtol=0, atol=1e-12)
    dilated = [conv(kernel, engine, *operands, stride=2, dilation=(1, 2), padding=4) for engine in ("numba", "native")]
    np.testing.assert_allclose(*dilated, rtol=0, atol=1e-12)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", ["gaussian", "cone"])
def test_second_derivatives_are_those_of_the_formulas(name, traced):
    """A gradient penalty by x, weights, positions and widths has the same derivatives by both engines."""
    kernel, operands = make_problem(name, n=3)

    def second(engine, *operands):
        with tf.GradientTape() as outer:
            outer.watch(operands)
            with tf.GradientTape() as inner:
                inner.watch(operands)
                loss = tf.reduce_sum(conv(kernel, engine, *operands) ** 3)
            penalty = tf.add_n([tf.reduce_sum(grad**2) for grad in inner.gradient(loss, operands)])
        return outer.gradient(penalty, operands)

    function = tf.function(second) if traced else second
    for own, other in zip(function("numba", *operands), function("native", *operands), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-10, atol=0)


def test_second_derivatives_follow_what_made_the_anchors():
    """Positions computed from the weights: the second derivative runs through both, once."""
    kernel, (x, weights, positions, widths) = make_problem(n=3)

    def differentiate_twice(engine):
        with tf.GradientTape() as outer:
            outer.watch(weights)
            with tf.GradientTape() as inner:
                inner.watch(weights)
                moved = positions + 0.1 * tf.reduce_mean(weights, (0, 1))[:, None]
                loss = tf.reduce_sum(conv(kernel, engine, x, weights, moved, widths) ** 2)
            penalty = tf.reduce_sum(inner.gradient(loss, weights) ** 2)
        return outer.gradient(penalty, weights)

    np.testing.assert_allclose(differentiate_twice("numba"), differentiate_twice("native"), rtol=1e-10, atol=0)


def test_other_interpolators_move_by_numba_alone():
    """The gradient is the core's; native raises, and so does a second derivative by positions; by x there is one."""
    kernel, (x, weights, positions) = make_problem("polyharmonic", n=5)
    with pytest.raises(ValueError, match="engine='native' learns those of splats and cones"):
        conv(kernel, "native", x, weights, positions)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([x, positions])
        y, (by_x, _, by_positions) = differentiate(kernel, "numba", [x, weights, positions])
    expected = ik.conv_backward(np.ones(y.shape), x.numpy(), weights.numpy(), kernel, **OPTIONS, wrt=("x", "positions"))
    np.testing.assert_allclose(by_positions, expected.positions, rtol=0, atol=1e-12)
    assert outer.gradient(by_x, positions).shape == positions.shape
    with pytest.raises(NotImplementedError, match="there is no second one by them"):
        outer.gradient(by_positions, positions)


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_forward_mode_is_the_directional_derivative(engine):
    """A forward accumulator by positions and widths is never silently zero."""
    kernel, (x, weights, *anchors) = make_problem()
    along = [tf.random.stateless_normal(anchor.shape, (0, 1), dtype=tf.float64) for anchor in anchors]
    with tf.autodiff.ForwardAccumulator(anchors, along) as accumulator:
        y = conv(kernel, engine, x, weights, *anchors)
    ahead, behind = (
        conv(kernel, "numba", x, weights, *[anchor + step * way for anchor, way in zip(anchors, along, strict=True)])
        for step in (1e-6, -1e-6)
    )
    np.testing.assert_allclose(accumulator.jvp(y), (ahead - behind) / 2e-6, rtol=0, atol=1e-7)


def test_anchors_of_other_dtypes_get_gradients_of_their_own():
    """float32 positions beside float64 weights: y is float64, the gradient float32."""
    kernel, (x, weights, positions, widths) = make_problem()
    for engine in ("numba", "native"):
        y, grads = differentiate(kernel, engine, [x, weights, tf.cast(positions, tf.float32), widths])
        assert [y.dtype, *(grad.dtype for grad in grads)] == [
            tf.float64,
            tf.float64,
            tf.float64,
            tf.float32,
            tf.float64,
        ]


def test_mistakes_name_the_argument():
    """Another shape, or an interpolator without the derivative, raises."""
    kernel, (x, weights, positions, widths) = make_problem()
    with pytest.raises(ValueError, match=r"`positions` must have shape \(4, 2\)"):
        conv(kernel, "auto", x, weights, positions[1:])
    with pytest.raises(ValueError, match="`widths` cannot be learned: Bilinear"):
        conv(kernel.replace(interpolator="bilinear", widths=None), "auto", x, weights, positions, widths)
