"""Are the anchors well placed: rank, condition, near pairs, dead and stray anchors by index, the way off the middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.anchors import name_anchors
from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.errors import AnchorError
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import load
from interpolated_kernels.problem import check_kernel

_SMALL_SHARE = 1e-8
_ROUNDING_OF_CELLS = 1e-9


@dataclass(frozen=True)
class SetReport:
    """What is found for one set of positions; anchors are named by index.

    Attributes
    ----------
    n_anchors : int
    rank : int
        Of the interpolation matrix: how many weights a dense kernel tells apart.
    condition : float
        Of what the interpolator solves, in the 1-norm (of its equilibrated system), where it solves something; else of
        the interpolation matrix in the 2-norm. Infinity where it is singular.
    nearest_pair : tuple of two ints, or None
        The two anchors that are nearest to each other, None for a single one.
    nearest_distance : float
        Theirs, in cells; NaN for a single anchor.
    outside : tuple of int
        Anchors beyond the centres of the window's border cells.
    dead : tuple of int
        Anchors that reach no cell: their weights do nothing.
    collinear : tuple of int
        All anchors, where they stand on one line (or, in 3-D, one plane): nothing tells a slope across it. Else none.
    offset : tuple of float, cells
        How far the anchors' middle, the mean of their positions, lies off the window's, on every spatial axis; below 0
        towards the first cell. Weights that are symmetric among the anchors give a kernel that is shifted by so much.
        Images of anchors, where an interpolator has some, count as anchors.
    problem : str
        Why there is no matrix; empty where there is one. Rank and dead anchors are then not known: 0 and none.
    """

    n_anchors: int
    rank: int
    condition: float
    nearest_pair: tuple[int, int] | None
    nearest_distance: float
    outside: tuple[int, ...]
    dead: tuple[int, ...]
    collinear: tuple[int, ...]
    offset: tuple[float, ...]
    problem: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether every weight counts, and nothing is solved at the edge of what float64 can."""
        return self.rank == self.n_anchors and not (self.dead or self.problem)

    def __str__(self) -> str:
        lines = [f"rank {self.rank} of {self.n_anchors}, condition {self.condition:.2g}"]
        if self.nearest_pair is not None:
            lines.append(f"nearest: {name_anchors(self.nearest_pair)}, {self.nearest_distance:.3g} cells apart")
        for name, indices in (("outside the window", self.outside), ("dead", self.dead)):
            if indices:
                lines.append(f"{name}: {name_anchors(indices)}")
        if any(self.offset):
            by_axis = ", ".join(f"{cells:+.3g}" if cells else "0" for cells in self.offset)
            lines.append(f"off the window's middle: {by_axis} cells")
        if self.collinear:
            lines.append("on one line or plane: no slope across it")
        if self.problem:
            lines.append(f"no matrix: {self.problem}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """What is found for every position set of a kernel, `sets[0]` alone where they are shared."""

    kernel: InterpolatedKernel
    sets: tuple[SetReport, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether all sets are."""
        return all(found.is_healthy for found in self.sets)

    def __str__(self) -> str:
        if len(self.sets) == 1:
            return f"{self.kernel!r}\n{self.sets[0]}"
        parts = [
            f"position set {index}:\n" + "\n".join(f"  {line}" for line in str(found).splitlines())
            for index, found in enumerate(self.sets)
        ]
        return "\n".join([repr(self.kernel), *parts])


def report(kernel: InterpolatedKernel) -> Report:
    """Return how well a kernel's anchors are placed, with what is wrong named by index; `print` it.

    Parameters
    ----------
    kernel : InterpolatedKernel

    Returns
    -------
    Report
        A matrix that cannot be computed is part of it, and no error.

    Raises
    ------
    TypeError
        If it is no kernel.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> print(ik.report(ik.InterpolatedKernel([[0, 0], [0, 4], [3, 1], [9, 9]], (5, 5), "bilinear")))
    InterpolatedKernel(4 anchors, window 5x5, Bilinear(normalized=True))
    rank 3 of 4, condition inf
    nearest: anchors 0, 2, 3.16 cells apart
    outside the window: anchor 3
    dead: anchor 3
    off the window's middle: +1, +1.5 cells
    """
    check_kernel(kernel)
    widths = kernel.width_sets
    sets = [
        _examine(kernel, positions, None if widths is None else widths[index])
        for index, positions in enumerate(kernel.position_sets)
    ]
    return Report(kernel, tuple(sets))


def _examine(kernel: InterpolatedKernel, positions: FloatArray, widths: FloatArray | None) -> SetReport:
    limits = np.array(kernel.window) - 1
    outside = np.flatnonzero(((positions < 0) | (positions > limits)).any(axis=1))
    pair, distance = _nearest(positions)
    centred = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
    spans = int((centred > _SMALL_SHARE * centred.max(initial=0.0)).sum())
    is_flat = positions.shape[1] > 1 and len(positions) > 2 and spans < positions.shape[1]
    rank, condition, dead, problem = _numbers(kernel, positions, widths)
    return SetReport(
        n_anchors=len(positions),
        rank=rank,
        condition=condition,
        nearest_pair=pair,
        nearest_distance=distance,
        outside=tuple(outside.tolist()),
        dead=dead,
        collinear=tuple(range(len(positions))) if is_flat else (),
        offset=_measure_offset(kernel, positions),
        problem=problem,
    )


def _measure_offset(kernel: InterpolatedKernel, positions: FloatArray) -> tuple[float, ...]:
    """Return by how much the middle of the anchors lies off the window's, by spatial axis, without what is rounding."""
    places = kernel.interpolator.list_places(positions, kernel.window)
    offset = (places - (np.array(kernel.window) - 1) / 2).mean(axis=0)[: kernel.n_dims]
    return tuple(np.where(np.abs(offset) > _ROUNDING_OF_CELLS, offset, 0.0).tolist())


def _numbers(
    kernel: InterpolatedKernel, positions: FloatArray, widths: FloatArray | None
) -> tuple[int, float, tuple[int, ...], str]:
    """Return the matrix' rank, the condition, the dead anchors, and why there is no matrix."""
    interpolator = kernel.interpolator
    condition = interpolator.condition(positions, kernel.window)
    try:
        matrix = interpolator.matrix(positions, kernel.window, widths)
    except AnchorError as error:
        return 0, np.inf if condition is None else condition, (), str(error)
    values = np.linalg.svd(matrix, compute_uv=False)
    kept = values > max(matrix.shape) * 2.0**-52 * values.max(initial=0.0)
    if condition is None:
        condition = float(values[0] / values[-1]) if kept.all() and len(values) == len(positions) else np.inf
    return int(kept.sum()), condition, tuple(np.flatnonzero(~matrix.any(axis=0)).tolist()), ""


def _nearest(positions: FloatArray) -> tuple[tuple[int, int] | None, float]:
    """Return the nearest pair and its distance."""
    if len(positions) < 2:
        return None, float("nan")
    distances, others = load("scipy.spatial").cKDTree(positions).query(positions, k=2)
    first = int(distances[:, 1].argmin())
    pair = others[first]
    second = int(pair[pair != first][0])
    return (min(first, second), max(first, second)), float(distances[first, 1])
