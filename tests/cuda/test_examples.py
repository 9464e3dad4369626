"""The demo and the page on landscapes, with their arrays on a GPU: small, for the simulator takes long."""

import re
from pathlib import Path

import numpy as np
import pytest

import interpolated_kernels as ik
from interpolated_kernels.cli import digits

cuda = pytest.importorskip("numba.cuda")
pytestmark = pytest.mark.usefixtures("device")

DOCS = Path(__file__).parents[2] / "docs"
SMALLER = {
    "bins=72": "bins=8",
    "window = (21, 21)": "window = (5, 5)",
    "np.indices(window) - 10.0": "np.indices(window) - 2.0",
    "counts=(7, 7)": "counts=(3, 3)",
    "np.linspace(2.5, 12.0, 96)": "np.linspace(2.5, 12.0, 7)",
    "np.arange(0, 360, 3)": "np.arange(0, 360, 45)",
}
"""What the page's program is changed in; its lines stay."""


def read_program(text):
    """The Python of a page for the CPU, and for CUDA's arrays of numba, as one program."""
    return "\n".join(re.findall(r"^```python(?: cuda)?\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))


def test_the_page_on_cuda(capsys):
    """The program of the page on CUDA prints what its comments say."""
    program = read_program((DOCS / "cuda.md").read_text())
    exec(program, {})
    said = re.findall(r"^print\(.*\)  # (.+)$", program, flags=re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said
    assert len(said) == 2


def test_the_landscape_example():
    """The page's surface, forces and mixed boundaries come out the same from arrays that live on a GPU."""
    program = read_program((DOCS / "landscapes.md").read_text().partition("## An elevation model")[0])
    assert "place = cuda.to_device" in program
    for large, small in SMALLER.items():
        assert large in program
        program = program.replace(large, small)
    made = {}
    exec(program, made)
    pairs = [(made["surface_there"], made["surface"]), (made["even_there"], made["even"])]
    pairs += [(there, -force) for there, force in zip(made["forces_there"], made["forces"], strict=True)]
    assert len(pairs) == 4
    for there, here in pairs:
        assert hasattr(there, "copy_to_host")
        np.testing.assert_allclose(there.copy_to_host(), here, rtol=1e-11, atol=1e-12)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(4, 1, 16, 24)).astype(np.float32)
    return digits.Digits(images[:2], np.array([3, 7]), images[2:], np.array([1, 3]))


def make_row():
    return next(row for row in digits.make_rows() if row.name.startswith("linear, 9"))


def test_the_demo_has_the_same_gradients(data):
    """A step of the demo's classifier gives the CPU's gradients where its convolutions run on a GPU."""
    row, grads = make_row(), []
    for place in (digits.stay, cuda.to_device):
        model = digits.Classifier(row.kernel, True, 0, place)
        model.parameters["softmax"] += np.random.default_rng(1).normal(size=model.parameters["softmax"].shape)
        grads.append(model.gradients(data.train_x, data.train_y))
    assert set(grads[0]) == {"weights", "bias", "softmax", "offset"}
    for name, here in grads[0].items():
        np.testing.assert_allclose(grads[1][name], here, rtol=2e-5, atol=2e-5 * np.abs(here).max())


def test_the_demo_trains(data):
    """A whole training runs with its convolutions on a GPU, and moves the kernel."""
    row = make_row()
    run = digits.train(row, data, epochs=2, seed=0, place=cuda.to_device)
    start = digits.Classifier(row.kernel, True, 0).parameters["weights"]
    assert np.isfinite(run.weights).all()
    assert not np.array_equal(run.weights, start)
    assert len(run.accuracies) == 2


def test_what_goes_to_files_and_fits_comes_from_the_gpu(tmp_path):
    """Weights on a GPU are saved, and a dense kernel there is fitted: both are read once."""
    kernel = ik.InterpolatedKernel(ik.grid_positions((3, 3), 2), (3, 3), "linear")
    weights = np.arange(4.0)
    ik.save(tmp_path / "kernel.npz", kernel, weights=cuda.to_device(weights))
    np.testing.assert_array_equal(ik.load(tmp_path / "kernel.npz").weights, weights)
    dense = ik.densify(cuda.to_device(weights), kernel)
    np.testing.assert_allclose(ik.from_dense(dense, kernel).weights, weights, atol=1e-12)
    assert re.match(r".*, numba-cuda \d", ik.info()["gpu"])
