"""Layouts: the regular grid, blue noise, rings, and grids that widen outwards."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from interpolated_kernels.anchors.checks import as_window
from interpolated_kernels.arguments import as_flag, as_generator, as_int, as_number, is_sequence, show
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.lazy import load

_CANDIDATES_OF_POINT = 6
_SHARPNESS = 8
_MOST_ANCHORS = 2**22


def grid_positions(
    window: int | Sequence[int],
    spacing: float | Sequence[float] | None = None,
    *,
    counts: int | Sequence[int] | None = None,
    centred: bool = False,
) -> FloatArray:
    """Return the anchors of a regular grid, row by row: `(n, d)` positions in window cells.

    Parameters
    ----------
    window : int or tuple of int
        The dense kernel's shape; an int is one axis.
    spacing : float or tuple of float, cells
        Anchors at 0, s, 2s, ... as far as the window reaches.
    counts : int or tuple of int
        Instead of `spacing`: so many anchors an axis, from edge to edge (a single one stands in the middle).
    centred : bool, default False
        As many anchors, moved to the window's middle, so that the cells left over are shared by both edges: weights
        that are symmetric among the anchors then give a kernel that is symmetric in the window. Where the cells left
        over are odd, anchors stand on half cells. Grids of `counts` are in the middle already.

    Raises
    ------
    TypeError
        If `spacing` holds no real numbers, or `counts` no ints.
    ValueError
        If not exactly one of `spacing` and `counts` is given, one is not positive and finite, or they give more than
        2^22 anchors.

    Examples
    --------
    >>> grid_positions((3, 5), 2).tolist()
    [[0.0, 0.0], [0.0, 2.0], [0.0, 4.0], [2.0, 0.0], [2.0, 2.0], [2.0, 4.0]]
    >>> grid_positions((3, 5), counts=(1, 2)).tolist()
    [[1.0, 0.0], [1.0, 4.0]]
    >>> grid_positions(31, 7).ravel().tolist()
    [0.0, 7.0, 14.0, 21.0, 28.0]
    >>> grid_positions(31, 7, centred=True).ravel().tolist()
    [1.0, 8.0, 15.0, 22.0, 29.0]
    """
    window, centred = as_window(window), as_flag("centred", centred)
    if (spacing is None) == (counts is None):
        raise ValueError("`grid_positions` takes either `spacing` or `counts`, and not both.")
    if spacing is not None:
        steps = [as_number("spacing", step, is_positive=True) for step in _repeat("spacing", spacing, len(window))]
        # A spacing that divides the window but for rounding reaches its edge.
        gaps = [(cells - 1.0) / step + 1e-9 for cells, step in zip(window, steps, strict=True)]
        _check_count("spacing", spacing, math.prod(gap + 1 for gap in gaps))
        axes = zip(window, gaps, steps, strict=True)
        return _cross([_step_along(cells, int(gap) + 1, step, centred) for cells, gap, step in axes])
    numbers = [as_int("counts", number, minimum=1) for number in _repeat("counts", counts, len(window))]
    _check_count("counts", counts, math.prod(numbers))
    return _cross([_divide(cells, number) for cells, number in zip(window, numbers, strict=True)])


def _repeat(name: str, value: Any, n_axes: int) -> tuple[Any, ...]:
    """Return an argument's entries, one an axis; what is no sequence stands for all."""
    entries = tuple(value) if is_sequence(value) else (value,) * n_axes
    if len(entries) != n_axes:
        raise ValueError(f"`{name}` must be a number or have {n_axes} entries, one an axis, got {show(value)}.")
    return entries


def _check_count(name: str, value: Any, count: float) -> None:
    """Raise where an argument asks for more anchors than any kernel can use."""
    if count > _MOST_ANCHORS:
        raise ValueError(f"`{name}` must give at most 2^22 anchors, got {show(value)}, which gives {count:.3g}.")


def _step_along(cells: int, count: int, step: float, centred: bool) -> FloatArray:
    """Return one axis' coordinates 0, s, 2s, ..., or as many about the axis' middle; none beyond the border cells."""
    extent, steps = cells - 1.0, np.arange(count)
    along = extent / 2 + (steps - steps[-1] / 2) * step if centred else steps * step
    return along.clip(0.0, extent)


def _divide(cells: int, number: int) -> FloatArray:
    """Return one axis' coordinates from edge to edge; a single one in the middle."""
    return np.linspace(0.0, cells - 1.0, number) if number > 1 else np.array([(cells - 1) / 2])


def _cross(axes: list[FloatArray]) -> FloatArray:
    """Return the `(n, d)` nodes of the axes' coordinates, row by row."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def random_positions(window: int | Sequence[int], n: int, *, rng: Any) -> FloatArray:
    """Return n random positions that keep their distance, blue noise: `(n, d)` positions in window cells.

    Parameters
    ----------
    window : int or tuple of int
        The dense kernel's shape; an int is one axis. Positions lie between the centres of its border cells.
    n : int
        At least 1.
    rng : numpy.random.Generator or int
        Decides the positions; an int is a seed.

    Raises
    ------
    TypeError
        If `n` is not an int, or `rng` no generator and no int.
    ValueError
        If `n` is below 1, above 2^22, or above 1 where the window is a single cell.

    Notes
    -----
    Of six times as many uniform points, the most crowded one is taken away until n are left: weighted sample
    elimination. Source: Yuksel, "Sample Elimination for Generating Poisson Disk Sample Sets", 2015, section 3.

    Examples
    --------
    >>> random_positions((9, 9), 5, rng=0).shape
    (5, 2)
    """
    window = as_window(window)
    n, generator = as_int("n", n, minimum=1, maximum=_MOST_ANCHORS), as_generator("rng", rng)
    extent = np.array(window, dtype=np.float64) - 1
    if n > 1 and not extent.any():
        raise ValueError(f"`n` must be 1 in a window of a single cell, {window}: more anchors would coincide, got {n}.")
    points = generator.uniform(0, 1, (_CANDIDATES_OF_POINT * n, len(window))) * extent
    return points[_spread_out(points, n, extent[extent > 0])]


def _spread_out(points: FloatArray, n: int, extent: FloatArray) -> list[int]:
    """Return which n points are left when the most crowded ones are taken away, one after another."""
    d, volume = len(extent), float(np.prod(extent))
    packed = {0: 1.0, 1: 2.0, 2: 2 * np.sqrt(3), 3: 4 * np.sqrt(2), 4: 8.0}[d]  # n disks of this radius fill the volume
    reach = 2 * (volume / (packed * n)) ** (1 / max(d, 1))
    pairs = load("scipy.spatial").cKDTree(points).query_pairs(reach, output_type="ndarray")
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    crowding = (1 - distances / reach) ** _SHARPNESS
    weights = np.zeros(len(points))
    neighbours: list[list[tuple[int, float]]] = [[] for _ in points]
    for (one, other), weight in zip(pairs.tolist(), crowding.tolist(), strict=True):
        for here, there in ((one, other), (other, one)):
            weights[here] += weight
            neighbours[here].append((there, weight))
    left = set(range(len(points)))
    heap = [(-weight, index) for index, weight in enumerate(weights.tolist())]
    heapq.heapify(heap)
    while len(left) > n:
        weight, index = heapq.heappop(heap)
        if index not in left or -weight != weights[index]:
            continue  # its weight has changed since, and stands further down
        left.remove(index)
        for other, share in neighbours[index]:
            if other in left:
                weights[other] -= share
                heapq.heappush(heap, (-float(weights[other]), other))
    return sorted(left)


def ring_positions(window: Sequence[int], radii: Sequence[float], counts: Sequence[int]) -> FloatArray:
    """Return positions on rings around the window's centre, ring by ring: `(n, 2)` positions in window cells.

    Parameters
    ----------
    window : tuple of two ints
        The dense kernel's shape.
    radii : sequence of float, cells
        At least 0; a ring of radius 0 is the centre.
    counts : sequence of int
        How many anchors each ring has; 1 for radius 0.

    Returns
    -------
    array
        A ring's anchors start on the column axis and turn towards the rows; every second ring starts half a step
        further, so that neighbours interleave. Rings wider than the window reach beyond it.

    Raises
    ------
    TypeError
        For radii that are no real numbers, or counts that are no ints.
    ValueError
        For a window that is not 2-D, lists of different lengths, a negative radius, a count below 1, more than one
        anchor at the centre, or more than 2^22 anchors.

    Examples
    --------
    >>> ring_positions((5, 5), [0, 2], [1, 4]).round(1).tolist()
    [[2.0, 2.0], [3.4, 3.4], [3.4, 0.6], [0.6, 0.6], [0.6, 3.4]]
    """
    window = as_window(window)
    if len(window) != 2:
        raise ValueError(f"`window` must have two axes for rings, got {window}.")
    for name, values in (("radii", radii), ("counts", counts)):
        if not is_sequence(values):
            raise TypeError(f"`{name}` must be a sequence, one entry a ring, got {show(values)}.")
    radii = [as_number("radii", radius, minimum=0) for radius in radii]
    counts = [as_int("counts", count, minimum=1) for count in counts]
    if len(radii) != len(counts) or len(radii) == 0:
        raise ValueError(f"`radii` and `counts` must be as many, at least one, got {len(radii)} and {len(counts)}.")
    _check_count("counts", counts, sum(counts))
    centre, rings = (np.array(window) - 1) / 2, []
    for index, (radius, count) in enumerate(zip(radii, counts, strict=True)):
        if radius == 0 and count > 1:
            raise ValueError(f"`counts` must be 1 for a ring of radius 0, got {count}: its anchors would coincide.")
        angles = 2 * np.pi * (np.arange(count) + index % 2 / 2) / count
        rings.append(centre + radius * np.stack([np.sin(angles), np.cos(angles)], axis=1))
    return np.concatenate(rings)


def peripheral_positions(window: int | Sequence[int], core: int = 2, ratio: float = 2) -> FloatArray:
    """Return a grid that is dense at the centre and widens outwards, row by row: `(n, d)` positions in window cells.

    Parameters
    ----------
    window : int or tuple of int
        The dense kernel's shape; an int is one axis.
    core : int, default 2
        Along every axis the cells up to so many steps from the centre have an anchor each.
    ratio : float, default 2
        Beyond the core each gap is `ratio` times the one before; the last anchor stands on the border.

    Returns
    -------
    array
        A full grid, symmetric about the window's centre, which every interpolator takes that needs one; the uneven
        gaps leave out "keys" and "bspline".

    Raises
    ------
    TypeError
        If `core` is not an int, or `ratio` no real number.
    ValueError
        If `core` is negative, `ratio` below 1, or there are more than 2^22 anchors.

    Notes
    -----
    With "nearest" weights are shared as in a peripheral convolution. Source: Chen et al., "PeLK: Parameter-efficient
    Large Kernel ConvNets with Peripheral Convolution", 2024, section 3.2.

    Examples
    --------
    >>> peripheral_positions(15, core=1).ravel().tolist()
    [0.0, 4.0, 6.0, 7.0, 8.0, 10.0, 14.0]
    """
    window = as_window(window)
    core, ratio = as_int("core", core, minimum=0), as_number("ratio", ratio, minimum=1)
    axes = []
    for cells in window:
        _check_count("core", core, 2 * min(core, cells // 2) + 1)
        axes.append(_widen(cells, core, ratio))
    _check_count("core", core, math.prod(map(len, axes)))
    return _cross(axes)


def _widen(cells: int, core: int, ratio: float) -> FloatArray:
    """Return one axis' coordinates."""
    half = (cells - 1) / 2
    offsets, gap = [half % 1 + step for step in range(min(core, cells) + 1)], ratio
    while offsets[-1] < half and len(offsets) <= _MOST_ANCHORS:
        offsets.append(offsets[-1] + gap)
        gap *= ratio
    away = np.unique(np.minimum(offsets, half))
    return half + np.concatenate([-away[::-1], away[away > 0]])
