"""The interpolation matrix `A` as an object: what it does to weights, back, what it costs; no one else forms it.

A module is a kind, which `choose_kind` chooses by what is true of the kernel:

- `tensor`: one matrix an axis, whole or by the few entries of its rows;
- `local`: few anchors a cell: the entries of `A`'s rows;
- `splats`: separable profiles, one an anchor and axis;
- `solved`: a factorised system, whose functions are evaluated block by block, where `A` would be large;
- `matrix`: all others: `A` itself, kept, or its rows made anew block by block where it is large.
"""

from __future__ import annotations

from interpolated_kernels.caching import Cache
from interpolated_kernels.filling.base import AnyFilling, Filling
from interpolated_kernels.filling.definition import Definition
from interpolated_kernels.filling.local import LocalFilling
from interpolated_kernels.filling.matrix import MatrixFilling
from interpolated_kernels.filling.solved import SolvedFilling
from interpolated_kernels.filling.splats import SplatFilling
from interpolated_kernels.filling.tensor import TensorFilling
from interpolated_kernels.kernel import InterpolatedKernel

__all__ = ["KINDS", "AnyFilling", "Definition", "Filling", "choose_kind", "find_filling"]

KINDS: dict[str, type[Filling]] = {
    "tensor": TensorFilling,
    "splats": SplatFilling,
    "local": LocalFilling,
    "solved": SolvedFilling,
    "matrix": MatrixFilling,
}
"""In the order of choice: the first that serves."""


def choose_kind(kernel: InterpolatedKernel) -> str:
    """Return the name of the first kind that serves a kernel."""
    return next(name for name, kind in KINDS.items() if kind.serves(kernel))


def find_filling(kernel: InterpolatedKernel, path: str = "auto") -> Filling:
    """Return the filling of a path's kernels: the definition for the reference, else the one kind that serves.

    Equal kernels meet the same one while it is kept.
    """
    if path == "reference":
        return Definition(kernel)
    _ = kernel.structure  # what is wrong with a user's interpolator shows here, before its kernel is looked up
    return _FILLINGS.get(kernel, lambda: KINDS[choose_kind(kernel)](kernel))


_FILLINGS: Cache[InterpolatedKernel, Filling] = Cache(
    512, 256 * 2**20, lambda kernel, made: kernel.nbytes + made.nbytes
)
