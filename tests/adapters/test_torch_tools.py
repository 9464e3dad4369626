"""Layers in the hands of others' tools: both of torch's ONNX exporters, safetensors, accelerate's loops."""

import io
import warnings

import numpy as np
import pytest

import interpolated_kernels as ik

torch = pytest.importorskip("torch")

import interpolated_kernels_torch as ikt  # noqa: E402 # only where torch is

LARGE = ik.InterpolatedKernel(ik.grid_positions((21, 21), 5), (21, 21), "linear")
SMALL = ik.InterpolatedKernel(ik.grid_positions((4, 5), counts=(2, 2)), (4, 5), "linear")
MOVING = ik.InterpolatedKernel(np.random.default_rng(0).uniform(0.5, 3, (6, 2, 3, 2)), (4, 5), "gaussian")


def make_model():
    """Return a lattice, a dense kernel in mirrored padding, and splats whose anchors are learned, in a row."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        ikt.InterpolatedConv2d(4, 4, LARGE, groups=4, padding="same"),
        ikt.InterpolatedConv2d(4, 4, SMALL, groups=2, padding=2, padding_mode="reflect", stride=2),
        ikt.InterpolatedConv2d(4, 6, MOVING, groups=2, learn_positions=True, learn_widths=True),
    )


def make_x(*sizes):
    return torch.randn(sizes, generator=torch.Generator().manual_seed(1))


def export_by_dynamo(model, x):
    sizes = {0: torch.export.Dim("batch", min=2), 2: torch.export.Dim("rows", min=12)}
    return torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes=(sizes,), verbose=False).model_proto


def export_by_tracing(model, x):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(
            model, (x,), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch", 2: "rows"}}
        )
    return pytest.importorskip("onnx").load_from_string(file.getvalue())


def run_reference(model):
    """Return the function of an ONNX model, by the evaluator that says what its operators mean."""
    reference = pytest.importorskip("onnx.reference")
    return lambda x: reference.ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x})[0]


def run_onnxruntime(model):
    """Return the same by the runtime that most deploy."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString())
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]


@pytest.mark.parametrize("run", [run_reference, run_onnxruntime])
@pytest.mark.parametrize("export", [export_by_dynamo, export_by_tracing])
def test_onnx_models_serve_other_sizes(export, run):
    """What either exporter writes has standard operators alone, and gives the layers' y for other sizes too."""
    pytest.importorskip("onnxscript")
    model, x = make_model().eval(), make_x(3, 4, 17, 15)
    exported = export(model, make_x(2, 4, 14, 15))
    assert {node.domain for node in exported.graph.node} == {""}
    np.testing.assert_allclose(run(exported)(x.numpy()), model(x).detach().numpy(), rtol=0, atol=1e-5)


def test_safetensors_hold_a_layer(tmp_path):
    """A state goes through a file of safetensors; the weights of another kernel are refused after it too."""
    safetensors = pytest.importorskip("safetensors.torch")
    model, x = make_model(), make_x(2, 4, 14, 15)
    expected = model(x)
    safetensors.save_file(model.state_dict(), tmp_path / "model.safetensors")
    state = safetensors.load_file(tmp_path / "model.safetensors")
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.load_state_dict(state)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=0)
    model[1] = ikt.InterpolatedConv2d(4, 4, SMALL.replace(interpolator="nearest"), groups=2)
    with pytest.raises(ValueError, match="interpolator differ"):
        model.load_state_dict(state)


def test_accelerate_saves_and_resumes(tmp_path):
    """accelerate's loop trains a prepared model; what it saves goes on as if it had never stopped."""
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    layers = make_model()
    groups = [group for layer in layers for group in layer.parameter_groups(lr=1e-2, factor=5.0)]
    model, optimizer = accelerator.prepare(layers, torch.optim.AdamW(groups, lr=1e-2))
    x = make_x(2, 4, 14, 15)

    def train():
        losses = []
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            accelerator.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        return losses

    train()
    accelerator.save_state(tmp_path)
    expected = train()
    assert train() != expected
    accelerator.load_state(tmp_path)
    assert train() == expected
