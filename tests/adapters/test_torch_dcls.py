"""Layers from modules of dcls: equal outputs, and equal losses while both train."""

import copy

import pytest

torch = pytest.importorskip("torch")
dcls = pytest.importorskip("DCLS.construct.modules")

import interpolated_kernels_torch as ikt  # noqa: E402 # only where torch is

LAYERS = {1: ikt.InterpolatedConv1d, 2: ikt.InterpolatedConv2d, 3: ikt.InterpolatedConv3d}
MODULES = {
    "Dcls1d": (dcls.Dcls1d, {}),
    "Dcls2d": (dcls.Dcls2d, {}),
    "Dcls2d strided": (dcls.Dcls2d, {"stride": 2, "padding_mode": "reflect", "bias": False}),
    "Dcls3d": (dcls.Dcls3d, {}),
    "Dcls2dK1d rows": (dcls.Dcls2dK1d, {"flat_dim": 0}),
    "Dcls2dK1d columns": (dcls.Dcls2dK1d, {"flat_dim": 1}),
    "Dcls3_1d": (dcls.Dcls3_1d, {"dense_kernel_size": 1}),
}


def make_module(name, version):
    """Return a module whose anchors stand apart, x for it, and its number of axes."""
    torch.manual_seed(0)
    cls, options = MODULES[name]
    d = int(cls.__name__[4])
    module = cls(4, 6, 3, padding=2, dilated_kernel_size=5, groups=2, version=version, **options)
    with torch.no_grad():
        module.P.uniform_(-1.9, 1.9)
    return module, torch.randn(2, 4, *(11, 8, 7)[:d]), d


@pytest.mark.parametrize("engine", ["numba", "native"])
@pytest.mark.parametrize("version", ["v0", "v1", "max", "gauss"])
@pytest.mark.parametrize("name", sorted(MODULES))
def test_layers_train_as_the_modules(name, version, engine):
    """Losses are equal to 1e-5 over 20 steps of SGD with momentum."""
    if name == "Dcls3_1d" and version == "v0":
        pytest.skip("Dcls3_1d has no version v0")
    module, x, d = make_module(name, version)
    layer = LAYERS[d].from_dcls(module, engine=engine)
    target = torch.randn_like(module(x))
    losses = []
    for trained in (copy.deepcopy(module), layer):
        optimizer, found = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9), []
        for _ in range(20):
            optimizer.zero_grad()
            loss = (trained(x) - target).square().mean()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        losses.append(torch.tensor(found))
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=1e-5)


def test_what_does_not_fit_raises():
    """Another module, other axes, or a fixed kernel beside the learned one."""
    with pytest.raises(TypeError, match="`module` must be a convolution of dcls"):
        ikt.InterpolatedConv2d.from_dcls(torch.nn.Conv2d(1, 1, 3))
    with pytest.raises(TypeError, match="`module` must have 1 spatial axes"):
        ikt.InterpolatedConv1d.from_dcls(make_module("Dcls2d", "gauss")[0])
    with pytest.raises(ValueError, match="`module` must have one cell along its fixed axes"):
        ikt.InterpolatedConv3d.from_dcls(dcls.Dcls3_1d(4, 6, 3, dense_kernel_size=2, dilated_kernel_size=5))
