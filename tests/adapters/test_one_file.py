"""One weights file serves the core and every framework, with equal outputs."""

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

import interpolated_kernels as ik  # noqa: E402  # after the look for the frameworks
import interpolated_kernels_keras as ikk  # noqa: E402
import interpolated_kernels_tensorflow as iktf  # noqa: E402
import interpolated_kernels_torch as ikt  # noqa: E402

OPTIONS = {"groups": 2, "padding": "same"}
X = np.random.default_rng(0).normal(size=(2, 4, 9, 8)).astype(np.float32)


def run_core(path):
    saved = ik.load(path)
    y = ik.conv(X, saved.weights, saved.kernel, accuracy="normwise", **OPTIONS)
    return y + saved.arrays["bias"][:, None, None]


def run_torch(path):
    return ikt.InterpolatedConv2d.from_file(path, **OPTIONS)(torch.from_numpy(X)).detach().numpy()


def run_keras(path):
    layer = ikk.InterpolatedConv2D.from_file(path, **OPTIONS, data_format="channels_first")
    return layer(X).numpy()


def run_tensorflow(path):
    saved = ik.load(path)
    return iktf.interpolated_conv(X, saved.weights, saved.kernel, saved.arrays["bias"], **OPTIONS).numpy()


def run_jax(path):
    saved, ikj = ik.load(path), pytest.importorskip("interpolated_kernels_jax")
    return np.asarray(ikj.interpolated_conv(X, saved.weights, saved.kernel, saved.arrays["bias"], **OPTIONS))


def write_torch(kernel, path):
    torch.manual_seed(0)
    ikt.InterpolatedConv2d(4, 6, kernel, **OPTIONS).to_file(path)


def write_keras(kernel, path):
    layer = ikk.InterpolatedConv2D(6, kernel, bias_initializer="normal", **OPTIONS)
    layer.build((None, None, None, 4))
    layer.to_file(path)


@pytest.mark.parametrize("write", [write_torch, write_keras])
@pytest.mark.parametrize("interpolator", ["linear", "gaussian"])
def test_a_file_gives_the_same_everywhere(tmp_path, write, interpolator):
    """Whichever framework wrote the file, all of them compute the core's numbers, bit for bit on this engine."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), interpolator)
    write(kernel, tmp_path / "layer.npz")
    expected = run_core(tmp_path / "layer.npz")
    for run in (run_torch, run_keras, run_tensorflow, run_jax):
        np.testing.assert_array_equal(run(tmp_path / "layer.npz"), expected, err_msg=run.__name__)
