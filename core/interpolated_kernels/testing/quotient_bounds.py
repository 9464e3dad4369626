"""How far a quotient of two sums and its gradients may be from the reference, with missing="renormalize".

With N and D the sums over what is there, s the kernel's sum and y = N s / D, an error of N and one of D come to

    s / abs(D) (error of N + abs(N / D) error of D)

to first order. A D that its own bound reaches is summed anew in float64; so no error of D counts as more than an eighth
of it in the second order. Backward g s / D and -g s N / D^2 are the gradients by N and D and g N / D that by s: they
carry these errors into the sums of which the gradients by x and weights consist.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import infer_shape
from interpolated_kernels.filling import Definition
from interpolated_kernels.testing.oracle import absolute, find_quotient
from interpolated_kernels.testing.sum_bounds import UNITS, SumBound, gamma

_ROUNDINGS = 4
"""Of a quotient and its product with a total or a gradient."""


class QuotientBound:
    """The bounds for one x and weights: what errors of N and D come to, of `S` each or of C1 each.

    Parameters
    ----------
    bound : SumBound
        That of N and D.
    measure : {0, 1}
        Which of a sum's two measures: `S`, or C1 with the roundings of a quotient beside.
    """

    def __init__(self, bound: SumBound, x: Any, weights: Any, measure: int) -> None:
        self._bound, self._weights, self._measure = bound, np.asarray(weights), measure
        x, shape = np.asarray(x).astype(np.float64), bound.problem.y_shape
        self._values, self._mask = np.where(np.isnan(x), 0.0, x), 1.0 - np.isnan(x)
        found = find_quotient(x, weights, bound.kernel, np.float64, **bound.options)
        self._is_met, self._total = found.is_met, np.broadcast_to(found.total, shape)
        self._denominator = np.where(found.is_met, np.abs(found.denominator), 1.0)
        self._mean = np.where(found.is_met, np.abs(found.numerator) / self._denominator, 0.0)
        of_numerator, of_denominator = (
            self._sum("y", x=array).reshape(shape) / self._denominator for array in (self._values, self._mask)
        )
        second_order = 1.0 - np.minimum(of_denominator, 0.125) if measure else 1.0
        self._rounding = measure * _ROUNDINGS * bound.unit
        self._of_share = of_denominator / second_order + self._rounding
        """The error of s / D, as a part of it."""
        self._of_mean = (of_numerator + self._mean * of_denominator) / second_order + self._rounding * self._mean
        """The error of N / D."""

    def find(self, quantity: str, grad_y: Any) -> FloatArray:
        """Return the measure of a quantity; gradients need `grad_y`."""
        if quantity == "y":
            found = self._total * self._of_mean + self._measure * self._bound.sums.tiniest
            return found.reshape(infer_shape(self._values, self._weights, self._bound.problem.y_shape))
        grad_y = np.abs(np.asarray(grad_y).astype(np.float64).reshape(self._total.shape))
        grad_y = np.where(self._is_met, grad_y, 0.0)
        return self._find_grad_x(grad_y) if quantity == "grad_x" else self._find_grad_weights(grad_y)

    def _find_grad_x(self, grad_y: FloatArray) -> FloatArray:
        by_numerator = grad_y * self._total / self._denominator
        found = self._sum("grad_x", x=self._values, grad_y=by_numerator)
        return self._mask * (found + self._spread("grad_x", x=self._values, grad_y=by_numerator * self._of_share))

    def _find_grad_weights(self, grad_y: FloatArray) -> FloatArray:
        by_numerator, by_total = grad_y * self._total / self._denominator, grad_y * self._mean
        of_numerator, of_total = by_numerator * self._of_share, grad_y * self._of_mean
        by_denominator = by_numerator * self._mean
        of_denominator = by_numerator * self._of_mean + by_denominator * self._of_share
        found = self._sum("grad_weights", x=self._values, grad_y=by_numerator)
        found = found + self._sum("grad_weights", x=self._mask, grad_y=by_denominator)
        found = found + self._spread("grad_weights", x=np.abs(self._values), grad_y=of_numerator)
        found = found + self._spread("grad_weights", x=self._mask, grad_y=of_denominator)
        whole = self._spread_totals(by_total)
        if not self._measure:
            return found + whole + self._spread_totals(of_total)
        # totals are summed in float64, the three parts together rounded once more
        sums = gamma(by_total.size + self._bound.kernel.matrix.shape[-2], UNITS["float64"])
        return found + self._spread_totals(of_total) + (sums + self._bound.unit) * whole + self._bound.unit * found

    def _sum(self, quantity: str, **given: Any) -> FloatArray:
        """Return the measure of one sum."""
        return self._bound.find(quantity, {"weights": self._weights, **given})[self._measure]

    def _spread(self, quantity: str, **sizes: Any) -> FloatArray:
        """Return what errors of these sizes sum to."""
        given = {"weights": self._weights.astype(np.float64), **sizes}
        return self._bound.sum_sizes(quantity, {name: np.abs(value) for name, value in given.items()})

    def _spread_totals(self, by_output: FloatArray) -> FloatArray:
        """Return what errors of every output's total come to in the weights: a total is the sum of all cells."""
        problem = self._bound.problem
        by_filter = problem.n_summed * by_output.sum(axis=(0, *range(2, by_output.ndim)))
        shape = (problem.filters, 1 if problem.sums_channels else problem.channels_per_group, *problem.window)
        by_cells = np.broadcast_to(by_filter.reshape(-1, *(1,) * (len(shape) - 1)), shape)
        return Definition(absolute(self._bound.kernel)).transpose(by_cells).reshape(self._weights.shape)
