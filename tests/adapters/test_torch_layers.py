"""The layers: parameters, state, conversion, training."""

import copy
import io
import pickle

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

import interpolated_kernels_torch as ikt  # noqa: E402 # only where torch is

WINDOWS = {1: (5,), 2: (4, 5), 3: (3, 2, 4)}
LAYERS = {1: ikt.InterpolatedConv1d, 2: ikt.InterpolatedConv2d, 3: ikt.InterpolatedConv3d}


def make_kernel(d=2, mode="separate", channels=2, interpolator="linear"):
    window = (*WINDOWS[d], *((channels,) if mode == "interpolated" else ()))
    positions = ik.grid_positions(window, counts=(2,) * len(window))
    return ik.InterpolatedKernel(positions, window, interpolator, channel_mode=mode)


def make_layer(d=2, mode="separate", **options):
    torch.manual_seed(0)
    options = {"groups": 2, "dtype": torch.float64, **options}
    return LAYERS[d](4, 6, make_kernel(d, mode), **options)


def make_x(d=2):
    return torch.randn(2, 4, *(9, 8, 7)[:d], dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def assert_same(actual, expected):
    """Equal up to float64's rounding of sums of at most 200 terms of order one."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=200 * 2.0**-52)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_plain_convolution_has_equal_output(d, mode):
    """`to_conv()` gives an `nn.ConvNd` with equal output, in every dimension and channel mode."""
    layer = make_layer(d, mode, padding=1, dilation=2 if d == 1 else 1, stride=2)
    conv = layer.to_conv()
    assert type(conv) is {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[d]
    assert_same(conv(make_x(d)), layer(make_x(d)))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": 2, "padding_mode": "reflect"},
        {"padding": 2, "padding_mode": ("circular", "circular")},
        {"bias": False},
    ],
    ids=str,
)
def test_options_survive_the_conversion(options):
    """Padding, its mode and a missing bias go along into the plain convolution."""
    layer = make_layer(**options)
    assert_same(layer.to_conv()(make_x()), layer(make_x()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": ((1, 0), (1, 1))}, "pads differently before and after"),
        ({"padding": 1, "padding_mode": "symmetric"}, "is none of nn.Conv2d's"),
        ({"padding": 1, "padding_mode": ("zeros", "circular")}, "has a mode an axis, nn.Conv2d never"),
    ],
    ids=["asymmetric", "symmetric", "a mode an axis"],
)
def test_padding_without_a_plain_form_raises(options, message):
    """What `nn.Conv2d` cannot pad raises at conversion."""
    with pytest.raises(ValueError, match=message):
        make_layer(**options).to_conv()


def test_models_are_converted_as_copies():
    """`to_conv(model)` replaces every layer, shared ones once, and leaves the model alone."""
    layer = make_layer(padding="same")
    back = torch.nn.Conv2d(6, 4, 1, dtype=torch.float64)
    model = torch.nn.Sequential(layer, back, torch.nn.Sequential(layer)).eval()
    plain = ikt.to_conv(model)
    assert_same(plain(make_x()), model(make_x()))
    assert plain[0] is plain[2][0]
    assert not plain[0].training
    assert not any("Interpolated" in type(module).__name__ for module in plain.modules())
    assert model[0] is layer


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_plain_convolutions_of_the_family_come_back(d, mode):
    """`from_conv(layer.to_conv(), kernel)` gives the layer's weights back."""
    layer = make_layer(d, mode, padding=1)
    back = type(layer).from_conv(layer.to_conv(), layer.kernel)
    assert_same(back.weight, layer.weight)
    assert_same(back(make_x(d)), layer(make_x(d)))


def test_from_conv_is_least_squares():
    """What is left of a dense kernel after the fit is orthogonal to everything the anchors can form."""
    conv = torch.nn.Conv2d(4, 6, (4, 5), groups=2, dtype=torch.float64)
    layer = ikt.InterpolatedConv2d.from_conv(conv, make_kernel())
    left = (conv.weight - layer.dense_kernel()).detach().flatten(2).numpy()
    np.testing.assert_allclose(left @ layer.kernel.matrix, 0, rtol=0, atol=1e-13)


def test_from_conv_takes_positions_per_filter():
    """Kernels with positions of their own for every filter, or filter and channel, are fitted too."""
    rng = np.random.default_rng(0)
    for lead in ((6,), (6, 2)):
        kernel = ik.InterpolatedKernel(rng.uniform(0, 4, (*lead, 5, 2)), (4, 5), "polyharmonic")
        layer = ikt.InterpolatedConv2d(4, 6, kernel, groups=2, dtype=torch.float64)
        back = ikt.InterpolatedConv2d.from_conv(layer.to_conv(), kernel)
        torch.testing.assert_close(back.weight, layer.weight, rtol=0, atol=1e-10)


def test_from_conv_refuses_what_does_not_fit():
    """Another module, or another window, raises."""
    with pytest.raises(TypeError, match=r"`conv` must be a torch.nn.Conv2d"):
        ikt.InterpolatedConv2d.from_conv(torch.nn.Conv1d(1, 1, 5), make_kernel())
    with pytest.raises(ValueError, match="`kernel` must have the window of `conv`"):
        ikt.InterpolatedConv2d.from_conv(torch.nn.Conv2d(1, 1, 5), make_kernel())


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
def test_dense_kernel_is_the_core_s(mode):
    """`dense_kernel()` equals `ik.densify` and carries gradients."""
    layer = make_layer(mode=mode)
    dense = layer.dense_kernel()
    assert_same(dense.detach(), torch.from_numpy(ik.densify(layer.weight.detach().numpy(), layer.kernel)))
    dense.sum().backward()
    assert layer.weight.grad.shape == layer.weight.shape


def test_state_goes_round():
    """state_dict (through a file, weights only), pickle and deepcopy give equal outputs."""
    layer, buffer = make_layer(), io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    loaded = make_layer()
    loaded.reset_parameters()
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    for other in (loaded, pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        torch.testing.assert_close(other(make_x()), layer(make_x()), rtol=0, atol=0)


def test_another_kernel_s_weights_are_refused():
    """Loading the weights of another kernel raises and says what differs."""
    other = ikt.InterpolatedConv2d(4, 6, make_kernel(interpolator="nearest"), groups=2)
    with pytest.raises(ValueError, match=r"holds weights of another kernel.*: interpolator differ"):
        other.load_state_dict(make_layer().state_dict())
    moved = ikt.InterpolatedConv2d(4, 6, make_kernel().replace(positions=make_kernel().positions + 0.25), groups=2)
    with pytest.raises(ValueError, match=r"holds weights of another kernel.*: positions differ"):
        torch.nn.Sequential(moved).load_state_dict(torch.nn.Sequential(make_layer()).state_dict())


def test_start_is_seeded_by_torch():
    """Equal seeds give equal layers; the dense kernel's mean square is close to `nn.Conv2d`'s."""
    first, second = make_layer(), make_layer()
    torch.testing.assert_close(first.weight, second.weight, rtol=0, atol=0)
    torch.manual_seed(0)
    kernel = make_kernel()
    layer, conv = ikt.InterpolatedConv2d(64, 64, kernel), torch.nn.Conv2d(64, 64, kernel.window)
    ratio = float(layer.dense_kernel().detach().square().mean() / conv.weight.detach().square().mean())
    np.testing.assert_allclose(ratio, 1.0, rtol=0, atol=0.1)
    np.testing.assert_array_less(layer.bias.detach().abs(), (64 * 20) ** -0.5)


def test_layers_may_start_on_meta():
    """Under `torch.device("meta")` a layer is built and gives shapes."""
    with torch.device("meta"):
        layer = ikt.InterpolatedConv2d(4, 6, make_kernel(), groups=2, padding="same")
    assert layer(torch.empty(2, 4, 9, 8, device="meta")).shape == (2, 6, 9, 8)


@pytest.mark.parametrize("engine", ["numba", "native"])
def test_training_lowers_the_loss(engine):
    """A few steps of SGD towards another layer's output halve the loss."""
    target, x = make_layer(padding="same")(make_x()).detach(), make_x()
    layer = make_layer(padding="same", engine=engine)
    layer.reset_parameters()
    optimizer = torch.optim.SGD(layer.parameter_groups(), lr=0.3)
    losses = []
    for _ in range(20):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_parameter_groups_hold_every_parameter_once():
    """Only the weight is in the group with weight decay."""
    layer = make_layer()
    weight, others = layer.parameter_groups()
    assert [id(parameter) for parameter in weight["params"]] == [id(layer.weight)]
    assert [id(parameter) for parameter in others["params"]] == [id(layer.bias)]
    assert others["weight_decay"] == 0.0
    assert len(make_layer(bias=False).parameter_groups()) == 1


def test_repr_names_what_differs_from_the_defaults():
    """The repr is short and complete."""
    text = repr(make_layer(padding="same", bias=False, engine="native"))
    kernel = "InterpolatedKernel(4 anchors, window 4x5, Linear())"
    assert text == f"InterpolatedConv2d(4, 6, {kernel}, padding='same', groups=2, engine='native', bias=False)"


MISTAKES = {
    "same_with_stride": (ValueError, "`padding`='same' is not supported for strided", {"padding": "same", "stride": 2}),
    "groups": (ValueError, "`groups` must divide x's channels, got 3 and 4 channels", {"groups": 3}),
    "zero_groups": (ValueError, "`groups` must be at least 1", {"groups": 0}),
    "stride": (TypeError, "`stride` must be an int", {"stride": 1.5}),
    "padding_mode": (ValueError, "`padding_mode` must be one of", {"padding_mode": "mirror"}),
    "engine": (ValueError, "`engine` must be one of", {"engine": "cuda"}),
    "path": (ValueError, "`path` must be", {"path": "fast"}),
    "positions": (ValueError, "`positions` cannot be learned", {"learn_positions": True}),
    "widths": (ValueError, "`widths` cannot be learned", {"learn_widths": True}),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_raise_at_construction(name):
    """A layer that no call could serve is not built."""
    error, message, options = MISTAKES[name]
    with pytest.raises(error, match=message):
        ikt.InterpolatedConv2d(4, 6, make_kernel(), **options)


def test_channels_and_dimensions_are_checked():
    """Channels must be positive ints, and the kernel must have the layer's axes."""
    with pytest.raises(TypeError, match="`in_channels` must be an int"):
        ikt.InterpolatedConv2d(4.0, 6, make_kernel())
    with pytest.raises(ValueError, match="`out_channels` must be at least 1"):
        ikt.InterpolatedConv2d(4, 0, make_kernel())
    with pytest.raises(ValueError, match="`kernel` must have 1 spatial axes"):
        ikt.InterpolatedConv1d(4, 6, make_kernel())
