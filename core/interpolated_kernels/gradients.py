"""Gradients by arrays and anchors, and the way from a dense kernel's gradient back to what made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import Filling
from interpolated_kernels.kernel import InterpolatedKernel


@dataclass(frozen=True, eq=False, repr=False)
class Gradients:
    """Gradients of a scalar loss, each in the shape of what it is the gradient by; None for what was not asked for.

    `print` shows what each of them is like, and no arrays.

    Examples
    --------
    >>> import numpy
    >>> print(Gradients(weights=numpy.array([0.5, -2.0])))
    Gradients
      x          None
      weights    (2,) float64, largest 2
      positions  None
      widths     None
    """

    x: FloatArray | None = None
    weights: FloatArray | None = None
    positions: FloatArray | None = None
    widths: FloatArray | None = None

    def __repr__(self) -> str:
        given = [f"{name} {grad.shape}" for name, grad in vars(self).items() if grad is not None]
        return f"Gradients({', '.join(given)})"

    def __str__(self) -> str:
        return "\n".join(["Gradients", *(f"  {name:11}{_describe(grad)}" for name, grad in vars(self).items())])


def _describe(grad: FloatArray | None) -> str:
    """Return a gradient's shape, dtype and largest absolute value."""
    if grad is None:
        return "None"
    return f"{grad.shape} {grad.dtype}, largest {float(np.max(np.abs(grad), initial=0.0)):.4g}"


def pull_back(filling: Filling, grad_dense: FloatArray, bank: FloatArray, dtype: Any, wrt: Sequence[str]) -> Gradients:
    """Return the gradients by a bank `(filters, channels, n)`, positions and widths, all float64."""
    grads: dict[str, FloatArray | None] = {}
    if "weights" in wrt:
        grads["weights"] = filling.transpose(grad_dense, dtype)
    if "positions" in wrt or "widths" in wrt:
        by_positions, by_widths = filling.vjp(grad_dense, bank)
        grads |= {name: by for name, by in (("positions", by_positions), ("widths", by_widths)) if name in wrt}
    return Gradients(**grads)


def check_wrt(wrt: Sequence[str], kernel: InterpolatedKernel, always: tuple[str, ...]) -> None:
    """Raise `ValueError` unless every name in `wrt` has a derivative."""
    allowed = (*always, *kernel.interpolator.differentiable_by)
    unknown = [name for name in ([wrt] if isinstance(wrt, str) else wrt) if name not in allowed]
    if unknown or isinstance(wrt, str):
        raise ValueError(f"`wrt` must be a tuple of names from {allowed} for {kernel.interpolator}, got {wrt!r}.")
    if "widths" in wrt and kernel.widths is None:
        raise ValueError("`wrt` names 'widths' and the kernel has none: pass `widths` to it, such as the default's.")
