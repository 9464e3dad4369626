"""A plan: the path chosen for one convolution, held, printed and executed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from interpolated_kernels.arguments import as_floats
from interpolated_kernels.arrays import FloatArray, lay_out
from interpolated_kernels.caching import Cache, bytes_held
from interpolated_kernels.filling import AnyFilling, find_filling
from interpolated_kernels.gradients import Gradients, list_wrt, pull_back
from interpolated_kernels.machine import Machine
from interpolated_kernels.memory import Memory, find_memory
from interpolated_kernels.paths import PATHS, Cost, Path, Prepared
from interpolated_kernels.paths.common import count_kernels
from interpolated_kernels.problem import Problem

Result = TypeVar("Result")

_PREPARED: Cache[object, Prepared] = Cache(512, 256 * 2**20, lambda key, prepared: bytes_held(prepared))
"""What plans keep between calls: tables, by plan."""


@dataclass(frozen=True)
class Candidate:
    """One row of a plan's explanation: a path, its predicted cost, and why it was not chosen."""

    path: str
    cost: Cost | None
    why_not: str | None


class Planner(NamedTuple):
    """What makes plans, handed to each of them: for its parts, and for what a pickle brings back."""

    plan_problem: Callable[[Problem, str], Plan]
    plan_engine: Callable[[Problem], Plan]
    predict_cost: Callable[[str, Problem, Machine], Cost]


@dataclass(frozen=True)
class Plan:
    """The path chosen for one convolution, with the numbers that chose it; `print(plan)` explains.

    Attributes
    ----------
    problem : Problem
        The shapes and options.
    path : str
        The name of the chosen path.
    candidates : tuple of Candidate
        Every path, cheapest first.
    asked_for : str
        "auto", or the name of the path that was forced.
    machine : Machine
        The constants of the cost model that chose.
    """

    problem: Problem
    path: str
    candidates: tuple[Candidate, ...] = field(repr=False)
    asked_for: str
    machine: Machine = field(repr=False)
    _planner: Planner = field(repr=False, compare=False)

    @functools.cached_property
    def _module(self) -> Path:
        return PATHS[self.path]

    @functools.cached_property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype(self.problem.dtype)

    @functools.cached_property
    def _memory(self) -> Memory:
        return find_memory(self.problem.device)

    @functools.cached_property
    def _key(self) -> object:
        """What the plan's prepared path is kept by."""
        return object()

    def _run(self, compute: Callable[[Prepared], Result]) -> Result:
        """Compute by the prepared path, and weigh it if it grew: it makes its tables when they are asked for."""
        prepared = _PREPARED.get(self._key, self._prepare)
        held = len(vars(prepared))
        found = compute(prepared)
        if len(vars(prepared)) != held:
            _PREPARED.charge(self._key)
        return found

    def _prepare(self) -> Prepared:
        problem, path = self.problem.summed, self._module
        return path.prepare(problem, tuple(map(self._planner.plan_engine, path.parts(problem))))

    @property
    def cost(self) -> Cost:
        """The predicted cost of the chosen path."""
        return next(row.cost for row in self.candidates if row.path == self.path and row.cost is not None)

    def forward(self, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Return y for x and weights of the planned shapes and dtype.

        Raises
        ------
        ValueError
            If a shape differs from the plan's.
        """
        x = self._check_planned("x", x, self.problem.x_shape)
        return self.convolve(x, self._check_planned("weights", weights, self.problem.weights_shape))

    def backward(
        self, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: str | Iterable[str] = ("x", "weights")
    ) -> Gradients:
        """Return the gradients of a loss whose gradient by y is `grad_y`, for what `wrt` names.

        Raises
        ------
        ValueError
            If a shape differs from the plan's, or `wrt` names what there is no derivative by.
        """
        names = list_wrt(wrt, self.problem.kernel, ("x", "weights"))
        weights = self._check_planned("weights", weights, self.problem.weights_shape)
        grad_y = self._check_planned("grad_y", grad_y, self.problem.y_shape)
        return self.differentiate(grad_y, self._check_planned("x", x, self.problem.x_shape), weights, names)

    def convolve(self, x: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y, in `out` where it is given, unchecked: all arrays are C-contiguous, as planned."""
        with self._memory.use(self.problem.device, self._explain_memory):
            return self.run_forward(self._sum_channels(x), self._make_kernels(weights), out)

    def transpose(self, y: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the transpose of `convolve`, as unchecked: from y to x's shape, in `out` where it is given."""
        in_place = out is not None and self.problem.summed is self.problem
        with self._memory.use(self.problem.device, self._explain_memory):
            grad = self._spread_channels(self.run_grad_x(y, self._make_kernels(weights), out if in_place else None))
            return grad if out is None or in_place else self._memory.copy_into(grad, out)

    def differentiate(self, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: Sequence[str]) -> Gradients:
        """Return the gradients that `wrt` names, as unchecked as `convolve`.

        The gradients by positions and widths come from that by the dense kernel, of every cell of the window. Where the
        chosen path does not give it, or leaves cells out that no anchor reaches, an engine computes it that does not.
        """
        with self._memory.use(self.problem.device, self._explain_memory):
            return self._differentiate(grad_y, x, weights, wrt)

    def _differentiate(self, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: Sequence[str]) -> Gradients:
        by_kernel = "positions" in wrt or "widths" in wrt
        by_x: FloatArray | None
        by_dense: FloatArray | None
        by_weights, by_anchors = None, Gradients()
        if by_kernel and (self._module.TAKES == "bank" or not self.problem.kernel.structure.reaches_all):
            engine = self._planner.plan_engine(replace(self.problem, every_cell=True))
            by_x, _ = self._pull_back(grad_y, None, weights if "x" in wrt else None)
            by_dense = engine.run_grad_kernels(grad_y, engine._sum_channels(x))
        else:
            summed = self._sum_channels(x) if by_kernel or "weights" in wrt else None
            by_x, by_kernels = self._pull_back(grad_y, summed, weights if "x" in wrt else None)
            by_dense = by_kernels if self._module.TAKES == "dense" else None
            by_weights = by_kernels if self._module.TAKES == "bank" else None
        if by_dense is not None:
            by_anchors = pull_back(self._filling, by_dense, self._as_bank(weights), self.problem.dtype, wrt)
            by_weights = by_anchors.weights
        by_x = None if by_x is None else self._spread_channels(by_x)
        return self._collect(by_x, replace(by_anchors, weights=by_weights))

    def run_forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y for what the path takes: a group's summed channels where tied, and dense kernels or the bank."""
        y = self._memory.empty(self.problem.y_shape, self._dtype) if out is None else out
        self._run(lambda prepared: prepared.forward(x, kernels, y))
        return y

    def run_grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the gradient by x, of a group's summed channels where tied, for what the path takes."""
        grad = self._memory.empty(self.problem.summed.x_shape, self._dtype) if out is None else out
        self._run(lambda prepared: prepared.grad_x(grad_y, kernels, grad))
        return grad

    def run_grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by what the path takes, in float64, for a group's summed channels where tied."""
        return self._run(lambda prepared: prepared.grad_kernels(grad_y, x))

    def _make_kernels(self, weights: FloatArray) -> FloatArray:
        """Return what the path takes: the weights as a bank `(filters, channels, n)`, or its dense kernels."""
        path, bank = self._module, self._as_bank(weights)
        return bank if path.TAKES == "bank" else self._filling.apply(bank, path.SUMS_IN or self.problem.dtype)

    def _as_bank(self, weights: FloatArray) -> FloatArray:
        return weights if weights.ndim == 3 else weights.reshape(weights.shape[0], 1, weights.shape[1])

    @property
    def _filling(self) -> AnyFilling:
        """What makes the dense kernels; a plan that held it would hold its tables beyond their cache."""
        return self._memory.find_filling(self.problem.kernel, self.path)

    def _pull_back(
        self, grad_y: FloatArray, x: FloatArray | None, weights: FloatArray | None
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the gradients by x, given weights, and by what the path takes, given x with its channels summed."""
        kernels, by_x = None, None
        if weights is not None:
            kernels, by_x = self._make_kernels(weights), self._memory.empty(self.problem.summed.x_shape, self._dtype)
        return by_x, self._run(lambda prepared: prepared.gradients(grad_y, x, kernels, by_x))

    def _collect(self, by_x: FloatArray | None, by_anchors: Gradients) -> Gradients:
        """Return the gradients together, that by weights in their shape and dtype."""
        by_weights = by_anchors.weights
        if by_weights is not None:
            by_weights = self._memory.convert(by_weights.reshape(self.problem.weights_shape), self.problem.dtype)
        return replace(by_anchors, x=by_x, weights=by_weights)

    def _check_planned(self, name: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
        array = as_floats(name, value)
        if array.shape != shape:
            raise ValueError(f"`{name}` must have the planned shape {shape}, got {array.shape}.")
        return lay_out(array, self._dtype, shape)

    def _sum_channels(self, x: FloatArray) -> FloatArray:
        """Return x with the channels of each group summed in order, where their weights are tied."""
        problem = self.problem
        if problem.n_summed == 1:
            return x
        return self._memory.sum_channels(x, problem, self._module.SUMS_IN or x.dtype)

    def _spread_channels(self, grad_x: FloatArray) -> FloatArray:
        """Return the transpose of `_sum_channels`."""
        problem = self.problem
        if problem.n_summed == 1:
            return grad_x
        return self._memory.spread_channels(grad_x, problem)

    def _explain_memory(self) -> str:
        """Return what the path needs, and which one needs least: where there was no room."""
        served = [row for row in self.candidates if row.cost is not None]
        least = min(served, key=lambda row: row.cost.extra_bytes if row.cost else np.inf)
        advice = "a `max_memory` below that lets a path hold fewer samples at once"
        if least.path != self.path and least.cost is not None:
            advice = f"path={least.path!r} needs {least.cost.extra_bytes}, and {advice}"
        return f"path={self.path!r} needs {self.cost.extra_bytes} bytes beside its arrays: {advice}."

    def __reduce__(self) -> tuple[Callable[[Problem, str], Plan], tuple[Problem, str]]:
        return self._planner.plan_problem, (self.problem, self.asked_for)

    def __str__(self) -> str:
        return "\n".join([*self._describe_execution(), *map(self._describe_candidate, self.candidates)])

    def _describe_execution(self) -> tuple[str, ...]:
        filling, count = find_filling(self.problem.kernel, self.path), count_kernels(self.problem)
        seconds = _format_seconds(filling.seconds(count, self.problem.dtype, self.machine))
        return (
            repr(self.problem),
            f"path: {self.path}  (cost model: {self.machine.name})",
            f"A: {filling.name}, {seconds} a call where dense kernels are made, "
            f"{filling.peak_bytes(count) / 2**20:.1f} MiB, of it {filling.nbytes / 2**20:.1f} MiB kept",
        )

    def _describe_candidate(self, candidate: Candidate) -> str:
        if candidate.cost is None:
            return f"  {candidate.path:10} {candidate.why_not}"
        mark, why = ("*", "chosen") if candidate.path == self.path else (" ", candidate.why_not)
        seconds = _format_seconds(candidate.cost.seconds * self.problem.batch)
        where = "on one thread" if self.problem.device == "cpu" else "on the GPU"
        memory = f"{candidate.cost.extra_bytes / 2**20:.1f} MiB"
        return (
            f"{mark} {candidate.path:10} {seconds:>9} {where}  {memory:>10} extra  error: {candidate.cost.error}; {why}"
        )


def _format_seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
