"""Dense kernels whose anchors move, in a framework's own arrays, so that its derivatives reach positions and widths.

The core finds these derivatives itself; this is for what a framework does alone: compile for other devices, export,
forward mode, derivatives of any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.interpolation import Cone, Splat
from interpolated_kernels.interpolation.cone import SMALLEST_COUNT
from interpolated_kernels.interpolation.elementwise import Functions as Functions
from interpolated_kernels.interpolation.splats import SMALLEST_SUM
from interpolated_kernels.kernel import InterpolatedKernel

_CELLS = "rstu"  # in subscripts of einsum: an axis of the window each; n are the anchors


@dataclass(frozen=True)
class Namespace:
    """What an array library is to `spread` dense kernels with."""

    functions: Functions
    einsum: Callable[..., Any]
    """With an ellipsis that broadcasts."""
    reshape: Callable[[Any, tuple[int, ...]], Any]
    as_array: Callable[[FloatArray], Any]
    """A constant of positions' dtype, where they are."""


def can_spread(kernel: InterpolatedKernel) -> bool:
    """Return whether `spread` knows the kernel's interpolator: splats and cones, but none of a user's own."""
    interpolator = kernel.interpolator
    return type(interpolator) is Cone or (isinstance(interpolator, Splat) and interpolator.find_profile() is not None)


def fill_widths(kernel: InterpolatedKernel) -> FloatArray | None:
    """Return the widths that a kernel has, or computes with where it was given none; None where there are none."""
    if kernel.widths is not None or kernel.interpolator.width_axes is None:
        return kernel.widths
    if isinstance(kernel.interpolator, Cone):
        return np.full(kernel.positions.shape[:-1], kernel.interpolator.radius)
    return kernel.interpolator.full_widths(kernel.positions, None) if isinstance(kernel.interpolator, Splat) else None


def spread(weights: Any, positions: Any, widths: Any, kernel: InterpolatedKernel, namespace: Namespace) -> Any:
    """Return the dense kernel of weights at positions with widths, which take the place of the kernel's own.

    Parameters
    ----------
    weights : array of the library
        As `densify` takes them, of positions' dtype.
    positions, widths : array of the library
        In the shapes of `kernel.positions` and `fill_widths(kernel)`; widths may be None where these are.
    kernel : InterpolatedKernel
        One that `can_spread`.
    namespace : Namespace

    Returns
    -------
    array of the library
        As `densify` returns it.

    Notes
    -----
    The formulas are those of `Splat` and `Cone`.
    """
    plain, mode = len(weights.shape) == 1, kernel.channel_mode
    if mode == "tied" and not plain:
        weights = namespace.reshape(weights, (weights.shape[0], 1, weights.shape[1]))
    if len(positions.shape) == 3 and mode != "interpolated":  # one set a filter, the same for its channels
        positions = _beside_channels(positions, namespace)
        widths = None if widths is None else _beside_channels(widths, namespace)
    fill = _spread_cones if isinstance(kernel.interpolator, Cone) else _spread_splats
    letters = _CELLS[: len(kernel.window)]
    order = letters[-1] + letters[:-1] if kernel.interpolates_channels and not plain else letters
    return fill(weights, positions, widths, kernel, namespace, f"...{order}")


def _beside_channels(values: Any, namespace: Namespace) -> Any:
    """Return `(filters, n, ...)` as `(filters, 1, n, ...)`."""
    return namespace.reshape(values, (values.shape[0], 1, *values.shape[1:]))


def _spread_splats(
    weights: Any, positions: Any, widths: Any, kernel: InterpolatedKernel, namespace: Namespace, result: str
) -> Any:
    """Return the sum over anchors of a weight times one profile an axis, over the product of the profiles' sums."""
    interpolator, profiles = cast(Splat, kernel.interpolator), []
    for axis, cells in enumerate(kernel.window):
        offsets = namespace.as_array(np.arange(float(cells))) - positions[..., axis, None]
        width = offsets if widths is None else widths[..., axis, None]  # a profile without widths looks at none
        profiles.append(interpolator.profile(namespace.functions, offsets, width))
    if interpolator.normalized:
        sums = [namespace.einsum("...r->...", profile) for profile in profiles]
        weights = weights / (math.prod(sums[1:], start=sums[0]) + SMALLEST_SUM)
    letters = _CELLS[: len(profiles)]
    return namespace.einsum(f"...n,{','.join(f'...n{letter}' for letter in letters)}->{result}", weights, *profiles)


def _spread_cones(
    weights: Any, positions: Any, widths: Any, kernel: InterpolatedKernel, namespace: Namespace, result: str
) -> Any:
    """Return the sum over anchors of a weight times its cone, over the number of cones that are not zero at a cell."""
    interpolator, d, functions = cast(Cone, kernel.interpolator), len(kernel.window), namespace.functions
    distances: Any = 0.0
    for axis, cells in enumerate(kernel.window):
        scale = 2.0 / (cells - 1) if cells > 1 else 0.0
        along = namespace.as_array(np.arange(float(cells)).reshape(-1, *(1,) * (d - 1 - axis)))
        distances = distances + functions.abs((along - positions[(..., axis, *(None,) * d)]) * scale)
    values = interpolator.profile(functions, distances, widths[(..., *(None,) * d)])
    letters = _CELLS[:d]
    if interpolator.normalized:
        ones = functions.where(values > 0, 0.0 * values + 1.0, 0.0 * values)
        counts = namespace.einsum(f"...n{letters}->...{letters}", ones)
        values = values / (counts[(..., None, *(slice(None),) * d)] + SMALLEST_COUNT)
    return namespace.einsum(f"...n,...n{letters}->{result}", weights, values)
