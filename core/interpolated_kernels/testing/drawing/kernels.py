"""Random kernels: every interpolator, with anchors that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError, ignore_anchor_warnings
from interpolated_kernels.interpolation import INTERPOLATORS, Interpolator
from interpolated_kernels.kernel import InterpolatedKernel

DYADIC = ("dilated", "linear", "nearest")
"""Interpolators whose matrices can hold dyadic fractions alone."""

POSITIVE = ("bilinear", "delaunay", "dilated", "inverse_distance", "linear", "nearest", "triangle", "voronoi")
"""Interpolators whose matrices have no negative entries, and none that float32 could lose."""

VARIANTS: dict[str, list[dict[str, Any]]] = {
    "bilinear": [{}, {"normalized": False}],
    "bspline": [{"degree": degree} for degree in (0, 1, 2, 3, 5)],
    "cone": [{"radius": radius} for radius in (0.2, 1.0)],
    "gaussian": [{}, {"normalized": False}],
    "inverse_distance": [{"power": power} for power in (1.0, 2.0, 3.5)],
    "polyharmonic": [{"order": order} for order in (1, 2, 3)] + [{"smoothing": 0.1}],
    "rbf": [{"function": name} for name in ("linear", "thin_plate_spline", "cubic", "gaussian", "inverse_quadratic")],
    "triangle": [{}, {"normalized": False}],
}
"""Options worth trying, by name."""

_TRIES = 20


def draw_kernel(
    rng: np.random.Generator,
    name: str,
    window: tuple[int, ...],
    *,
    lead: tuple[int, ...] = (),
    channel_mode: str = "separate",
    dyadic: bool = False,
) -> InterpolatedKernel:
    """Return a kernel of the named interpolator, with position sets of shape `lead`.

    Positions are shared where `lead` is (). `dyadic` asks for a matrix of dyadic fractions, of `DYADIC` alone.
    """
    variants = VARIANTS.get(name, [{}])
    for _ in range(_TRIES):
        interpolator = INTERPOLATORS[name](**variants[rng.integers(len(variants))])
        n = _draw_count(rng, interpolator, window)
        sets = [_draw_positions(rng, interpolator, window, n, dyadic) for _ in range(int(np.prod(lead, dtype=int)))]
        positions = np.array(sets).reshape(*lead, *sets[0].shape)
        widths = _draw_widths(rng, interpolator, positions)
        try:
            with ignore_anchor_warnings():
                kernel = InterpolatedKernel(positions, window, interpolator, channel_mode=channel_mode, widths=widths)
                if np.isfinite(kernel.matrix).all():
                    return kernel
        except AnchorError:
            continue  # too ill-conditioned: other anchors
    raise RuntimeError(f"No {name} kernel was found for a window of {window}.")


def _draw_count(rng: np.random.Generator, interpolator: Interpolator, window: tuple[int, ...]) -> Any:
    """Return the shape of a grid, or the number of scattered anchors: enough for a linear trend."""
    if interpolator.needs_grid:
        return tuple(int(rng.integers(1, min(4, cells + 1) + 1)) for cells in window)
    most = int(np.prod(window)) if interpolator.whole_cells else len(window) + 4
    return int(rng.integers(min(len(window) + 2, most), most + 1))


def _draw_positions(
    rng: np.random.Generator, interpolator: Interpolator, window: tuple[int, ...], n: Any, dyadic: bool
) -> FloatArray:
    """Return distinct anchors in random order: a grid of shape n, n whole cells, or n points anywhere in the window."""
    if interpolator.needs_grid:
        is_uniform = getattr(interpolator, "needs_uniform_grid", False)
        axes = [_draw_axis(rng, cells, count, dyadic, is_uniform) for cells, count in zip(window, n, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(window))
        return rng.permutation(grid)
    if interpolator.whole_cells:
        return rng.permutation(np.array(list(np.ndindex(*window)), float))[:n]
    return rng.uniform(-0.4, np.array(window) - 0.6, (n, len(window)))


def _draw_axis(rng: np.random.Generator, cells: int, count: int, dyadic: bool, is_uniform: bool) -> FloatArray:
    """Return sorted coordinates of one axis; dyadic ones are whole and a power of two apart."""
    if dyadic:
        return rng.integers(-1, 2) + np.concatenate([[0.0], np.cumsum(2.0 ** rng.integers(0, 3, count - 1))])
    if is_uniform:
        return rng.uniform(-0.5, 0.5) + rng.uniform(0.5, max(0.6, cells / count)) * np.arange(count)
    return (np.arange(count) + rng.uniform(0.1, 0.9, count)) * cells / count - 0.5


def _draw_widths(rng: np.random.Generator, interpolator: Interpolator, positions: FloatArray) -> FloatArray | None:
    """Return widths of either sign, of which absolute values count; or radii, which are positive."""
    if interpolator.width_axes is None:
        return None
    drawn = rng.uniform(-1.0, 1.0, positions.shape[: positions.ndim - 1 + interpolator.width_axes])
    widths = 0.3 + 1.2 * np.abs(drawn)
    return np.copysign(widths, drawn) if interpolator.width_axes else widths
