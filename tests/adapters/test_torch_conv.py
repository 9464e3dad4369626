"""The function where PyTorch is special: random problems, layouts, copies, calls of the core, kinds of tensors."""

import os
import subprocess
import sys
import warnings

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing import strategies

torch = pytest.importorskip("torch")

from interpolated_kernels_torch import interpolated_conv  # noqa: E402 # only where torch is

ENGINES = ("numba", "native")


def make_case(seed, kernel, x_shape, weights_shape, dtype="float64", **options):
    rng = np.random.default_rng(seed)
    x, weights = rng.standard_normal(x_shape), rng.standard_normal(weights_shape)
    grad_y = rng.standard_normal(ik.conv(x, weights, kernel, path="reference", **options).shape)
    return strategies.Case(*(array.astype(dtype) for array in (x, weights, grad_y)), kernel, options)


def grid(window, interpolator="linear", **options):
    return ik.InterpolatedKernel(ik.grid_positions(window, counts=(2,) * len(window)), window, interpolator, **options)


@hypothesis.given(case=strategies.cases(), engine=hypothesis.strategies.sampled_from(ENGINES))
@hypothesis.settings(deadline=None, max_examples=25)
def test_engines_match_the_reference_everywhere(case, engine):
    """For random problems both engines give the reference's y within its bound."""
    x, weights = torch.from_numpy(case.x), torch.from_numpy(case.weights)
    case.assert_matches("y", interpolated_conv(x, weights, case.kernel, engine=engine, **case.options).numpy())


@pytest.mark.parametrize("engine", ENGINES)
def test_layouts_do_not_matter(engine):
    """Transposed, strided and broadcast inputs and gradients give what their contiguous copies give."""
    case = make_case(4, grid((3, 4)), (2, 2, 6, 7), (3, 2, 4))
    base = torch.from_numpy(np.repeat(case.x.transpose(3, 2, 0, 1), 2, axis=0))
    weights = torch.from_numpy(case.weights.transpose(2, 1, 0).copy()).permute(2, 1, 0)
    x = base[::2].permute(2, 3, 1, 0)
    assert not x.is_contiguous()
    grads = []
    for operands in ((x, weights), (x.contiguous(), weights.contiguous())):
        leaves = [operand.detach().requires_grad_() for operand in operands]
        y = interpolated_conv(*leaves, case.kernel, engine=engine)
        case.assert_matches("y", y.detach().numpy())
        y.sum().backward()  # its gradient is one value, expanded with strides of 0
        grads.append([leaf.grad for leaf in leaves])
    for scattered, contiguous in zip(*grads, strict=True):
        torch.testing.assert_close(scattered, contiguous, rtol=0, atol=1e-13)


def test_contiguous_tensors_are_not_copied(monkeypatch):
    """The core sees the tensors' own memory."""
    seen = []
    monkeypatch.setattr(ik, "conv", lambda x, weights, **options: seen.extend((x, weights)) or np.zeros((1, 1, 4, 4)))
    x, weights = torch.zeros(1, 1, 6, 7), torch.zeros(1, 1, 4)
    interpolated_conv(x, weights, grid((3, 4)), engine="numba")
    assert [array.ctypes.data for array in seen] == [x.data_ptr(), weights.data_ptr()]


@pytest.mark.parametrize("names", [("x",), ("weights",), ("x", "weights")], ids="_".join)
def test_the_core_is_asked_once_for_what_is_needed(monkeypatch, names):
    """The backward pass asks the core for the gradients that are needed, together."""
    asked, backward = [], ik.conv_backward
    monkeypatch.setattr(
        ik, "conv_backward", lambda *args, **options: asked.append(options["wrt"]) or backward(*args, **options)
    )
    x, weights = (
        torch.ones(1, 1, 6, 7, requires_grad="x" in names),
        torch.ones(1, 1, 4, requires_grad="weights" in names),
    )
    interpolated_conv(x, weights, grid((3, 4)), engine="numba").sum().backward()
    assert asked == [names]


def test_collinear_anchors_warn_once_at_construction():
    """A kernel that was warned about does not warn again when an operator meets it."""
    with pytest.warns(ik.AnchorWarning, match="slope"):
        kernel = ik.InterpolatedKernel([[0, 0], [1, 1], [2, 2]], (3, 3), "polyharmonic")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ik.AnchorWarning)
        y = interpolated_conv(torch.ones(1, 1, 5, 5), torch.ones(1, 1, 3), kernel, engine="numba")
    assert y.shape == (1, 1, 3, 3)


KERNEL, X, WEIGHTS = grid((3, 4)), torch.ones(2, 2, 6, 7), torch.ones(3, 2, 4)
MISTAKES = {
    "array_x": (TypeError, "`x` must be a torch.Tensor", (X.numpy(), WEIGHTS, KERNEL)),
    "sparse_x": (TypeError, "`x` must be a dense", (X.to_sparse(), WEIGHTS, KERNEL)),
    "two_devices": (ValueError, "`weights` must be on x's device", (X, WEIGHTS.to("meta"), KERNEL)),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_what_is_no_dense_tensor_on_one_device_raises(name, engine):
    """An array, a sparse tensor, and tensors on two devices are refused by name on either engine."""
    error, message, arguments = MISTAKES[name]
    with pytest.raises(error, match=message):
        interpolated_conv(*arguments, engine=engine)


@pytest.mark.parametrize("path", ["direct", "lattice"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_holes_are_holes_where_subnormals_are_flushed(dtype, path):
    """Threads that flush subnormal numbers to zero, as TensorFlow's do, find no data where the others find none."""
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((30, 40)).astype(dtype), rng.uniform(0, 1, 4).astype(dtype)
    x[5:25, 10:30] = np.nan
    options = {"padding": "same", "path": path, "missing": "renormalize"}
    expected = ik.conv(x, weights, grid((5, 5)), **options)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor does not flush subnormal numbers")
    try:
        found = ik.conv(x, weights, grid((5, 5)), **options)
    finally:
        torch.set_flush_denormal(False)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(found, expected)


def test_threads_that_flush_subnormals_start_none_like_them():
    """numba's threads keep subnormal numbers, even where the thread whose launch started them makes them zeros."""
    code = """
import numpy as np, torch, interpolated_kernels as ik
kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), counts=(2, 2)), (3, 3), "linear")
x, weights = np.full((1000, 1000), 1e-310), np.ones(4)
torch.set_flush_denormal(True)
ik.conv(np.ones((1000, 1000)), weights, kernel, path="lattice")
torch.set_flush_denormal(False)
assert ik.info()["threading_layer"] == "workqueue"
assert (ik.conv(x, weights, kernel, path="lattice") > 0).all()
"""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
