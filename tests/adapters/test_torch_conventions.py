"""What a layer does as `nn.ConvNd` does: dtypes under autocast, layout in memory, counted work, kept settings."""

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402 # only where torch is

import interpolated_kernels_torch as ikt  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((4, 5), counts=(2, 2)), (4, 5), "linear")
GAUSSIAN = ik.InterpolatedKernel(np.random.default_rng(0).uniform(0.5, 3, (3, 2)), (4, 5), "gaussian")


def make_layer(kernel=KERNEL, **options):
    torch.manual_seed(0)
    return ikt.InterpolatedConv2d(4, 6, kernel, **{"groups": 2, **options})


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", ["numba", "native"])
def test_autocast_gives_its_dtype(engine, dtype):
    """Under autocast y has its dtype, as that of `nn.Conv2d`; float64 stays."""
    layer, x = make_layer(engine=engine), torch.randn(2, 4, 9, 8, requires_grad=True)
    with torch.autocast("cpu", dtype):
        assert layer(x).dtype == layer.to_conv()(x).dtype == dtype
        assert layer(x.double()).dtype == torch.float64
        layer(x).float().square().sum().backward()
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_channels_last_stays(engine):
    """y is channels last in memory where x is, with equal values and gradients."""
    layer = make_layer(engine=engine)
    x = torch.randn(2, 4, 9, 8)
    last = x.to(memory_format=torch.channels_last)
    assert layer(last).is_contiguous(memory_format=torch.channels_last)
    assert layer.to_conv()(last).is_contiguous(memory_format=torch.channels_last)
    assert layer(x).is_contiguous()
    torch.testing.assert_close(layer(last), layer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kernel", "learn"), [(KERNEL, False), (GAUSSIAN, True)], ids=["fixed", "learned"])
def test_the_flop_counter_counts(kernel, learn):
    """`FlopCounterMode` counts what it does for the plain convolution, forward and backward."""
    layer, counts = make_layer(kernel, learn_positions=learn, groups=1), []  # torch counts groups wrongly
    for module in (layer, layer.to_conv()):
        with FlopCounterMode(display=False) as counter:
            module(torch.randn(2, 4, 9, 8, requires_grad=True)).sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_settings_survive_conversions():
    """`from_conv` and `to_conv` keep requires_grad and the mode of evaluation."""
    conv = torch.nn.Conv2d(4, 6, (4, 5), groups=2).eval()
    conv.weight.requires_grad_(False)
    layer = ikt.InterpolatedConv2d.from_conv(conv, KERNEL)
    for module in (layer, layer.to_conv()):
        assert not module.training
        assert [module.weight.requires_grad, module.bias.requires_grad] == [False, True]


def test_a_layer_tells_its_engine():
    """`choose_engine` says what serves: numba on the CPU, native in a transform or by name."""
    x = torch.randn(2, 4, 9, 8)
    assert make_layer().choose_engine(x) == "numba"
    assert make_layer(engine="native").choose_engine(x) == "native"
    found = []
    torch.func.grad(lambda x: found.append(make_layer().choose_engine(x)) or x.sum())(x)
    assert found == ["native"]


def test_the_bias_s_gradient_is_the_sum():
    """The bias is added in place, and its gradient sums that of y once."""
    for engine in ("numba", "native"):
        layer = make_layer(engine=engine, dtype=torch.float64)
        y = layer(torch.randn(2, 4, 9, 8, dtype=torch.float64))
        grad = torch.randn_like(y)
        y.backward(grad)
        torch.testing.assert_close(layer.bias.grad, grad.sum((0, 2, 3)))


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_some_axes_are_learned(engine):
    """`learn_positions=(0,)` moves rows and leaves columns; the dense kernel follows."""
    layer = make_layer(GAUSSIAN, learn_positions=(0,), engine=engine, dtype=torch.float64)
    layer(torch.randn(2, 4, 9, 8, dtype=torch.float64)).square().sum().backward()
    assert (layer.positions.grad[:, 0] != 0).all()
    assert (layer.positions.grad[:, 1] == 0).all()
    with torch.no_grad():
        layer.positions.add_(0.25)
    expected = GAUSSIAN.positions + np.array([0.25, 0.0])
    np.testing.assert_array_equal(layer.current_kernel.positions, expected)
    dense = ik.densify(layer.weight.detach().numpy(), layer.current_kernel)
    np.testing.assert_allclose(layer.dense_kernel().detach().numpy(), dense, rtol=0, atol=1e-15)
    assert "learn_positions=(0,)" in repr(layer)


def test_dense_kernels_of_splines_follow_their_positions():
    """`dense_kernel()` of learned polyharmonic anchors is differentiable by weights and positions."""
    kernel = GAUSSIAN.replace(positions=np.random.default_rng(0).uniform(0, 3, (6, 2)), interpolator="polyharmonic")
    layer = make_layer(kernel, learn_positions=True, dtype=torch.float64)
    dense = layer.dense_kernel()
    grad = torch.randn_like(dense)
    dense.backward(grad)
    expected = ik.densify_backward(grad.numpy(), layer.weight.detach().numpy(), kernel, wrt=("weights", "positions"))
    np.testing.assert_allclose(layer.weight.grad, expected.weights, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.positions.grad, expected.positions, rtol=0, atol=1e-12)


def test_positions_are_clamped_to_the_window():
    """`clamp_positions` moves them to 0 ... window - 1, axis by axis."""
    layer = make_layer(GAUSSIAN, learn_positions=True)
    with torch.no_grad():
        layer.positions[:2] = torch.tensor([[-1.0, 9.0], [9.0, -1.0]])
    kept = layer.positions[2].detach().clone()
    layer.clamp_positions()
    assert layer.positions[:2].tolist() == [[0.0, 4.0], [3.0, 0.0]]
    assert (layer.positions[2] == kept).all()


def test_anchors_have_a_group_of_their_own():
    """Positions and widths learn at `lr * factor`, without weight decay; a factor needs `lr`."""
    layer = make_layer(GAUSSIAN, learn_positions=True, learn_widths=True)
    groups = layer.parameter_groups(0.01, 5.0)
    assert [len(group["params"]) for group in groups] == [1, 1, 2]
    assert groups[2] == {"params": [layer.positions, layer.widths], "weight_decay": 0.0, "lr": 0.05}
    torch.optim.SGD(groups, lr=0.01, weight_decay=0.1)
    with pytest.raises(ValueError, match="`lr` must be given"):
        layer.parameter_groups(factor=5.0)


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_learned_layers_compile_and_train(engine):
    """A compiled layer of learned positions and widths follows the eager one over some steps."""
    torch._dynamo.reset()
    x, target, losses = torch.randn(2, 4, 9, 8), torch.randn(2, 6, 6, 4), []
    for compiled in (False, True):
        layer = make_layer(GAUSSIAN, learn_positions=True, learn_widths=True, engine=engine)
        step = torch.compile(layer, fullgraph=True, backend="aot_eager") if compiled else layer
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            loss = (step(x) - target).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-6)


MISTAKES = {
    "axes": (ValueError, r"`learn_positions` must name axes below 2", {"learn_positions": (2,)}),
    "names": (TypeError, r"`learn_positions` must be a bool or a tuple of axes", {"learn_positions": ("rows",)}),
    "native spline": (
        ValueError, "`positions` and `widths` of Polyharmonic.* need engine='numba'",
        {"kernel": GAUSSIAN.replace(interpolator="polyharmonic"), "learn_positions": True, "engine": "native"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MISTAKES))
@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")
def test_mistakes_raise_at_construction(name):
    """What no call could learn is not built."""
    error, message, options = MISTAKES[name]
    with pytest.raises(error, match=message):
        make_layer(**{"kernel": GAUSSIAN, **options})
