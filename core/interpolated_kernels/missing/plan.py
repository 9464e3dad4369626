"""The plan of a problem with missing cells: another plan's two sums, band by band, and their quotient."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from interpolated_kernels.arrays import FloatArray, IntArray
from interpolated_kernels.filling import find_filling
from interpolated_kernels.gradients import Gradients, pull_back
from interpolated_kernels.lazy import loops
from interpolated_kernels.missing import definition
from interpolated_kernels.missing.bands import Band, Bands, choose_bands, describe_band, find_room
from interpolated_kernels.missing.filters import Filters, make_filters
from interpolated_kernels.missing.sums import Buffers, Sums, split
from interpolated_kernels.padding import add_folded, index_axis
from interpolated_kernels.plan import Plan
from interpolated_kernels.problem import Problem


@dataclass(frozen=True, repr=False)
class RenormalizedPlan(Plan):
    """A plan for `missing="renormalize"`: numerators and denominators by the chosen path, then their quotient."""

    def convolve(self, x: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y, in `out` where it is given, unchecked but for the kernels' cells.

        Raises
        ------
        ValueError
            If a filter has a negative cell, or no positive one.
        """
        y = np.empty(self.problem.y_shape, self._dtype) if out is None else out
        filters = self._make_filters(weights)
        if self.path == "reference":
            y[...] = definition.convolve(self.problem, x, filters.dense, np.float64)
            return y
        kernels, buffers = self._take_kernels(filters, weights), Buffers(self.problem.dtype)
        for band in self._bands.walk(self.problem):
            self._sum_band(band, x, filters, kernels, buffers).divide(y)
        return y

    def transpose(self, y: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> NoReturn:
        """Refuse: a quotient is not linear in x."""
        raise ValueError("`missing` must be 'propagate' for a transpose: with 'renormalize' y is not linear in x.")

    def differentiate(self, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: Sequence[str]) -> Gradients:
        """Return the gradients that `wrt` names, as unchecked as `convolve`."""
        filters = self._make_filters(weights)
        if self.path == "reference":
            by_x, by_dense = definition.differentiate(self.problem, grad_y, x, filters.dense, np.float64)
            by_anchors = pull_back(self._filling, by_dense, self._as_bank(weights), self.problem.dtype, wrt)
            return self._collect(by_x.astype(self._dtype) if "x" in wrt else None, by_anchors)
        kernels, by_kernels = self._take_kernels(filters, weights), np.zeros(())
        by_summed = np.zeros(self.problem.summed.x_shape, self._dtype) if "x" in wrt else None
        by_totals, buffers = np.zeros(len(filters.totals)), Buffers(self.problem.dtype)
        for band in self._bands.walk(self.problem):
            sums = self._sum_band(band, x, filters, kernels, buffers)
            grads = buffers.take("grads", sums.sums.shape)
            by_totals += sums.differentiate(grad_y, grads)
            if by_summed is not None:
                self._add_grad_x(band, grads[0], kernels, by_summed)
            if set(wrt) - {"x"}:
                by_kernels = by_kernels + self._find_grad_kernels(sums, grads, wrt)
        by_anchors = self._pull_back_kernels(by_kernels, by_totals, filters, weights, wrt)
        if by_summed is None:
            return self._collect(None, by_anchors)
        by_x = self._spread_channels(by_summed)
        loops.clear_missing(x.reshape(-1), by_x.reshape(-1))
        return self._collect(by_x, by_anchors)

    @functools.cached_property
    def _bands(self) -> Bands:
        return choose_bands(self.problem, lambda band: self._planner.predict_cost(self.path, band, self.machine))

    def _make_filters(self, weights: FloatArray) -> Filters:
        return make_filters(self.problem, find_filling(self.problem.kernel, self.path), self._as_bank(weights))

    def _take_kernels(self, filters: Filters, weights: FloatArray) -> FloatArray:
        """Return what the path takes."""
        return self._as_bank(weights) if self._module.TAKES == "bank" else filters.dense.astype(self._dtype)

    def _describe(self, band: Band, n_arrays: int) -> Problem:
        """Return the problem of so many arrays for each of a band's samples."""
        samples = n_arrays * (band.samples.stop - band.samples.start)
        return describe_band(self.problem, samples, band.lines, find_room(self.problem, self._bands))

    def _index_lines(self, band: Band) -> IntArray:
        """Return the line of x, or -1, that each line of a band shows."""
        return index_axis(self.problem, 0, range(band.first, band.first + band.lines))

    def _sum_band(self, band: Band, x: FloatArray, filters: Filters, kernels: FloatArray, buffers: Buffers) -> Sums:
        """Return the numerators and denominators of a band, settled."""
        problem = self._describe(band, 2)
        pair = split(self.problem, x[band.samples], self._index_lines(band), buffers)
        plan = self._planner.plan_problem(problem, self.path)
        found = plan.run_forward(pair.reshape(problem.x_shape), kernels, buffers.take("sums", problem.y_shape))
        sums = Sums(problem, band, filters, pair, found.reshape(2, -1, *problem.y_shape[1:]))
        sums.settle()
        return sums

    def _add_grad_x(self, band: Band, by_numerators: FloatArray, kernels: FloatArray, by_x: FloatArray) -> None:
        """Add the gradient by a band's values to the cells of x that they show."""
        plan = self._planner.plan_problem(self._describe(band, 1), self.path)
        add_folded(by_x[band.samples], plan.run_grad_x(by_numerators, kernels), 2, self._index_lines(band))

    def _find_grad_kernels(self, sums: Sums, grads: FloatArray, wrt: Sequence[str]) -> FloatArray:
        """Return the gradient by a band's kernels, as `_gives_bank` says, in float64."""
        problem = sums.problem
        if "positions" in wrt or "widths" in wrt:
            plan = self._planner.plan_engine(replace(problem, every_cell=True))
        else:
            plan = self._planner.plan_problem(problem, self.path)
        return plan.run_grad_kernels(grads.reshape(problem.y_shape), sums.pair.reshape(problem.x_shape))

    def _gives_bank(self, wrt: Sequence[str]) -> bool:
        """Return whether the gradient by kernels is that by the bank: the path's, where no positions are asked for."""
        return self._module.TAKES == "bank" and "positions" not in wrt and "widths" not in wrt

    def _pull_back_kernels(
        self, by_kernels: FloatArray, by_totals: FloatArray, filters: Filters, weights: FloatArray, wrt: Sequence[str]
    ) -> Gradients:
        """Return the gradients by anchors, from that by kernels and that by every filter's total."""
        problem, filling = self.problem, self._filling
        by_cells = np.broadcast_to(
            (problem.n_summed * by_totals).reshape(-1, *(1,) * (filters.dense.ndim - 1)), filters.dense.shape
        )
        if not self._gives_bank(wrt):
            return pull_back(filling, by_kernels + by_cells, self._as_bank(weights), problem.dtype, wrt)
        if "weights" not in wrt:
            return Gradients()
        return Gradients(weights=by_kernels + filling.transpose(by_cells, problem.dtype))

    def _describe_execution(self) -> tuple[str, ...]:
        bands = self._bands
        return (
            *super()._describe_execution(),
            f"missing: numerators and denominators of {bands.samples} samples, {bands.lines} outputs along the first "
            "axis, at a time",
        )
