"""Kernels on disk come back bit for bit; what is no kernel's file is refused; other packages' states are read."""

import contextlib
import io
import json
import pickle
import re
import sys
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import interpolated_kernels as ik
from interpolated_kernels import lazy
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


def _members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write_members(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _spoil_archive(path):
    """Return an archive's bytes with every place where its members' flags and methods stand, by their records."""
    content = bytearray(path.read_bytes())
    return content, [(m.start(), 6 if m[0] == b"PK\3\4" else 8) for m in re.finditer(b"PK\1\2|PK\3\4", content)]


def _encrypt(path):
    content, records = _spoil_archive(path)
    for start, flags in records:
        content[start + flags] |= 1
    path.write_bytes(content)


def _compress_by_foreign_method(path):
    content, records = _spoil_archive(path)
    for start, flags in records:
        content[start + flags + 2] = 99
    path.write_bytes(content)


def _corrupt_compressed(path):
    _write_members(path, {**_members(path), "arrays/noise.npy": bytes(9999)}, compression=zipfile.ZIP_DEFLATED)
    content, records = _spoil_archive(path)
    start = records[0][0]
    lengths = (int.from_bytes(content[start + field : start + field + 2], "little") for field in (26, 28))
    content[start + 30 + sum(lengths)] = 255  # no kind of block
    path.write_bytes(content)


def _claim_elements(path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    header += b" " * (117 - len(header)) + b"\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    _write_members(path, {**_members(path), "weights.npy": start + header})


def _nest_header(path):
    start = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little")
    _write_members(path, {**_members(path), "weights.npy": start + b"(" * 9000})


def _replace_member(name, value):
    def spoil(path):
        stream = io.BytesIO()
        np.save(stream, value)
        _write_members(path, {**_members(path), f"{name}.npy": stream.getvalue()})

    return spoil


def _change_document(**changes):
    def spoil(path):
        with np.load(path) as archive:
            document = {**json.loads(archive["document"].tobytes()), **changes}
        _replace_member("document", np.frombuffer(json.dumps(document).encode(), np.uint8))(path)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_encrypt, "cannot be read"),
        (_compress_by_foreign_method, "cannot be read"),
        (_corrupt_compressed, "cannot be read"),
        (_claim_elements, "cannot be read"),
        (_nest_header, "cannot be read"),
        (lambda path: path.write_bytes(b"\x93NUMPY"), "cannot be read"),
        (lambda path: np.save(path.open("wb"), np.ones(12)), "cannot be read"),
        (_replace_member("document", np.ones(9)), "is no JSON"),
        (_replace_member("document", np.full(9, 255, np.uint8)), "is no JSON"),
        (_replace_member("document", np.full(10**5, ord("["), np.uint8)), "is no JSON"),
        (_replace_member("document", np.array("[]")), "is no JSON|another kind"),
        (_replace_member("weights", np.ones(11)), "12 anchors"),
        (_replace_member("weights", np.array(1.0)), "12 anchors"),
        (_replace_member("weights", np.ones(12, int)), "must be a floating array"),
        (_replace_member("weights", np.ones(12, "V8")), "must be float16"),
        (_replace_member("weights", np.full(12, "a")), "must be float16"),
        (_change_document(dtypes={"weights": "bfloat17"}), "bfloat17 is no dtype"),
        (_change_document(dtypes={"weights": "finfo"}), "finfo is no dtype"),
        (_change_document(dtypes={"weights": 3}), "damaged"),
        (_change_document(dtypes={"biases": "bfloat16"}), "damaged"),
        (_change_document(dtypes=[]), "damaged"),
    ],
)  # fmt: skip
def test_whatever_a_broken_file_holds_is_one_error(spoil, message, tmp_path):
    """Archives, headers, documents and weights that are wrong raise ValueError, which names the file or the weights."""
    if "dtype" in message or message == "damaged":
        pytest.importorskip("ml_dtypes")
    ik.save(tmp_path / "a.npz", ik.InterpolatedKernel(GRID, (7, 5), "linear"), np.ones(12))
    spoil(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=message) as caught:
        ik.load(tmp_path / "a.npz")
    assert "`path`" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["[" * 10**5, '{"a":' * 10**5, "\ud800", "null", "NaN", "1" * 5000, '"', '{"format": []}'],
    ids=lambda text: repr(text[:9]),
)
def test_text_that_is_no_document_is_refused(text, tmp_path):
    """JSON nested ever so deep, other encodings and other values raise ValueError."""
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match="`path` must be a document that `save` wrote"):
        ik.load(tmp_path / "a.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": None}, {"positions": [[0], [1, 2]]}, {"positions": "abc"}, {"positions": [[1e400]]},
        {"window": None}, {"window": [float("inf")]}, {"window": [10**400, 5]}, {"window": ["7", "5"]}, {"window": 7},
        {"interpolator": []}, {"interpolator": {"name": []}}, {"interpolator": {"name": "bspline", "degree": "3"}},
        {"channel_mode": []}, {"channel_mode": None}, {"widths": {}}, {"widths": "abc"},
    ],
    ids=str,
)  # fmt: skip
def test_a_kernel_of_nonsense_is_refused(changes, tmp_path):
    """Whatever stands where positions, a window, names or options belong raises ValueError."""
    path = _document(tmp_path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "kernel": {**document["kernel"], **changes}}))
    with pytest.raises(ValueError, match="`"):
        ik.load(path)


@pytest.mark.filterwarnings("ignore")  # NumPy's, about headers that look as Python 2 wrote them; anchors on a line
@pytest.mark.parametrize("name", ["a.npz", "a.json"])
@hypothesis.given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
@hypothesis.settings(max_examples=100, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_random_bytes_raise_nothing_but_value_errors(name, places, tmp_path):
    """A file with some bytes changed is read, or refused by ValueError."""
    ik.save(tmp_path / name, ik.InterpolatedKernel(GRID, (7, 5), "linear"), *([] if "json" in name else [np.ones(12)]))
    content = bytearray((tmp_path / name).read_bytes())
    for place, value in places:
        content[int(place * (len(content) - 1))] = value
    (tmp_path / name).write_bytes(content)
    with contextlib.suppress(ValueError):
        assert isinstance(ik.load(tmp_path / name), ik.Saved)


def test_narrow_dtypes_come_back(tmp_path):
    """Weights in bfloat16 and arrays in any dtype of ml_dtypes keep it, and all their bits."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    weights = np.linspace(-1, 1, 24).reshape(2, 1, 12).astype(ml_dtypes.bfloat16)
    scales = np.array([[0.5], [2.0]], ml_dtypes.float8_e4m3fn).T
    ik.save(
        tmp_path / "a.npz", ik.InterpolatedKernel(GRID, (7, 5), "linear"), weights, scales=scales, scalar=scales[0, 0]
    )
    found = ik.load(tmp_path / "a.npz")
    assert found.weights.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found.weights, weights)
    assert found.arrays["scales"].dtype == scales.dtype
    np.testing.assert_array_equal(found.arrays["scales"], scales)
    assert found.arrays["scalar"].shape == ()


def test_a_missing_package_of_dtypes_is_named(tmp_path, monkeypatch):
    """Without ml_dtypes a file with bfloat16 says what to install."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    ik.save(tmp_path / "a.npz", ik.InterpolatedKernel(GRID, (7, 5), "linear"), np.ones(12, ml_dtypes.bfloat16))
    monkeypatch.setattr(lazy, "_LOADED", {})
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(ImportError, match="pip install ml_dtypes"):
        ik.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "interpolator",
    [
        ik.RBF("gaussian", shape=np.float32(0.5), degree=np.int64(-1)),
        ik.Polyharmonic(order=np.int64(3)),
        ik.Gaussian(normalized=np.bool_(False)),
        ik.Symmetric(ik.RBF("cubic", smoothing=np.float64(0)), (np.int64(0),)),
    ],
    ids=str,
)
def test_numpys_scalars_in_options_are_saved(interpolator, tmp_path):
    """An option that is NumPy's number becomes Python's, and the kernel is the same."""
    positions = np.random.default_rng(0).uniform(0, 3, (9, 2))
    kernel = ik.InterpolatedKernel(positions, (9, 9), interpolator)
    for name in ("a.json", "a.npz"):
        ik.save(tmp_path / name, kernel)
        assert ik.load(tmp_path / name).kernel == kernel


def test_options_that_json_cannot_hold_are_named(tmp_path):
    """An interpolator whose option is no plain value cannot be saved, and nothing is written."""
    kernel = ik.InterpolatedKernel(GRID, (7, 5), ik.RBF("gaussian", shape=0.5))
    object.__setattr__(kernel.interpolator, "shape", object())
    with pytest.raises(TypeError, match="`kernel` must have an interpolator that JSON can hold"):
        ik.save(tmp_path / "a.json", kernel)
    assert not list(tmp_path.iterdir())


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
