"""Hypothesis strategies for problems whose x has holes, with missing="renormalize"."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.densify import densify
from interpolated_kernels.testing.strategies import Case, cases

HOLES = ("none", "scattered", "most", "block", "all")

_SMALLEST = 1e-6
"""No cell but 0 is smaller, as a part of its filter's largest: float32 has room for what windows of such cells give."""


@st.composite
def missing_cases(draw: st.DrawFn, /, **asked: Any) -> Case:
    """Cases as `cases` draws them, with weights that give no negative cells, and holes in x.

    Holes are none, scattered, nearly all, a block wider than the window, or all of x. An interpolator that overshoots
    gets weights that differ little.
    """
    case = draw(cases(**asked))
    weights = _find_weights(case)
    x, rng = case.x.copy(), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x[_make_holes(rng, case, draw(st.sampled_from(HOLES)))] = np.nan
    return case.replace(x=x, weights=weights, options={**case.options, "missing": "renormalize"})


def _find_weights(case: Case) -> FloatArray:
    """Return weights for which every filter has cells that are positive or exactly 0, as drawn where that suffices."""
    sizes = np.abs(case.weights)
    whole = sizes.max(initial=0) or 1
    for weights in (sizes, sizes + whole, 16 * whole + sizes):
        dense = densify(weights.astype(np.float64), case.kernel)
        cells = dense.reshape(len(weights) if weights.ndim > 1 else 1, -1)
        largest = cells.max(axis=1, keepdims=True)
        if ((largest > 0) & ((cells == 0) | (cells >= _SMALLEST * largest))).all():
            return weights
    reject()


def _make_holes(rng: np.random.Generator, case: Case, kind: str) -> BoolArray:
    """Return which values of x are missing."""
    x, d = case.x, case.kernel.n_dims
    if kind in ("none", "all"):
        return np.full(x.shape, kind == "all")
    if kind != "block":
        return np.asarray(rng.uniform(size=x.shape) < (0.25 if kind == "scattered" else 0.9))
    holes, spatial = np.zeros(x.shape, bool), x.shape[x.ndim - d :]
    reach = np.array(case.kernel.spatial_window) * np.max(case.options["dilation"])
    first = rng.integers(0, spatial)
    block: Any = (..., *map(slice, first, first + reach + 1))
    holes[block] = True
    return holes
