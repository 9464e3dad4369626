import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.edge import infer_shape
from interpolated_kernels.padding import index_axis
from interpolated_kernels.testing import assert_matches_reference
from interpolated_kernels.testing.oracle import describe_problem
from interpolated_kernels.testing.strategies import cases


def _padded(case, problem):
    """x `(batch, channels, *spatial)` with its padding, by NumPy."""
    modes = {
        "zeros": "constant",
        "reflect": "reflect",
        "replicate": "edge",
        "circular": "wrap",
        "symmetric": "symmetric",
    }
    x = case.x.reshape(problem.x_shape)
    for axis, (pair, mode) in enumerate(zip(problem.padding, problem.padding_modes, strict=True), start=2):
        x = np.pad(x, [pair if own == axis else (0, 0) for own in range(x.ndim)], mode=modes[mode])
    return x


def _dense(case, problem):
    """The dense bank as frameworks take it: tied channels repeated."""
    weights = case.weights if case.weights.ndim > 1 else case.weights[None, None]
    dense = ik.densify(weights, case.kernel)
    return np.broadcast_to(dense, (len(dense), problem.channels_per_group, *dense.shape[2:]))


@hypothesis.given(cases(dtypes=["float64"]))
def test_torch_agrees(case):
    """torch's own convolution of the dense kernel, and its gradients, are within the bound of the reference."""
    torch = pytest.importorskip("torch")
    problem = describe_problem(case.x, case.weights, case.kernel, **case.options)
    x = torch.tensor(_padded(case, problem), requires_grad=True)
    dense = torch.tensor(np.ascontiguousarray(_dense(case, problem)), requires_grad=True)
    convolve = {1: torch.nn.functional.conv1d, 2: torch.nn.functional.conv2d, 3: torch.nn.functional.conv3d}[
        problem.kernel.n_dims
    ]
    y = convolve(x, dense, stride=problem.stride, dilation=problem.dilation, groups=problem.groups)
    case.assert_matches("y", y.detach().numpy().reshape(infer_shape(case.x, case.weights, problem.y_shape)))
    y.backward(torch.tensor(case.grad_y.reshape(problem.y_shape)))
    grad_x = x.grad.numpy()
    for axis, size in enumerate(problem.spatial, start=2):
        index = index_axis(problem, axis - 2)
        folded = np.zeros((*grad_x.shape[:axis], size, *grad_x.shape[axis + 1 :]))
        np.add.at(
            folded, (slice(None),) * axis + (index[index >= 0],), np.take(grad_x, np.flatnonzero(index >= 0), axis)
        )
        grad_x = folded
    case.assert_matches("grad_x", grad_x.reshape(case.x.shape))
    grad_dense = dense.grad.numpy()
    if problem.sums_channels:
        grad_dense = grad_dense.sum(axis=1, keepdims=True)
    plain = case.weights.ndim == 1
    grad = ik.densify_backward(
        grad_dense.reshape(case.kernel.window) if plain else grad_dense, case.weights, case.kernel
    ).weights
    case.assert_matches("grad_weights", grad)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2])
def test_tensorflow_agrees(padding, stride):
    """TensorFlow's conv2d of the dense kernel, `VALID` and `SAME`, is within the bound of the reference."""
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    kernel = ik.InterpolatedKernel(rng.uniform(0, 5, (7, 2)), (6, 5), "polyharmonic")
    x, weights = rng.standard_normal((2, 3, 13, 12)), rng.standard_normal((4, 3, 7))
    dense = np.transpose(ik.densify(weights, kernel), (2, 3, 1, 0))
    y = tf.nn.conv2d(np.moveaxis(x, 1, -1), dense, strides=stride, padding=padding).numpy()
    assert_matches_reference(np.moveaxis(y, -1, 1), x, weights, kernel, stride=stride, padding=padding.lower())
