"""PyTorch's tensors on a GPU, in their own memory and on their own streams: for machines that have one."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting

torch = pytest.importorskip("torch")
if not torch.cuda.is_available() or adapting.why_not_cuda() is not None:
    pytest.skip("needs a GPU that PyTorch and numba-cuda can use", allow_module_level=True)

from interpolated_kernels_torch import InterpolatedConv2d, interpolated_conv  # noqa: E402 # only where torch is

GPU = "cuda"
GRID = ik.InterpolatedKernel(ik.grid_positions((9, 9), 4), (9, 9), "linear")
SCATTERED = ik.InterpolatedKernel(ik.random_positions((9, 9), 7, rng=0), (9, 9), "polyharmonic")
SPLATS = ik.InterpolatedKernel(ik.random_positions((9, 9), 7, rng=0), (9, 9), "gaussian")
OPTIONS = {
    "plain": {},
    "padded": {"padding": "same", "padding_mode": "circular"},
    "strided": {"stride": 2, "padding": 3},
    "dilated": {"dilation": 2, "padding": "same"},
}


def draw(seed, *shapes, device=GPU):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.normal(size=shape), dtype=torch.float32, device=device) for shape in shapes]


def differentiate(convolve, *leaves):
    """Return y and the gradients by all leaves."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    y = convolve(*leaves)
    grad_y = torch.cos(torch.arange(y.numel(), device=y.device, dtype=y.dtype)).reshape(y.shape)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad_y)]


def assert_close(found, expected):
    """Tensors on the GPU are, up to float32's rounding, those of float64 on the CPU."""
    for ours, theirs in zip(found, expected, strict=True):
        scale = float(theirs.abs().max()) if theirs.numel() else 1.0
        torch.testing.assert_close(ours.cpu().double(), theirs, rtol=1e-5, atol=1e-5 * scale)


def expect(kernel, *leaves, **options):
    """Return y and the gradients by torch's own operators in float64 on the CPU."""
    leaves = [leaf.detach().cpu().double() for leaf in leaves]
    return differentiate(lambda *leaves: call(kernel, *leaves, engine="native", **options), *leaves)


def call(kernel, x, weights, positions=None, widths=None, **options):
    return interpolated_conv(x, weights, kernel, positions=positions, widths=widths, **options)


@pytest.mark.parametrize("kernel", [GRID, SCATTERED], ids=["lattice", "direct"])
@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_y_and_gradients(kernel, name):
    """y and both gradients are those of torch's own operators, and live on x's GPU."""
    x, weights = draw(0, (2, 4, 37, 41), (6, 2, kernel.n_anchors))
    options = {**OPTIONS[name], "groups": 2}
    found = differentiate(lambda *leaves: call(kernel, *leaves, engine="numba", **options), x, weights)
    assert {value.device for value in found} == {x.device}
    assert_close(found, expect(kernel, x, weights, **options))


def test_auto_takes_the_loops():
    """Nothing has to be said: a layer on a GPU is served by this project's loops."""
    layer = InterpolatedConv2d(1, 2, GRID, device=GPU)
    assert layer.choose_engine(*draw(0, (1, 1, 20, 20))) == "numba"


def test_layouts():
    """Channels last, transposed and strided tensors, and empty batches, are taken as they are."""
    x, weights = draw(1, (2, 4, 20, 24), (3, 4, GRID.n_anchors))
    expected = expect(GRID, x, weights)[:1]
    wide = x.repeat_interleave(2, dim=3)[..., ::2]
    for same in (x.to(memory_format=torch.channels_last), x.transpose(2, 3).contiguous().transpose(2, 3), wide):
        assert_close([interpolated_conv(same, weights, GRID, engine="numba")], expected)
    assert interpolated_conv(x[:0], weights, GRID, engine="numba").shape == (0, 3, 12, 16)


def test_a_stream_of_ones_own():
    """Work is in the order of torch's current stream: what x waits for is done first, and y is waited for."""
    x, weights = draw(2, (1, 1, 512, 512), (8, 1, GRID.n_anchors))
    for stream in (torch.cuda.Stream(), torch.cuda.default_stream()):
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            late = x
            for _ in range(50):  # keeps the stream busy, and gives x back
                late = (late @ torch.eye(512, device=GPU)).clone()
            y = interpolated_conv(late, weights, GRID, engine="numba") + 0
        stream.synchronize()
        assert_close([y], expect(GRID, x, weights)[:1])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_second_gpu():
    """Tensors on a GPU that is not the current one are computed there, in the backward pass too."""
    x, weights = draw(3, (1, 2, 30, 30), (4, 2, GRID.n_anchors), device="cuda:1")
    found = differentiate(lambda *leaves: call(GRID, *leaves, engine="numba"), x, weights)
    assert {value.device for value in found} == {torch.device("cuda:1")}
    assert torch.cuda.current_device() == 0
    assert_close(found, expect(GRID, x, weights))


def test_bits_are_equal_from_run_to_run():
    """y and the gradients of the same tensors are the same bit for bit."""
    x, weights = draw(4, (3, 2, 200, 300), (8, 2, GRID.n_anchors))
    first, *others = (differentiate(lambda *leaves: call(GRID, *leaves, engine="numba"), x, weights) for _ in range(4))
    for other in others:
        assert all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_learned_positions_and_widths():
    """Gradients by positions and widths come back on the GPU."""
    x, weights = draw(5, (2, 1, 24, 24), (1, 1, SPLATS.n_anchors))
    moved = [torch.tensor(SPLATS.positions, device=GPU), torch.full(SPLATS.positions.shape, 0.4, device=GPU).double()]
    found = differentiate(lambda *leaves: call(SPLATS, *leaves, engine="numba"), x, weights, *moved)
    assert {value.device for value in found} == {x.device}
    assert_close(found, expect(SPLATS, x, weights, *moved))


def test_second_derivatives():
    """A penalty on gradients is differentiated as torch's own operators are."""
    operands, found = draw(6, (1, 1, 20, 20), (2, 1, GRID.n_anchors)), []
    for engine, move in (("numba", lambda leaf: leaf), ("native", lambda leaf: leaf.cpu().double())):
        leaves = [move(operand).detach().requires_grad_() for operand in operands]
        grads = torch.autograd.grad(call(GRID, *leaves, engine=engine).pow(2).sum(), leaves, create_graph=True)
        found.append(torch.autograd.grad(sum(grad.square().sum() for grad in grads), leaves))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours.cpu().double(), theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    """Under autocast y has its dtype, and parameters keep gradients of their own."""
    layer = InterpolatedConv2d(2, 3, GRID, device=GPU, engine="numba")
    (x,) = draw(7, (1, 2, 20, 20))
    with torch.autocast(GPU, dtype=dtype):
        y = layer(x)
    assert y.dtype == dtype
    y.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_compiled():
    """A compiled layer is one graph, and gives the eager layer's bits."""
    layer = InterpolatedConv2d(2, 3, GRID, device=GPU, engine="numba")
    (x,) = draw(8, (1, 2, 20, 20))
    assert torch.equal(torch.compile(layer, fullgraph=True, backend="aot_eager")(x), layer(x))


def test_the_core_takes_tensors():
    """`ik.conv` of tensors gives an array on the GPU that torch takes without a copy."""
    x, weights = draw(9, (1, 1, 20, 20), (2, 1, GRID.n_anchors))
    y = ik.conv(x, weights, GRID)
    taken = torch.as_tensor(y, device=GPU)
    assert taken.data_ptr() == y.__cuda_array_interface__["data"][0]
    assert_close([taken], expect(GRID, x, weights)[:1])
