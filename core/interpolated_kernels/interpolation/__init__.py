"""How the rest of the window is filled: one module a family, one table of them."""

from __future__ import annotations

from interpolated_kernels.interpolation.base import Interpolator
from interpolated_kernels.interpolation.bspline import BSpline
from interpolated_kernels.interpolation.cone import Cone
from interpolated_kernels.interpolation.cubic import Cubic
from interpolated_kernels.interpolation.delaunay import Delaunay
from interpolated_kernels.interpolation.dilated import Dilated
from interpolated_kernels.interpolation.keys import Keys
from interpolated_kernels.interpolation.polyharmonic import Polyharmonic
from interpolated_kernels.interpolation.rbf import RBF
from interpolated_kernels.interpolation.registry import (
    INTERPOLATORS,
    WRAPPERS,
    as_interpolator,
    interpolators,
    read_document,
    register,
    write_document,
)
from interpolated_kernels.interpolation.scattered import InverseDistance, Voronoi
from interpolated_kernels.interpolation.splats import Bilinear, Gaussian, Splat, Triangle
from interpolated_kernels.interpolation.symmetric import Symmetric, symmetric_positions
from interpolated_kernels.interpolation.tensor_product import Linear, Nearest, TensorProduct

INTERPOLATORS |= {
    "bilinear": Bilinear,
    "bspline": BSpline,
    "cone": Cone,
    "cubic": Cubic,
    "delaunay": Delaunay,
    "dilated": Dilated,
    "gaussian": Gaussian,
    "inverse_distance": InverseDistance,
    "keys": Keys,
    "linear": Linear,
    "nearest": Nearest,
    "polyharmonic": Polyharmonic,
    "rbf": RBF,
    "triangle": Triangle,
    "voronoi": Voronoi,
}

WRAPPERS |= {"symmetric": Symmetric}

__all__ = [
    "INTERPOLATORS",
    "RBF",
    "WRAPPERS",
    "BSpline",
    "Bilinear",
    "Cone",
    "Cubic",
    "Delaunay",
    "Dilated",
    "Gaussian",
    "Interpolator",
    "InverseDistance",
    "Keys",
    "Linear",
    "Nearest",
    "Polyharmonic",
    "Splat",
    "Symmetric",
    "TensorProduct",
    "Triangle",
    "Voronoi",
    "as_interpolator",
    "interpolators",
    "read_document",
    "register",
    "symmetric_positions",
    "write_document",
]
