"""Random arrays of every kind of data, rounded to an arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.testing.arithmetics import Arithmetic
from interpolated_kernels.testing.drawing.problem import BackendProblem, Trial

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], FloatArray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "exact": lambda rng, shape: rng.integers(-3, 4, shape).astype(np.float64),
    "non-finite": lambda rng, shape: _plant(rng, rng.standard_normal(shape)),
    "sparse": lambda rng, shape: _clear_small(rng.standard_normal(shape)),
    "holes": lambda rng, shape: np.where(
        rng.uniform(size=shape) < 0.25, np.nan, _clear_small(rng.standard_normal(shape))
    ),
    "positive": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "wide": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.uniform(-6.0, 6.0, shape),
}


def draw_trial(rng: np.random.Generator, problem: BackendProblem, arithmetic: Arithmetic) -> Trial:
    """Return a problem with arrays of its kind of data."""
    weights = {"non-finite": "sparse", "holes": "positive"}.get(problem.data, problem.data)
    grad_y = "normal" if problem.data == "holes" else problem.data
    kinds = {"x": problem.data, "weights": weights, "grad_y": grad_y}
    shapes = {"x": problem.x_shape, "weights": problem.weights_shape, "grad_y": problem.out_shape}
    arrays = {name: arithmetic.round(KINDS[kind](rng, shapes[name])) for name, kind in kinds.items()}
    return Trial(problem, **{name: array.astype(problem.dtype) for name, array in arrays.items()})


def _clear_small(array: FloatArray) -> FloatArray:
    """Return an array with zeros of either sign in the place of small entries: a zero is neither missing nor no tap."""
    return np.where(np.abs(array) < 0.25, np.copysign(0.0, array), array)


def _plant(rng: np.random.Generator, array: FloatArray) -> FloatArray:
    """Put up to three entries that are not finite into an array."""
    for _ in range(min(array.size, int(rng.integers(1, 4)))):
        array.flat[rng.integers(array.size)] = rng.choice([np.nan, np.inf, -np.inf])
    return array
