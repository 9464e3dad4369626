"""What the adapter for PyTorch asks of the core on a GPU, under the simulator: its arrays stand for tensors' memory.

Tensors of float32 are taken to live on a GPU, all others on the CPU. How torch itself hands memory over is not tried.
"""

import os

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting

if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "0":
    pytest.skip("needs numba's CUDA simulator: NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)
torch = pytest.importorskip("torch")

from numba import cuda  # noqa: E402 # only where it is simulated

from interpolated_kernels_torch import densifying, interpolated_conv, moving_engine, numba_engine, sharing  # noqa: E402

GRID = ik.InterpolatedKernel(ik.grid_positions((3, 4), counts=(2, 2)), (3, 4), "linear")
SPLATS = ik.InterpolatedKernel([[0.5, 1.0], [2.0, 0.25]], (3, 3), "gaussian")
INVERSE = ik.InterpolatedKernel([[0.5, 1.0], [2.0, 0.25]], (3, 3), "inverse_distance")


@pytest.fixture(autouse=True)
def gpu(monkeypatch, device):
    """Let tensors of float32 live on a GPU, in memory that the simulator shares; the list of GPUs that were held."""
    array_type, held = type(cuda.to_device(np.zeros(1))), []

    def as_array(tensor):
        memory = tensor.numpy(force=True)
        return array_type(memory) if tensor.dtype == torch.float32 else memory

    def as_tensor(array):
        return torch.from_numpy(array if isinstance(array, np.ndarray) else array._ary)

    def hold(tensor):
        held.append(tensor.dtype)
        return adapting.on_stream(0, 0)

    for module in (densifying, moving_engine, numba_engine):
        monkeypatch.setattr(module, "as_array", as_array)
        monkeypatch.setattr(module, "as_tensor", as_tensor)
        monkeypatch.setattr(module, "hold_device", hold)
    monkeypatch.setattr(numba_engine, "is_on_cuda", lambda tensor: tensor.dtype == torch.float32)
    return held


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in shapes]


def differentiate(leaves, **options):
    """Return y and the gradients of all leaves, by name."""
    leaves = {name: leaf.detach().requires_grad_() for name, leaf in leaves.items()}
    y = interpolated_conv(**leaves, **options)
    grads = torch.autograd.grad(y, list(leaves.values()), torch.cos(torch.arange(y.numel()).to(y)).reshape(y.shape))
    return {"y": y.detach(), **dict(zip(leaves, grads, strict=True))}


def assert_as_natively(leaves, path, **options):
    """Both engines give the same in float32, up to its rounding, in the leaves' own dtypes."""
    ours = differentiate(leaves, engine="numba", path=path, **options)
    theirs = differentiate({name: leaf.double() for name, leaf in leaves.items()}, engine="native", **options)
    for name, value in ours.items():
        assert value.dtype == (leaves[name].dtype if name in leaves else torch.float32)
        torch.testing.assert_close(value.double(), theirs[name], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("path", ["direct", "lattice"])
def test_y_and_its_gradients(path, gpu):
    """y, written into torch's own memory, and both gradients are those of torch's own operators; the GPU is held."""
    x, weights, bias = draw(0, (1, 2, 5, 5), (2, 1, 4), (2,))
    leaves = {"x": x, "weights": weights, "bias": bias}
    assert_as_natively(leaves, kernel=GRID, groups=2, padding=1, path=path)
    assert gpu == [torch.float32] * 2  # forward and backward; the other engine holds none


def test_a_gradient_alone():
    """A gradient that is asked for alone needs no values of its own operand."""
    x, weights = draw(1, (1, 1, 5, 5), (1, 1, 4))
    for wanted, fixed in ((x, weights), (weights, x)):
        leaf = wanted.detach().requires_grad_()
        pair = (leaf, fixed) if wanted is x else (fixed, leaf)
        grads = [
            torch.autograd.grad(interpolated_conv(*pair, GRID, engine=engine).square().sum(), leaf)[0]
            for engine in ("numba", "native")
        ]
        torch.testing.assert_close(*grads, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kernel", [SPLATS, INVERSE], ids=["splats", "inverse_distance"])
def test_learned_positions(kernel):
    """Positions and widths reach the core on the CPU, and their gradients come back in the positions' own dtype."""
    x, weights = draw(2, (1, 1, 4, 4), (1, 1, 2))
    moved = {"positions": torch.tensor(kernel.positions)}
    if "widths" in kernel.interpolator.differentiable_by:
        moved["widths"] = torch.full((2, 2), 0.4, dtype=torch.float64)
    ours = differentiate({"x": x, "weights": weights, **moved}, kernel=kernel, engine="numba")
    wanted = ik.conv_backward(
        np.cos(np.arange(4.0)).reshape(1, 1, 2, 2), x.double().numpy(), weights.double().numpy(),
        kernel.replace(**{name: value.numpy() for name, value in moved.items()}), wrt=("x", "weights", *moved),
    )  # fmt: skip
    for name in ("x", "weights", *moved):
        assert ours[name].dtype == (torch.float64 if name in moved else torch.float32)
        np.testing.assert_allclose(ours[name].double(), getattr(wanted, name), rtol=2e-5, atol=2e-5)


def test_second_derivatives():
    """The gradient's own gradient is that of torch's own operators."""
    operands = draw(3, (1, 1, 5, 5), (1, 1, 4))
    found = []
    for engine in ("numba", "native"):
        x, weights = (operand.detach().requires_grad_() for operand in operands)
        by_x, by_weights = torch.autograd.grad(
            interpolated_conv(x, weights, GRID, engine=engine).pow(2).sum(), (x, weights), create_graph=True
        )
        found.append(torch.autograd.grad(by_x.square().sum() + by_weights.square().sum(), (x, weights)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


def test_dense_kernels():
    """The dense kernel by learned positions, and its gradients, are the core's."""
    (weights,) = draw(4, (1, 1, 2))
    positions = torch.tensor(INVERSE.positions, requires_grad=True)
    leaf = weights.detach().requires_grad_()
    dense = densifying.densify(leaf, INVERSE, positions, None)
    np.testing.assert_allclose(dense.detach(), ik.densify(weights.double().numpy(), INVERSE), rtol=1e-6, atol=1e-6)
    grads = torch.autograd.grad(dense.sum(), (leaf, positions))
    wanted = ik.densify_backward(np.ones((1, 1, 3, 3)), weights.double().numpy(), INVERSE, wrt=("weights", "positions"))
    np.testing.assert_allclose(grads[0], wanted.weights, rtol=1e-5)
    np.testing.assert_allclose(grads[1], wanted.positions, rtol=1e-4, atol=1e-5)


def test_no_framework_is_offered_the_simulator():
    """The check that engines ask says that the simulator takes no framework's memory."""
    assert "NUMBA_ENABLE_CUDASIM" in adapting.why_not_cuda()
    assert sharing.hold_device(torch.zeros(1)) is not None
