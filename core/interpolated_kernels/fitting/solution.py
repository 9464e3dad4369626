"""The normal equations solved: by eigenvectors, after a constant and a total have left the problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.fitting.equations import Equations
from interpolated_kernels.lazy import load

_OPEN_SHARE = 1e-8
"""The squared share of a weight in directions that the data do not determine, above which it is open."""


@dataclass(frozen=True, eq=False)
class Solution:
    """The solution for every filter of one group.

    `spread` are standard errors for unit variance, one row for all; `unknowns` the numbers that the data determined.
    """

    weights: FloatArray
    constants: FloatArray | None
    spread: FloatArray
    unknowns: int


@dataclass(frozen=True, eq=False)
class Total:
    """What holds a dense kernel's sum: `sums . w = values`, with one value a filter."""

    sums: FloatArray
    values: FloatArray


def solve(equations: Equations, ridge: float, intercept: bool, total: Total | None) -> Solution:
    """Return the weights, and constants where asked for, of least `sum d (conv + b - y)^2 + ridge |w|^2`.

    Without a ridge the equations are scaled to a diagonal of ones, so that a weight's units do not matter. Directions
    below the rounding of the Gram matrix are not determined by the data, and get the least weights.
    """
    gram, right = equations.gram, equations.right
    scale = _find_scale(gram) if ridge == 0 else np.ones(len(gram))
    rounding = _find_rounding(gram / scale / scale[:, None], equations.count)
    if intercept:
        gram, right = equations.centre()
    gram, right = gram / scale / scale[:, None], right / scale
    start, values, directions = _find_directions(gram, total, scale)
    known = values > rounding
    kept, found = values[known], directions[:, known]
    # The start and the directions are orthogonal: a ridge on the whole is one on each.
    weights = (start + ((right - start @ gram) @ found) / (kept + ridge) @ found.T) / scale
    spread = np.sqrt((np.square(found) * (kept / np.square(kept + ridge))).sum(axis=1)) / scale
    if ridge == 0:
        spread = np.where(np.square(directions[:, ~known]).sum(axis=1) > _OPEN_SHARE, np.inf, spread)
    constants = equations.find_constants(weights) if intercept else None
    return Solution(weights, constants, spread, int(known.sum()) + intercept)


def _find_scale(gram: FloatArray) -> FloatArray:
    """Return the columns' norms; columns of zeros count as the largest."""
    squares = np.diag(gram)
    return np.sqrt(np.where(squares > 0, squares, squares.max() or 1.0))


def _find_rounding(gram: FloatArray, count: int) -> float:
    """Return what rounding may change in eigenvalues: of so many columns, and of sums over so many outputs.

    Errors of long sums grow as the square root of their length.
    """
    return (len(gram) + np.sqrt(count)) * 2.0**-52 * float(np.abs(gram).sum(axis=1).max())


def _find_directions(
    gram: FloatArray, total: Total | None, scale: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the least weights of every filter that have its total, and eigenvalues and directions that keep it."""
    if total is None or not total.sums.any():
        return np.zeros((1, len(scale))), *_find_eigenvectors(gram)
    sums = total.sums / scale
    free = np.linalg.qr(sums[:, None], mode="complete").Q[:, 1:]
    values, vectors = _find_eigenvectors(free.T @ gram @ free)
    return total.values[:, None] * sums / (sums @ sums), values, free @ vectors


def _find_eigenvectors(gram: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return eigenvalues, ascending, and eigenvectors; of nothing, where a total leaves nothing free, none."""
    if not gram.size:
        return np.zeros(0), np.zeros((0, 0))
    values, vectors = load("scipy.linalg").eigh(gram)
    return values, vectors
