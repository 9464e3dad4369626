"""Kernels on disk come back bit for bit; what is no kernel's file is refused; other packages' states are read."""

import json
import pickle

import hypothesis
import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.testing.strategies import kernels

GRID = ik.grid_positions((7, 5), 2)


@pytest.mark.filterwarnings("ignore::interpolated_kernels.AnchorWarning")  # as for any kernel that is made anew
@hypothesis.given(kernel=kernels(filters=2, channels=3))
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_every_kernel_comes_back(kernel, tmp_path):
    """Both kinds of file give an equal kernel; weights and arrays keep dtype, shape and bits."""
    ik.save(tmp_path / "kernel.json", kernel)
    assert ik.load(tmp_path / "kernel.json").kernel == kernel
    weights = np.random.default_rng(0).standard_normal((2, 3, kernel.n_anchors)).astype(np.float32)
    if kernel.channel_mode != "separate":
        weights = weights[:, 0]
    ik.save(tmp_path / "kernel.npz", kernel, weights, bias=np.arange(2), weights_of_old=weights[:1])
    found = ik.load(tmp_path / "kernel.npz")
    assert found.kernel == kernel
    assert found.weights.dtype == np.float32
    np.testing.assert_array_equal(found.weights, weights)
    assert set(found.arrays) == {"bias", "weights_of_old"}
    np.testing.assert_array_equal(found.arrays["bias"], np.arange(2))


def test_widths_come_back(tmp_path):
    """Splats keep their widths, and their options."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), ik.Gaussian(normalized=False), widths=GRID / 7)
    for name in ("a.json", "a.npz"):
        ik.save(tmp_path / name, kernel)
        assert ik.load(tmp_path / name).kernel == kernel
        assert ik.load(tmp_path / name).weights is None


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """What cannot be written does not harm what is there, and leaves nothing behind."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    ik.save(tmp_path / "a.npz", kernel, np.ones(12))
    with pytest.raises(TypeError, match="plain values"):
        ik.save(tmp_path / "a.npz", kernel, np.ones(12), names=np.array([{}], dtype=object))
    assert ik.load(tmp_path / "a.npz").kernel == kernel
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def _document(tmp_path, **changes):
    ik.save(tmp_path / "a.json", ik.InterpolatedKernel(GRID, (7, 5), "linear"))
    document = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**document, **changes}))
    return tmp_path / "a.json"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "of version 2"),
        ({"format": "other"}, "another kind"),
        ({"kernel": {}}, "must have the keys"),
        ({"kernel": None}, "damaged"),
        ({"kernel": {"positions": [[0]], "window": [1], "interpolator": {"name": "no"}, "channel_mode": "separate",
                     "widths": None}}, "unknown interpolator"),
        ({"kernel": {"positions": [[0]], "window": [1], "interpolator": {"name": "linear", "no": 1},
                     "channel_mode": "separate", "widths": None}}, "damaged"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_refused(changes, message, tmp_path):
    """Another version or kind, and missing or unknown parts, raise and name the file."""
    path = _document(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        ik.load(path)


def test_a_damaged_file_is_refused(tmp_path):
    """Text that is no JSON, a cut npz, an npz of somebody else's, and pickled objects raise."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        ik.load(tmp_path / "a.json")
    ik.save(tmp_path / "a.npz", kernel, np.ones(12))
    whole = (tmp_path / "a.npz").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "a.npz").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match="cannot be read"):
            ik.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", weights=np.ones(3))
    with pytest.raises(ValueError, match="no kernel's document"):
        ik.load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", weights=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read"):
        ik.load(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(pickle.dumps({"document": "x"}))
    with pytest.raises(ValueError, match="cannot be read"):
        ik.load(tmp_path / "d.npz")
    with pytest.raises(FileNotFoundError, match="there is none"):
        ik.load(tmp_path / "e.npz")


def test_what_cannot_be_saved(tmp_path):
    """Endings, kernels and weights that do not fit raise before anything is written."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), "linear")
    with pytest.raises(ValueError, match=r"must end in '\.json' or '\.npz'"):
        ik.save(tmp_path / "a.txt", kernel)
    with pytest.raises(ValueError, match="the kernel alone"):
        ik.save(tmp_path / "a.json", kernel, np.ones(12))
    with pytest.raises(ValueError, match="12 anchors"):
        ik.save(tmp_path / "a.npz", kernel, np.ones(11))
    with pytest.raises(TypeError, match="`kernel`"):
        ik.save(tmp_path / "a.npz", np.ones(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["v0", "v1", "max", "gauss"])
@pytest.mark.parametrize("window", [(7,), (7, 7), (6, 6), (5, 9), (5, 5, 5), (3, 5, 7)], ids=str)
def test_modules_of_dcls_are_read(version, window):
    """The dense kernel is the module's own: axes in its order, positions centred as it centres them."""
    torch, modules = pytest.importorskip("torch"), pytest.importorskip("DCLS.construct.modules")
    torch.manual_seed(0)
    layer = getattr(modules, f"Dcls{len(window)}d")(2, 3, 4, dilated_kernel_size=window, version=version)
    with torch.no_grad():
        layer.P.mul_(0.8)  # off the border, where that package loses what lies on it
        expected = layer.DCK(layer.weight, layer.P, getattr(layer, "SIG", None)).numpy()
    found = ik.from_dcls({name: value.numpy() for name, value in layer.state_dict().items()}, window, version)
    dense = ik.densify(found.weights, found.kernel)
    assert np.abs(dense - expected).max() <= 1e-6 * np.abs(expected).max()
    np.testing.assert_array_equal(found.arrays["bias"], layer.bias.detach().numpy())


@pytest.mark.parametrize(
    ("state", "version", "message"),
    [
        ({}, "v2", "`version` must be one of"),
        ({"weight": np.ones((1, 1, 3))}, "v1", "P missing"),
        ({"weight": np.ones((1, 1, 3)), "P": np.ones((2, 1, 1, 3))}, "gauss", "SIG"),
        ({"weight": np.ones((1, 1, 3)), "P": np.ones((1, 1, 1, 3))}, "v1", "of shape"),
    ],
)
def test_a_wrong_state_is_refused(state, version, message):
    """An unknown version, a missing entry and shapes that do not fit raise."""
    with pytest.raises(ValueError, match=message):
        ik.from_dcls(state, (5, 5), version)


def test_dense_kernels_of_a_checkpoint(tmp_path):
    """Arrays of the kernel's window become anchors' weights by name; others are passed over."""
    rng, kernel = np.random.default_rng(0), ik.InterpolatedKernel(GRID, (7, 5), "linear")
    weights = rng.standard_normal((3, 2, 12))
    arrays = {"conv.weight": ik.densify(weights, kernel), "conv.bias": np.ones(3), "other": np.ones((3, 2, 5, 5))}
    np.savez(tmp_path / "a.npz", **arrays)
    for source in (arrays, tmp_path / "a.npz"):
        fits = ik.from_checkpoint(source, kernel)
        assert list(fits) == ["conv.weight"]
        np.testing.assert_allclose(fits["conv.weight"].weights, weights, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="must hold an array"):
        ik.from_checkpoint({"a": np.ones(3)}, kernel)
