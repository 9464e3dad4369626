"""What an interpolator that is a tensor product gives for each axis: a small matrix, and how it may be composed."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.interpolation.local import LocalMatrix, WholeMatrix

Entries: TypeAlias = WholeMatrix | LocalMatrix
"""A matrix, whole or by the few entries of its rows: both answer to the same names."""

AxisMatrix: TypeAlias = FloatArray | LocalMatrix | tuple[FloatArray | LocalMatrix, FloatArray]
"""What `axis_matrix` returns: `(cells, n)`, or a local basis `(cells, m)` and a transform `(m, n)`."""


class AxisProduct(NamedTuple):
    """One axis's matrix, and the local basis and transform whose product it is, if it was given as one."""

    matrix: Entries
    basis: Entries | None = None
    transform: FloatArray | None = None


class Axes(NamedTuple):
    """The matrices whose Kronecker product `A` is, and the anchors' order."""

    products: list[AxisProduct]
    """One an axis."""
    order: IntArray
    """`(n,)` int: `order[g]` is the anchor at grid node `g`, nodes in C order."""


def as_entries(given: Any) -> Entries:
    """Return an array as a whole matrix, and a matrix of either kind as it is."""
    return given if isinstance(given, (LocalMatrix, WholeMatrix)) else WholeMatrix(np.asarray(given, dtype=np.float64))
