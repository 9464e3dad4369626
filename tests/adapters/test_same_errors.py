"""The same mistake is the same error in the layers of PyTorch and Keras: one type, one text."""

import os
import re

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
torch = pytest.importorskip("torch")
pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

import interpolated_kernels as ik  # noqa: E402  # after the look for the frameworks
import interpolated_kernels_keras as ikk  # noqa: E402
import interpolated_kernels_torch as ikt  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
SPLATS = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "gaussian")
OF_LAYERS = {
    "kernel": (TypeError, {"kernel": "linear"}),
    "filters": (ValueError, {"filters": 0}),
    "float filters": (TypeError, {"filters": 4.0}),
    "groups": (ValueError, {"groups": 5}),
    "engine": (ValueError, {"engine": "cuda"}),
    "native path": (ValueError, {"engine": "native", "path": "direct"}),
    "path": (ValueError, {"path": "fastest"}),
    "accuracy": (ValueError, {"accuracy": "high"}),
    "learned positions": (ValueError, {"learn_positions": True}),
    "learned widths": (ValueError, {"learn_widths": True}),
    "axes": (ValueError, {"kernel": SPLATS, "learn_positions": (2,)}),
    "type of axes": (TypeError, {"kernel": SPLATS, "learn_positions": "rows"}),
    "native positions": (
        ValueError,
        {"kernel": SPLATS.replace(interpolator="rbf"), "learn_positions": True, "engine": "native"},
    ),
}


@pytest.mark.parametrize("name", sorted(OF_LAYERS))
def test_layers_raise_alike(name):
    """PyTorch's and Keras' layers raise the same error at construction, but for their names of the filters."""
    error, mistake = OF_LAYERS[name]
    arguments = {"filters": 6, "kernel": KERNEL, **mistake}
    filters, kernel, options = arguments.pop("filters"), arguments.pop("kernel"), arguments
    with pytest.raises(error, match="`") as raised:
        ikt.InterpolatedConv2d(10, filters, kernel, **options)
    expected = str(raised.value).replace("`out_channels`", "`filters`")
    with pytest.raises(error, match=f"^{re.escape(expected)}$"):
        ikk.InterpolatedConv2D(filters, kernel, **options)
