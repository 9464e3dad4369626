"""Convolution kernels with a large dense window from a few anchor weights."""

from typing import Any

from interpolated_kernels import forks as _forks  # noqa: F401 # before any fork of whoever imports this package
from interpolated_kernels import lazy as _lazy
from interpolated_kernels.anchors import grid_positions, peripheral_positions, random_positions, ring_positions
from interpolated_kernels.caching import clear_caches
from interpolated_kernels.calibration import calibrate
from interpolated_kernels.convolution import conv, conv_backward
from interpolated_kernels.densify import densify, densify_backward
from interpolated_kernels.errors import AnchorError, AnchorWarning
from interpolated_kernels.files import Saved, from_checkpoint, from_dcls, load, save
from interpolated_kernels.fitting import Fit, fit, from_dense
from interpolated_kernels.gradients import Gradients
from interpolated_kernels.initialization import initial_weights
from interpolated_kernels.interpolation import (
    RBF,
    Bilinear,
    BSpline,
    Cone,
    Cubic,
    Delaunay,
    Dilated,
    Gaussian,
    Interpolator,
    InverseDistance,
    Keys,
    Linear,
    Nearest,
    Polyharmonic,
    Symmetric,
    TensorProduct,
    Triangle,
    Voronoi,
    interpolators,
    register,
    symmetric_positions,
)
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import plan
from interpolated_kernels.report import Report, report
from interpolated_kernels.runtime import get_num_threads, info, set_num_threads
from interpolated_kernels.transposed import conv_transpose, conv_transpose_backward
from interpolated_kernels.warming import WarmupStep, warmup

__version__ = "0.1.0"

__all__ = [
    "RBF",
    "AnchorError",
    "AnchorWarning",
    "BSpline",
    "Bilinear",
    "Cone",
    "Cubic",
    "Delaunay",
    "Dilated",
    "Fit",
    "Gaussian",
    "Gradients",
    "InterpolatedKernel",
    "Interpolator",
    "InverseDistance",
    "Keys",
    "Linear",
    "Nearest",
    "Plan",
    "Polyharmonic",
    "Report",
    "Saved",
    "Symmetric",
    "TensorProduct",
    "Triangle",
    "Voronoi",
    "WarmupStep",
    "calibrate",
    "clear_caches",
    "conv",
    "conv_backward",
    "conv_transpose",
    "conv_transpose_backward",
    "densify",
    "densify_backward",
    "fit",
    "from_checkpoint",
    "from_dcls",
    "from_dense",
    "get_num_threads",
    "grid_positions",
    "info",
    "initial_weights",
    "interpolators",
    "load",
    "peripheral_positions",
    "plan",
    "random_positions",
    "register",
    "report",
    "ring_positions",
    "save",
    "set_num_threads",
    "symmetric_positions",
    "warmup",
]


def __getattr__(name: str) -> Any:
    """Import the loops, and numba with them, when they are first asked for."""
    if name == "loops":
        return _lazy.load("interpolated_kernels.loops")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
