"""What a result has to be: the reference's values, and how far each entry may be from its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.testing.arithmetics import ARITHMETICS, find_arithmetic
from interpolated_kernels.testing.bounds import error_bound
from interpolated_kernels.testing.comparison import choose_oracle, find_slack, find_spoiled
from interpolated_kernels.testing.drawing import BackendProblem, Trial
from interpolated_kernels.testing.oracle import evaluate


@dataclass(frozen=True, eq=False)
class Expected:
    """A result of a case.

    Attributes
    ----------
    values : array
        float64; NaN stands for whatever is not finite.
    bound : array
        float64, of the same shape: the largest difference that an entry may have; NaN where it must not be finite.
    spoiled_filters : tuple of int
        Filters whose entries may be NaN or infinite even where the values are finite: in gradients by weights, a
        product that is not finite may spoil all of its filter.
    """

    values: FloatArray
    bound: FloatArray
    spoiled_filters: tuple[int, ...] = ()

    def find_ratios(self, actual: FloatArray) -> FloatArray:
        """Return every entry's difference as a part of its bound: infinite where it must be finite and is not."""
        is_finite, is_spoiled = np.isfinite(actual), np.zeros(self.values.shape, bool)
        is_spoiled[list(self.spoiled_filters) if self.values.ndim > 1 else slice(None)] = bool(self.spoiled_filters)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            difference = np.abs(np.where(is_finite, actual, 0) - np.nan_to_num(self.values))
            ratios = np.where(difference > 0, difference / self.bound, 0.0)
        ratios = np.where(is_finite | is_spoiled, np.where(is_finite, ratios, 0.0), np.inf)
        return np.where(np.isnan(self.values), np.where(is_finite, np.inf, 0.0), ratios)


def expect(trial: Trial, quantity: str, arithmetic: str) -> Expected:
    """Return what a quantity of a trial has to be in an arithmetic: C1, equality for data whose every sum is exact.

    Random data in a narrow arithmetic are held to their own, narrower bound as well.
    """
    problem, options = trial.problem, trial.problem.conv_options
    arrays: dict[str, Any] = {**trial.arrays}
    if quantity == "transposed":
        arrays, options = {"x": trial.grad_y, "weights": trial.weights}, find_transposed_options(problem)
    with np.errstate(invalid="ignore"):
        values = evaluate(quantity, arrays, problem.kernel, choose_oracle(arithmetic), options)
        found = error_bound(**arrays, kernel=problem.kernel, quantity=quantity, arithmetic=arithmetic, **options)
    bound = find_slack(arithmetic) * found.componentwise
    if find_arithmetic(arithmetic).rounds_factors and problem.data == "normal" and quantity != "transposed":
        bound = np.minimum(bound, found.random)
    values = values.astype(np.float64)
    bound = 0 * values if trial.is_exact else bound + ARITHMETICS["float64"].unit * np.abs(values)
    return Expected(*_hide_non_finite(values, bound), _find_spoiled_filters(trial, quantity))


def find_transposed_options(problem: BackendProblem) -> dict[str, Any]:
    """Return the options of `conv_transpose` that take y's shape back to x's."""
    described = problem.described
    axes = zip(described.padded, described.extent, described.stride, strict=True)
    rest = tuple((size - reach) % step for size, reach, step in axes)
    options = {name: value for name, value in problem.conv_options.items() if name != "missing"}
    return {**options, "padding": problem.pads, "output_padding": rest}


def _hide_non_finite(values: FloatArray, bound: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return both with NaN where the values are not finite: NaN and infinity are not told apart."""
    is_finite = np.isfinite(values)
    return np.where(is_finite, values, np.nan), np.where(is_finite, bound, np.nan)


def _find_spoiled_filters(trial: Trial, quantity: str) -> tuple[int, ...]:
    if quantity != "grad_weights":
        return ()
    spoiled = find_spoiled(trial.arrays, trial.problem.kernel, trial.problem.conv_options)
    by_filter = spoiled.reshape(trial.problem.described.filters, -1)[:, 0]
    return tuple(map(int, np.flatnonzero(by_filter)))
