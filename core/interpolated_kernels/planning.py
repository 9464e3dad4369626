"""Problem to plan: every path's predicted cost, the choice, and its explanation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from interpolated_kernels.arrays import FloatArray, name_compute_dtype
from interpolated_kernels.caching import Cache, bytes_held
from interpolated_kernels.densify import Gradients, check_wrt, pull_back
from interpolated_kernels.filling import Filling, filling_for
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.machine import Machine, current_machine
from interpolated_kernels.options import Cells, Options, Padding
from interpolated_kernels.paths import ENGINES, PATHS, Cost, Path, Prepared
from interpolated_kernels.paths.common import n_kernels
from interpolated_kernels.problem import Problem, check_kernel, describe

Result = TypeVar("Result")


@dataclass(frozen=True)
class Candidate:
    """One row of a plan's explanation: a path, its predicted cost, and why it was not chosen."""

    path: str
    cost: Cost | None
    why_not: str | None


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
    asked_for: str = "auto"
    machine: Machine = field(default_factory=current_machine, repr=False)

    @functools.cached_property
    def _module(self) -> Path:
        return PATHS[self.path]

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
        return path.prepare(problem, tuple(map(plan_engine, path.parts(problem))))

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
        x = self._as_planned("x", x, self.problem.x_shape)
        return self.convolve(x, self._as_planned("weights", weights, self.problem.weights_shape))

    def convolve(self, x: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y for arrays that are already as planned: C-contiguous, of the planned shapes and compute dtype.

        It is written into `out`, which is as planned too, where it is given.
        """
        return self.run_forward(self._sum_channels(x), self._kernels(weights), out)

    def run_forward(self, x: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return y for what the path takes: a group's summed channels where tied, and dense kernels or the bank."""
        y = np.empty(self.problem.y_shape, self.problem.dtype) if out is None else out
        self._run(lambda prepared: prepared.forward(x, kernels, y))
        return y

    def run_grad_x(self, grad_y: FloatArray, kernels: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the gradient by x, of a group's summed channels where tied, for what the path takes."""
        grad = np.empty(self.problem.summed.x_shape, self.problem.dtype) if out is None else out
        self._run(lambda prepared: prepared.grad_x(grad_y, kernels, grad))
        return grad

    def run_grad_kernels(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by what the path takes, in float64, for a group's summed channels where tied."""
        return self._run(lambda prepared: prepared.grad_kernels(grad_y, x))

    def backward(
        self, grad_y: FloatArray, x: FloatArray, weights: FloatArray, wrt: Sequence[str] = ("x", "weights")
    ) -> Gradients:
        """Return the gradients of a loss whose gradient by y is `grad_y`, for what `wrt` names.

        Raises
        ------
        ValueError
            If a shape differs from the plan's, or `wrt` names what there is no derivative by.
        """
        check_wrt(wrt, self.problem.kernel, ("x", "weights"))
        weights = self._as_planned("weights", weights, self.problem.weights_shape)
        grad_y = self._as_planned("grad_y", grad_y, self.problem.y_shape)
        x = self._as_planned("x", x, self.problem.x_shape)
        moves = "positions" in wrt or "widths" in wrt
        by_x: FloatArray | None
        by_dense: FloatArray | None
        by_weights, by_anchors = None, Gradients()
        if moves and (self._module.TAKES == "bank" or not self.problem.kernel.structure.reaches_all):
            plan = plan_engine(replace(self.problem, every_cell=True))
            by_x, _ = self._linear(grad_y, None, weights if "x" in wrt else None)
            by_dense = plan.run_grad_kernels(grad_y, plan._sum_channels(x))
        else:
            summed = self._sum_channels(x) if moves or "weights" in wrt else None
            by_x, by_kernels = self._linear(grad_y, summed, weights if "x" in wrt else None)
            by_dense = by_kernels if self._module.TAKES == "dense" else None
            by_weights = by_kernels if self._module.TAKES == "bank" else None
        if by_dense is not None:
            by_anchors = pull_back(self._filling, by_dense, self._as_bank(weights), self.problem.dtype, wrt)
            by_weights = by_anchors.weights
        if by_weights is not None:
            by_weights = by_weights.reshape(self.problem.weights_shape).astype(self.problem.dtype, copy=False)
        by_x = None if by_x is None else self._spread_channels(by_x)
        return replace(by_anchors, x=by_x, weights=by_weights)

    def transpose(self, y: FloatArray, weights: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return the transpose of `forward`: from y of the planned shape and dtype to what has x's.

        Raises
        ------
        ValueError
            If a shape differs from the plan's.
        """
        weights = self._as_planned("weights", weights, self.problem.weights_shape)
        y = self._as_planned("y", y, self.problem.y_shape)
        in_place = out is not None and self.problem.summed is self.problem
        grad = self._spread_channels(self.run_grad_x(y, self._kernels(weights), out if in_place else None))
        if out is None or in_place:
            return grad
        out[...] = grad
        return out

    def _kernels(self, weights: FloatArray) -> FloatArray:
        """Return what the path takes: the weights as a bank `(filters, channels, n)`, or its dense kernels."""
        path, bank = self._module, self._as_bank(weights)
        return bank if path.TAKES == "bank" else self._filling.apply(bank, path.SUMS_IN or self.problem.dtype)

    def _as_bank(self, weights: FloatArray) -> FloatArray:
        return weights.reshape(self.problem.filters, -1, self.problem.kernel.n_anchors)

    @property
    def _filling(self) -> Filling:
        """What makes the dense kernels; a plan that held it would hold its tables beyond their cache."""
        return filling_for(self.problem.kernel, self.path)

    def _linear(
        self, grad_y: FloatArray, x: FloatArray | None, weights: FloatArray | None
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Return the gradients by x, given weights, and by what the path takes, given x with its channels summed."""
        kernels, by_x = None, None
        if weights is not None:
            kernels, by_x = self._kernels(weights), np.empty(self.problem.summed.x_shape, self.problem.dtype)
        return by_x, self._run(lambda prepared: prepared.gradients(grad_y, x, kernels, by_x))

    def _as_planned(self, name: str, array: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        if array.shape != shape:
            raise ValueError(f"`{name}` must have the planned shape {shape}, got {array.shape}.")
        return np.require(array, dtype=self.problem.dtype, requirements=("C", "A"))

    def _sum_channels(self, x: FloatArray) -> FloatArray:
        """Return x with the channels of each group summed in order, where their weights are tied."""
        problem = self.problem
        if not problem.sums_channels or problem.channels_per_group == 1:
            return x
        by_group = x.reshape(problem.batch, problem.groups, problem.channels_per_group, *problem.spatial)
        total = by_group[:, :, 0].astype(PATHS[self.path].SUMS_IN or x.dtype)
        for channel in range(1, by_group.shape[2]):
            total += by_group[:, :, channel]
        return total

    def _spread_channels(self, grad_x: FloatArray) -> FloatArray:
        """Return the transpose of `_sum_channels`."""
        problem = self.problem
        if not problem.sums_channels or problem.channels_per_group == 1:
            return grad_x
        return np.repeat(grad_x, problem.channels_per_group, axis=1)

    def __reduce__(self) -> tuple[Any, ...]:
        return plan_problem, (self.problem, self.asked_for)

    def __str__(self) -> str:
        filling, count = self._filling, n_kernels(self.problem)
        own = _seconds(filling.seconds(count, self.problem.dtype, self.machine))
        lines = [
            repr(self.problem),
            f"path: {self.path}  (cost model: {self.machine.name})",
            f"A: {filling.name}, {own} a call where dense kernels are made, "
            f"{filling.peak_bytes(count) / 2**20:.1f} MiB, of it {filling.nbytes / 2**20:.1f} MiB kept",
        ]
        for candidate in self.candidates:
            if candidate.cost is None:
                lines.append(f"  {candidate.path:10} {candidate.why_not}")
                continue
            mark = "*" if candidate.path == self.path else " "
            seconds, memory = (
                _seconds(candidate.cost.seconds * self.problem.batch),
                f"{candidate.cost.extra_bytes / 2**20:.1f} MiB",
            )
            why = "chosen" if candidate.path == self.path else candidate.why_not
            lines.append(
                f"{mark} {candidate.path:10} {seconds:>9} on one thread  {memory:>10} extra  "
                f"error: {candidate.cost.error}; {why}"
            )
        return "\n".join(lines)


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def plan_problem(problem: Problem, path: str = "auto") -> Plan:
    """Return the plan of a problem: the cheapest path that meets its accuracy and memory, or the one named.

    The choice looks at one sample on one thread, so it depends on neither the batch nor the number of threads, and on
    no values.

    Raises
    ------
    ValueError
        If `path` is unknown or cannot serve the problem, or no path meets `max_memory`.
    """
    if path != "auto" and path not in PATHS:
        raise ValueError(f"`path` must be 'auto' or one of {', '.join(sorted(PATHS))}, got {path!r}.")
    machine = current_machine()
    return _PLANS.get((problem, path, machine), lambda: _make_plan(problem, path, tuple(PATHS), machine))


def plan_call(
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    kernel: InterpolatedKernel,
    dtype: np.dtype[Any],
    options: Options,
) -> Plan:
    """Return the plan of a call, from its arrays' shapes and result dtype: what comes again is not described again."""
    check_kernel(kernel)
    name = name_compute_dtype(dtype)
    key = (x_shape, weights_shape, kernel, name, options, current_machine())
    return _CALLS.get(key, lambda: plan_problem(describe(x_shape, weights_shape, kernel, options, name), options.path))


def plan_engine(problem: Problem) -> Plan:
    """Return the plan of a problem whose dense kernels are given: the cheapest path that takes these.

    Raises
    ------
    ValueError
        If no engine can serve.
    """
    machine = current_machine()
    return _PLANS.get((problem, "engine", machine), lambda: _make_plan(problem, "auto", ENGINES, machine))


def bytes_of_plan(key: object, plan: Plan) -> int:
    """Return the bytes that a plan holds beside its state."""
    kernel = plan.problem.kernel
    return 4096 + kernel.nbytes + kernel.structure.support.nbytes


_PLANS: Cache[tuple[Problem, str, Machine], Plan] = Cache(512, 64 * 2**20, bytes_of_plan)
_CALLS: Cache[tuple[Any, ...], Plan] = Cache(512, 64 * 2**20, bytes_of_plan)
_PREPARED: Cache[object, Prepared] = Cache(512, 256 * 2**20, lambda key, prepared: bytes_held(prepared))
"""What plans keep between calls: tables, by plan."""


def _make_plan(problem: Problem, path: str, names: tuple[str, ...], machine: Machine) -> Plan:
    rows = {name: _judge(name, problem, machine) for name in names}
    if path != "auto":
        if rows[path].why_not is not None:
            raise ValueError(f"`path`={path!r} cannot serve this problem: {rows[path].why_not}.")
        chosen = path
    else:
        served = [row for row in rows.values() if row.why_not is None and row.cost is not None]
        if not served:
            reasons = "; ".join(f"{row.path}: {row.why_not}" for row in rows.values())
            raise ValueError(f"no path can serve this problem: {reasons}.")
        chosen = min(served, key=lambda row: row.cost.seconds if row.cost else np.inf).path
    explained = [_explain(row, rows[chosen], forced=path != "auto") for row in rows.values()]
    explained.sort(key=lambda row: row.cost.seconds if row.cost else np.inf)
    return Plan(problem, chosen, tuple(explained), path, machine)


def cost_of(path: str, problem: Problem, machine: Machine) -> Cost:
    """Return the predicted cost of a path, with that of the dense kernels that it takes."""
    module, summed = PATHS[path], problem.summed
    cost = module.cost(summed, machine, lambda: tuple(plan_engine(part).cost for part in module.parts(summed)))
    if module.TAKES == "bank":
        return cost
    filling, count = filling_for(problem.kernel, path), n_kernels(problem)
    seconds = cost.seconds + filling.seconds(count, problem.dtype, machine)
    return Cost(seconds, cost.extra_bytes + filling.peak_bytes(count), cost.error)


def _judge(name: str, problem: Problem, machine: Machine) -> Candidate:
    path = PATHS[name]
    why_not = path.supports(problem.summed)
    if why_not is not None:
        return Candidate(name, None, why_not)
    if problem.accuracy == "componentwise" and path.ACCURACY != "componentwise":
        return Candidate(name, None, f"its error is bounded by norms: accuracy='{path.ACCURACY}' unlocks it")
    cost = cost_of(name, problem, machine)
    if problem.max_memory is not None and cost.extra_bytes > problem.max_memory:
        limit = f"it needs {cost.extra_bytes} bytes and max_memory is {problem.max_memory}"
        return Candidate(name, cost, f"{limit}: a larger max_memory unlocks it")
    return Candidate(name, cost, None)


def _explain(row: Candidate, chosen: Candidate, forced: bool) -> Candidate:
    if row.why_not is not None or row.path == chosen.path or row.cost is None or chosen.cost is None:
        return row
    ratio = row.cost.seconds / chosen.cost.seconds
    if ratio < 1:
        return Candidate(row.path, row.cost, f"path='{chosen.path}' was asked for")
    asked = " (which was asked for)" if forced else ""
    return Candidate(row.path, row.cost, f"{ratio:.1f}x the chosen path's time{asked}")


def plan(
    x_shape: Sequence[int],
    weights_shape: Sequence[int],
    kernel: InterpolatedKernel,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: str = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
    path: str = "auto",
    accuracy: str = "componentwise",
    max_memory: int | None = None,
) -> Plan:
    """Return the plan for a convolution of these shapes: hold it, print it, reuse it.

    Parameters
    ----------
    x_shape, weights_shape : sequence of int
        As `conv` takes them; the plan's own `forward` and `backward` take x `(batch, channels, *spatial)` and a bank.
    kernel : InterpolatedKernel
    dtype : {"float32", "float64"}
    device : {"cpu"}
    stride, padding, padding_mode, dilation, groups, path, accuracy, max_memory
        As for `conv`.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError
        As `conv` raises them.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel(ik.grid_positions((5, 5), 2), (5, 5), "linear")
    >>> ik.plan((1, 1, 64, 64), (4, 1, 9), kernel).problem.y_shape
    (1, 4, 60, 60)
    """
    if str(np.dtype(dtype)) not in ("float32", "float64"):
        raise ValueError(f"`dtype` must be 'float32' or 'float64', got {dtype!r}.")
    if device != "cpu":
        raise ValueError(f"`device` must be 'cpu', got {device!r}.")
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, max_memory=max_memory,
    )  # fmt: skip
    problem = describe(tuple(x_shape), tuple(weights_shape), kernel, options, str(np.dtype(dtype)), device)
    return plan_problem(problem, path)
