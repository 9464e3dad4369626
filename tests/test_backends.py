"""The peers of docs/backends: right on what they support, wrong as their examples say, and all in docs/backends.md."""

import importlib
import sys
from pathlib import Path

import pytest

from interpolated_kernels.testing import assert_matches_reference, check_backend

sys.path.insert(0, str(Path(__file__).parents[1] / "docs/backends"))  # where a failure's program imports them from
import table

FOLDER = Path(table.__file__).parent
MODULES = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax", "scipy": "scipy", "opencv": "cv2"}
PROBLEMS = {"jax": 6}  # it compiles each shape anew: three seconds a problem


@pytest.fixture(params=sorted(table.PEERS))
def peer(request, monkeypatch):
    """A peer's module, where it is installed."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip(MODULES[request.param])
    return importlib.import_module(f"{request.param}_backend")


def test_a_peer_is_right_on_what_it_supports(peer):
    """Forward, and backward where the framework has gradients, a peer keeps every bound on what it supports."""
    name = peer.__name__.removesuffix("_backend")
    gradients = getattr(peer, "conv_backward", None)
    report = check_backend(peer.conv, gradients, supports=peer.supports, seed=1, n=PROBLEMS.get(name, 40))
    results = {row.feature: row.passed for row in report.rows if row.kind == "result"}
    assert report.failed == 0
    assert results["y"] == report.passed
    assert (results.get("grad_x", 0) > 0) == (results.get("grad_weights", 0) > 0) == (gradients is not None)


def test_a_peer_is_wrong_as_it_says(peer):
    """What the table says that a peer gets wrong, the release that it names gets wrong."""
    name = peer.__name__.removesuffix("_backend")
    if f"| {table.find_version(name)} |" not in table.read_row(name):
        pytest.skip("another release than the table's")
    for fault, example in peer.FAULTS.items():
        assert fault in table.read_row(name)
        given, options, checks = (example.x, example.weights, example.kernel), example.options, {}
        if example.grad_y is None:
            result = peer.conv(*given, **options)
        else:
            result = peer.conv_backward(example.grad_y, *given, wrt=("weights",), **options)["weights"]
            checks = {"grad_y": example.grad_y, "quantity": "grad_weights"}
        with pytest.raises(AssertionError, match="To see it again"):
            assert_matches_reference(result, *given, **checks, **options)


def test_the_table_is_current():
    """The quickest row of docs/backends.md is what the script writes, where the release is its own."""
    version, row = table.find_version("scipy"), table.read_row("scipy")
    if f"| {version} |" not in row:
        pytest.skip("another release than the table's")
    assert table.write_row("scipy") == row


def test_every_peer_is_in_the_table():
    """Each file has a row, with its faults."""
    assert {f"{name}_backend" for name in table.PEERS} == {path.stem for path in FOLDER.glob("*_backend.py")}
    for name in table.PEERS:
        assert len(table.read_row(name).split("|")) == 8
