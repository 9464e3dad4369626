"""The native lattice: the core's numbers, chosen by count, and whatever torch makes of it."""

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels import adapting, testing

torch = pytest.importorskip("torch")

import interpolated_kernels_torch as ikt  # noqa: E402 # only where torch is
from interpolated_kernels_torch import native_lattice, options  # noqa: E402

WINDOWS = {1: (13,), 2: (9, 7), 3: (5, 5, 7)}
OPTIONS = {
    "plain": {},
    "strided": {"stride": 2, "padding": 2},
    "dilated": {"dilation": 2, "padding": ((3, 1),), "padding_mode": "reflect"},
    "grouped": {"groups": 2, "padding": "same"},
}


def make_problem(name, d, mode="separate", dtype=torch.float64, **chosen):
    """Return a kernel, x and weights of it, and the options in full."""
    window = (*WINDOWS[d], 3) if mode == "interpolated" else WINDOWS[d]
    kernel = ik.InterpolatedKernel(ik.grid_positions(window, 2), window, name, channel_mode=mode)
    groups = chosen.get("groups", 1)
    shape = (4, 3, kernel.n_anchors) if mode == "separate" else (4, kernel.n_anchors)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3 * groups, *(2 * cells + 3 for cells in WINDOWS[d]), dtype=dtype, generator=generator)
    weights = torch.randn(shape, dtype=dtype, generator=generator)
    padding = chosen.get("padding", "valid")
    chosen = {**chosen, "padding": padding * d if isinstance(padding, tuple) else padding}
    return kernel, x.requires_grad_(), weights.requires_grad_(), chosen


def conv(kernel, x, weights, chosen):
    """Return y by the lattice, whether it is the cheaper one or not."""
    full = {"path": "auto", "accuracy": "normwise", "padding_mode": "zeros", "stride": 1, "dilation": 1, "groups": 1}
    settled = options.settle_options(x.shape, weights.shape, kernel, "float64", **{**full, **chosen})
    return native_lattice.conv(x, weights, kernel, settled, adapting.find_lattice(kernel).groups)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("chosen", sorted(OPTIONS))
@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", ["nearest", "linear", "cubic", "keys", "bspline"])
def test_the_lattice_is_the_core(name, d, chosen, mode):
    """y and both gradients are within the reference's bounds, for every tensor product, in float32 too."""
    for dtype in (torch.float64, torch.float32):
        kernel, x, weights, given = make_problem(name, d, mode, dtype, **OPTIONS[chosen])
        y = conv(kernel, x, weights, given)
        grad_y = torch.randn_like(y)
        grads = torch.autograd.grad(y, (x, weights), grad_y)
        arrays = [tensor.detach().numpy() for tensor in (x, weights)]
        testing.assert_matches_reference(y.detach().numpy(), *arrays, kernel, **given)
        for quantity, grad in zip(("grad_x", "grad_weights"), grads, strict=True):
            testing.assert_matches_reference(
                grad.numpy(), *arrays, kernel, quantity=quantity, grad_y=grad_y.numpy(), **given
            )


@pytest.mark.parametrize("stride", [1, 2])
def test_single_channels_are_the_core(stride):
    """One filter a channel, whose edges have one tap, and one channel for many filters: y and both gradients."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((9, 7), 2), (9, 7), "linear")
    for channels, filters in ((4, 4), (1, 3)):
        x = torch.randn(2, channels, 17, 16, requires_grad=True, generator=torch.Generator().manual_seed(0))
        weights = torch.randn(filters, 1, kernel.n_anchors, requires_grad=True)
        given = {"groups": channels, "stride": stride, "padding": 3}
        y = conv(kernel, x, weights, given)
        assert y.is_contiguous()
        arrays, grad_y = [tensor.detach().numpy() for tensor in (x, weights)], torch.randn_like(y)
        testing.assert_matches_reference(y.detach().numpy(), *arrays, kernel, **given)
        for quantity, grad in zip(
            ("grad_x", "grad_weights"), torch.autograd.grad(y, (x, weights), grad_y), strict=True
        ):
            testing.assert_matches_reference(
                grad.numpy(), *arrays, kernel, quantity=quantity, grad_y=grad_y.numpy(), **given
            )


def test_the_cheaper_one_is_chosen():
    """A large window on a coarse even grid takes the lattice; a small one, and an uneven grid, the dense kernel."""
    plain = ((1, 1), ((0, 0), (0, 0)), ("zeros", "zeros"), (1, 1), 64)
    large = ik.InterpolatedKernel(ik.grid_positions((31, 31), 5), (31, 31), "linear")
    small = ik.InterpolatedKernel(ik.grid_positions((3, 3), 1), (3, 3), "linear")
    uneven = ik.InterpolatedKernel(ik.grid_positions((31, 31), counts=(8, 8)), (31, 31), "linear")
    scattered = ik.InterpolatedKernel(np.random.default_rng(0).uniform(0, 30, (49, 2)), (31, 31), "gaussian")
    found = [
        native_lattice.plan_groups(kernel, (64, 1, kernel.n_anchors), 64, plain)
        for kernel in (large, small, uneven, scattered)
    ]
    assert [groups is not None for groups in found] == [True, False, False, False]
    assert len(found[0]) == 9  # two edges and the inside, along both axes


def make_layer(**chosen):
    torch.manual_seed(0)
    kernel = ik.InterpolatedKernel(ik.grid_positions((21, 21), 4), (21, 21), "linear")
    return ikt.InterpolatedConv2d(4, 4, kernel, **{"groups": 4, "padding": "same", "engine": "native", **chosen})


def test_it_compiles_exports_and_transforms():
    """`torch.compile`, `torch.export` with open sizes, vmap and forward mode give what the eager call gives."""
    torch._dynamo.reset()
    layer, x = make_layer(), torch.randn(2, 4, 23, 25)
    expected = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    torch.testing.assert_close(compiled(x), expected, rtol=0, atol=1e-5)
    shapes = {0: torch.export.Dim("batch", min=2), 2: torch.export.Dim("rows", min=22)}
    program = torch.export.export(layer, (x,), dynamic_shapes=(shapes,))
    other = torch.randn(3, 4, 30, 25)
    torch.testing.assert_close(program.module()(other), layer(other), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.func.vmap(layer)(x[:, None])[:, 0], expected, rtol=0, atol=1e-5)
    _, tangent = torch.func.jvp(lambda x: layer(x), (x,), (x,))
    torch.testing.assert_close(tangent, expected - layer.bias[:, None, None], rtol=0, atol=1e-5)


def test_second_derivatives():
    """gradcheck and gradgradcheck of the lattice."""
    kernel, x, weights, given = make_problem("linear", 1)
    run = lambda x, weights: conv(kernel, x, weights, given)  # noqa: E731 # one line says it
    assert torch.autograd.gradcheck(run, (x, weights), fast_mode=True, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(run, (x, weights), fast_mode=True)
