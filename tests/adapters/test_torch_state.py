"""A layer's state and files: tensors alone, for every tool around a checkpoint, and the kernel told apart."""

import copy
import warnings

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

import interpolated_kernels_torch as ikt  # noqa: E402 # only where torch is

KERNEL = ik.InterpolatedKernel(ik.grid_positions((4, 5), counts=(2, 2)), (4, 5), "linear")
MOVING = ik.InterpolatedKernel(np.random.default_rng(0).uniform(0.5, 3, (6, 2, 3, 2)), (4, 5), "gaussian")


def make_layer(kernel=KERNEL, **options):
    torch.manual_seed(0)
    return ikt.InterpolatedConv2d(4, 6, kernel, **{"groups": 2, "dtype": torch.float64, **options})


def make_moving_layer(**options):
    return make_layer(MOVING, **{"learn_positions": True, "learn_widths": True, **options})


def make_x(dtype=torch.float64):
    return torch.randn(2, 4, 9, 8, dtype=dtype, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [make_layer, make_moving_layer])
def test_states_hold_floating_tensors(make):
    """Every entry is a floating tensor, the digest's of whole numbers from 0 to 255."""
    layer = make()
    state = layer.state_dict()
    assert all(isinstance(value, torch.Tensor) and value.is_floating_point() for value in state.values())
    digest = state["kernel_digest"]
    assert ((digest == digest.round()) & (digest >= 0) & (digest <= 255)).all()


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casts_leave_the_digest_readable(cast):
    """A state that went through `.half()` or `.bfloat16()` loads into its own kernel, and into no other."""
    state = {name: getattr(value, cast)() for name, value in make_layer().state_dict().items()}
    make_layer().load_state_dict(state)
    with pytest.raises(ValueError, match="interpolator differ"):
        make_layer(KERNEL.replace(interpolator="nearest")).load_state_dict(state)


def test_averaged_models_load():
    """The mean of states, as of averaged models with their buffers, loads."""
    average = lambda old, new, n: 0.9 * old + 0.1 * new  # noqa: E731 # one line says it
    model = torch.optim.swa_utils.AveragedModel(make_layer(), avg_fn=average, use_buffers=True)
    for _ in range(5):
        model.update_parameters(make_layer())
    make_layer().load_state_dict(model.module.state_dict())


def test_states_of_other_origin_load_with_one_warning():
    """A state without the digest loads, strictly too, and warns once."""
    state = make_layer().state_dict()
    del state["kernel_digest"]
    with pytest.warns(UserWarning, match="does not say which kernel") as caught:
        make_layer().load_state_dict(state, strict=True)
    assert len(caught) == 1
    assert "kernel_digest" not in state


def test_a_state_of_its_own_loads_without_a_warning():
    """With the digest nothing is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_layer().load_state_dict(make_layer().state_dict())


def test_learned_parts_are_not_told_apart():
    """A layer that learns its positions loads them over others; what it does not learn is compared."""
    layer = make_moving_layer()
    other = make_layer(MOVING.replace(positions=MOVING.positions * 0.5), learn_positions=True, learn_widths=True)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(make_x()), layer(make_x()), rtol=0, atol=0)
    third = make_layer(MOVING.replace(interpolator="triangle"), learn_positions=True, learn_widths=True)
    with pytest.raises(ValueError, match="interpolator differ"):
        third.load_state_dict(layer.state_dict())


def test_empty_layers_are_filled_by_reset():
    """After `to_empty` and `reset_parameters` the digest is there again."""
    with torch.device("meta"):
        layer = make_moving_layer()
    layer.to_empty(device="cpu")
    layer.reset_parameters()
    make_moving_layer().load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(layer.current_kernel.positions, MOVING.positions)


@pytest.mark.parametrize("mode", ["separate", "tied", "interpolated"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_files_go_round(tmp_path, mode, dtype):
    """`to_file` and `from_file` give an equal layer; the core reads the same file."""
    window = (4, 5, 2) if mode == "interpolated" else (4, 5)
    positions = ik.grid_positions(window, counts=(2,) * len(window))
    kernel = ik.InterpolatedKernel(positions, window, "linear", channel_mode=mode)
    layer = make_layer(kernel, padding=1, dtype=dtype)
    layer.to_file(tmp_path / "layer.npz")
    needed = {"in_channels": 4} if mode == "tied" else {}
    back = ikt.InterpolatedConv2d.from_file(tmp_path / "layer.npz", padding=1, groups=2, **needed)
    torch.testing.assert_close(back(make_x(dtype)).to(dtype), layer(make_x(dtype)), rtol=0, atol=0)
    saved = ik.load(tmp_path / "layer.npz")
    assert saved.kernel == kernel
    np.testing.assert_array_equal(saved.arrays["bias"], layer.bias.detach().double().numpy())


def test_files_hold_the_anchors_of_now(tmp_path):
    """Learned positions and widths are in the file's kernel."""
    layer = make_moving_layer()
    with torch.no_grad():
        layer.positions.add_(0.25)
        layer.widths.mul_(2)
    layer.to_file(tmp_path / "layer.npz")
    back = ikt.InterpolatedConv2d.from_file(tmp_path / "layer.npz", groups=2)
    torch.testing.assert_close(back(make_x()), layer(make_x()), rtol=0, atol=0)
    assert ik.load(tmp_path / "layer.npz").kernel == layer.current_kernel


def test_files_without_a_bank_raise(tmp_path):
    """Plain weights, none, or tied ones without `in_channels` say what is missing."""
    ik.save(tmp_path / "plain.npz", KERNEL, np.ones(4))
    with pytest.raises(ValueError, match="`path` must hold weights of 3 axes"):
        ikt.InterpolatedConv2d.from_file(tmp_path / "plain.npz")
    ik.save(tmp_path / "kernel.json", KERNEL)
    with pytest.raises(ValueError, match="`path` must hold weights of 3 axes"):
        ikt.InterpolatedConv2d.from_file(tmp_path / "kernel.json")
    ik.save(tmp_path / "tied.npz", KERNEL.replace(channel_mode="tied"), np.ones((6, 4)))
    with pytest.raises(ValueError, match="`in_channels` must be given"):
        ikt.InterpolatedConv2d.from_file(tmp_path / "tied.npz")


def test_copies_are_equal():
    """deepcopy keeps what is learned."""
    layer = make_moving_layer()
    torch.testing.assert_close(copy.deepcopy(layer)(make_x()), layer(make_x()), rtol=0, atol=0)
