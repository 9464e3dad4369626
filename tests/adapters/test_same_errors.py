"""The same mistake is the same error in all adapters: one type, one text."""

import os
import re

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
torch = pytest.importorskip("torch")
tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
jnp = pytest.importorskip("jax.numpy")

import interpolated_kernels as ik  # noqa: E402  # after the look for the frameworks
import interpolated_kernels_jax as ikj  # noqa: E402
import interpolated_kernels_keras as ikk  # noqa: E402
import interpolated_kernels_tensorflow as iktf  # noqa: E402
import interpolated_kernels_torch as ikt  # noqa: E402

KERNEL = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
SPLATS = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "gaussian")
X, WEIGHTS = np.ones((2, 4, 9, 8)), np.ones((6, 4, 9))
OF_CALLS = {
    "kernel": (TypeError, {"kernel": "linear"}),
    "anchors": (ValueError, {"weights": WEIGHTS[..., 1:]}),
    "channels": (ValueError, {"weights": WEIGHTS[:, 1:]}),
    "window": (ValueError, {"x": X[..., :3]}),
    "groups": (ValueError, {"groups": 3}),
    "stride": (TypeError, {"stride": 1.5}),
    "padding": (ValueError, {"padding": "full"}),
    "padding mode": (ValueError, {"padding_mode": "constant"}),
    "padding modes": (ValueError, {"padding_mode": ("zeros", "reflect", "zeros")}),
    "accuracy": (ValueError, {"accuracy": "high"}),
    "path": (ValueError, {"path": "fastest"}),
    "native path": (ValueError, {"engine": "native", "path": "direct"}),
    "engine": (ValueError, {"engine": "cuda"}),
    "bias": (ValueError, {"bias": np.ones(4)}),
    "no derivative": (ValueError, {"positions": np.ones((9, 2))}),
    "no widths": (ValueError, {"kernel": SPLATS.replace(interpolator="bilinear"), "widths": np.ones((9, 2))}),
    "shape of positions": (ValueError, {"kernel": SPLATS, "positions": np.ones((8, 2))}),
    "native positions": (
        ValueError,
        {"kernel": SPLATS.replace(interpolator="rbf"), "positions": np.ones((9, 2)), "engine": "native"},
    ),
}
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


@pytest.mark.parametrize("name", sorted(OF_CALLS))
def test_calls_raise_alike(name):
    """PyTorch's, TensorFlow's and JAX' `interpolated_conv` raise the same error."""
    error, mistake = OF_CALLS[name]
    arguments = {"x": X, "weights": WEIGHTS, "kernel": KERNEL, **mistake}

    def call(module, convert):
        return module.interpolated_conv(**{
            key: convert(value) if isinstance(value, np.ndarray) else value for key, value in arguments.items()
        })  # fmt: skip

    with pytest.raises(error, match="`") as raised:
        call(ikt, torch.from_numpy)
    for module, convert in ((iktf, tf.convert_to_tensor), (ikj, jnp.asarray)):
        with pytest.raises(error, match=f"^{re.escape(str(raised.value))}$"):
            call(module, convert)


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
