"""TensorFlow: `tf.nn.convolution` after `tf.pad`, channels last, with a gradient tape."""

import dense
import numpy as np
import tensorflow as tf

MODES = {"zeros": "CONSTANT", "reflect": "REFLECT", "symmetric": "SYMMETRIC"}
FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}  # named, since the gradient in 3-D fails without (2.21)


def run(x, kernels, geometry):
    x, kernels = tf.convert_to_tensor(x), tf.convert_to_tensor(kernels)
    for axis, (pair, mode) in enumerate(zip(geometry.pads, geometry.modes, strict=True), start=2):
        x = tf.pad(x, [pair if axis == padded else (0, 0) for padded in range(len(x.shape))], MODES[mode])
    spatial = range(2, len(x.shape))
    x, kernels = tf.transpose(x, [0, *spatial, 1]), tf.transpose(kernels, [*spatial, 1, 0])
    y = tf.nn.convolution(x, kernels, geometry.stride, "VALID", FORMATS[len(spatial)], geometry.dilation)
    return tf.transpose(y, [0, len(x.shape) - 1, *range(1, len(x.shape) - 1)])


def run_backward(grad_y, x, kernels, geometry):
    leaves = [tf.Variable(np.ascontiguousarray(array)) for array in (x, kernels)]
    with tf.GradientTape() as tape:
        y = run(*leaves, geometry)
    return tape.gradient(y, leaves, tf.constant(grad_y))


def conv(x, weights, kernel, **options):
    return dense.convolve(run, x, weights, kernel, **options)


def conv_backward(grad_y, x, weights, kernel, *, wrt, **options):
    if options["groups"] > 1:  # "Gradients for grouped convolutions are not supported on CPU"
        return {}
    return dense.differentiate(run_backward, grad_y, x, weights, kernel, **options)


def supports(problem):
    """No dilation with strides; groups in 1-D and 2-D, without gradients on the CPU; `pad` mirrors once, no empty x.

    With oneDNN, an empty batch has x's shape and not y's; that is what TensorFlow has on processors with AVX-512.
    """
    options, modes = problem.options, {*dense.list_modes(problem)}
    return (
        options["missing"] == "propagate"
        and not dense.meets_nan_below_zeros(problem)
        and (options["groups"] == 1 or problem.kernel.n_dims < 3)
        and 0 not in problem.x_shape
        and 1 in (max(options["stride"]), max(options["dilation"]))
        and MODES.keys() >= modes
        and dense.is_within(problem, reflect=0, symmetric=1)
    )


FAULTS = dense.NAN_BELOW_ZERO
