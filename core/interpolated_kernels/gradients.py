"""Gradients by arrays and anchors, and the way from a dense kernel's gradient back to what made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arguments import show
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.filling import AnyFilling
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


def pull_back(
    filling: AnyFilling, grad_dense: FloatArray, bank: FloatArray, dtype: Any, wrt: Sequence[str]
) -> Gradients:
    """Return the gradients by a bank `(filters, channels, n)`, positions and widths, all float64."""
    grads: dict[str, FloatArray | None] = {}
    if "weights" in wrt:
        grads["weights"] = filling.transpose(grad_dense, dtype)
    if "positions" in wrt or "widths" in wrt:
        by_positions, by_widths = filling.vjp(grad_dense, bank)
        grads |= {name: by for name, by in (("positions", by_positions), ("widths", by_widths)) if name in wrt}
    return Gradients(**grads)


def list_wrt(wrt: Any, kernel: InterpolatedKernel, always: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in `wrt`, one or any iterable of them.

    Raises
    ------
    TypeError
        For what is neither a name nor an iterable.
    ValueError
        For a name that there is no derivative by, for this kernel.
    """
    if not np.iterable(wrt):
        raise TypeError(f"`wrt` must be a name or an iterable of names, got {show(wrt)}.")
    allowed, names = (*always, *kernel.interpolator.differentiable_by), []
    for name in (wrt,) if isinstance(wrt, str) else wrt:
        if not isinstance(name, str) or name not in allowed:
            raise ValueError(
                f"`wrt` must name some of {', '.join(allowed)} for {kernel.interpolator}, got {show(name)}."
            )
        names.append(name)
    if "widths" in names and kernel.widths is None:
        raise ValueError("`wrt` names 'widths' and the kernel has none: pass `widths` to it, such as the default's.")
    return tuple(names)
