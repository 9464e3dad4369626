"""Problem to plan: every path's predicted cost, the choice, and its explanation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.densify import Gradients, bank_gradients, check_wrt
from interpolated_kernels.geometry import Problem, describe
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.machine import Machine, current_machine
from interpolated_kernels.paths import PATHS, Cost


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
    def _state(self) -> Any:
        problem = self.problem.summed
        return PATHS[self.path].prepare(problem, tuple(map(plan_problem, PATHS[self.path].parts(problem))))

    @functools.cached_property
    def _module(self) -> Any:
        return PATHS[self.path]

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
        return self.convolve(*self._inputs(x, weights))

    def convolve(self, x: FloatArray, weights: FloatArray) -> FloatArray:
        """Return y for arrays that are already as planned: C-contiguous, of the planned shapes and compute dtype."""
        problem = self.problem
        bank = weights.reshape(problem.filters, -1, problem.kernel.n_anchors)
        y: FloatArray = self._module.forward(self._state, self._sum_channels(x), bank)
        return y if y.dtype == x.dtype else y.astype(x.dtype)

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
        x, weights = self._inputs(x, weights)
        bank = weights.reshape(self.problem.filters, -1, self.problem.kernel.n_anchors)
        grad_y = self._as_planned("grad_y", grad_y, self.problem.y_shape)
        moves = "positions" in wrt or "widths" in wrt
        found = self._linear(
            grad_y, x, bank, [name for name in wrt if name == "x" or (name == "weights" and not moves)]
        )
        by_anchors = Gradients()
        if moves:
            by_anchors = bank_gradients(self._grad_dense(grad_y, x), bank, self.problem.kernel, wrt)
            found["weights"] = by_anchors.weights
        grads: dict[str, FloatArray] = {}
        if "x" in wrt:
            grads["x"] = self._spread_channels(found["x"].astype(self.problem.dtype, copy=False))
        if "weights" in wrt:
            grads["weights"] = (
                found["weights"].reshape(self.problem.weights_shape).astype(self.problem.dtype, copy=False)
            )
        return replace(by_anchors, **{"weights": None, **grads})

    def transpose(self, y: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the transpose of `forward`: from y of the planned shape and dtype to what has x's.

        Raises
        ------
        ValueError
            If a shape differs from the plan's.
        """
        weights = self._as_planned("weights", weights, self.problem.weights_shape)
        bank = weights.reshape(self.problem.filters, -1, self.problem.kernel.n_anchors)
        y = self._as_planned("y", y, self.problem.y_shape)
        grad_x = np.asarray(self._linear(y, None, bank, ("x",))["x"])
        return self._spread_channels(grad_x.astype(self.problem.dtype, copy=False))

    def _linear(self, grad_y: FloatArray, x: FloatArray | None, bank: FloatArray, wrt: Sequence[str]) -> dict[str, Any]:
        """Return the gradients by x (of a group's summed channels) and the bank, in what the path sums them in."""
        if not wrt:
            return {}
        path = PATHS[self.path]
        gradients = getattr(path, "gradients", functools.partial(_each_gradient, path))
        summed = x if x is None or "weights" not in wrt else self._sum_channels(x)
        return dict(gradients(self._state, grad_y, summed, bank, wrt))

    def _grad_dense(self, grad_y: FloatArray, x: FloatArray) -> FloatArray:
        """Return the gradient by the dense kernel, `(filters, channels, *spatial_window)`, every cell of it."""
        plan, filters = self._of_cells, self.problem.filters
        cells = np.zeros(plan.problem.weights_shape, plan.problem.dtype).reshape(
            filters, -1, plan.problem.kernel.n_anchors
        )
        grad = plan._linear(grad_y, x, cells, ("weights",))["weights"]
        return np.asarray(grad).reshape(filters, -1, *self.problem.kernel.spatial_window)

    @functools.cached_property
    def _of_cells(self) -> Plan:
        """The plan for the kernel whose anchors are all cells of the window."""
        kernel = self.problem.kernel
        cells = np.indices(kernel.spatial_window).reshape(kernel.n_dims, -1).T
        mode = "separate" if kernel.interpolates_channels else kernel.channel_mode
        every = InterpolatedKernel(cells, kernel.spatial_window, "dilated", channel_mode=mode)
        return plan_problem(replace(self.problem, kernel=every))

    def _inputs(self, x: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        x = self._as_planned("x", x, self.problem.x_shape)
        return x, self._as_planned("weights", weights, self.problem.weights_shape)

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
        lines = [repr(self.problem), f"path: {self.path}  (cost model: {self.machine.name})"]
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


def _each_gradient(
    path: Any, state: Any, grad_y: FloatArray, x: FloatArray | None, bank: FloatArray, wrt: Sequence[str]
) -> dict[str, FloatArray]:
    """Return the gradients that `wrt` names, one after another, for a path whose gradients share no work."""
    found = {}
    if "x" in wrt:
        found["x"] = path.grad_x(state, grad_y, bank)
    if "weights" in wrt:
        found["weights"] = path.grad_weights(state, grad_y, x)
    return found


def _seconds(value: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


@functools.lru_cache(maxsize=512)
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
    rows = {name: _judge(name, problem) for name in PATHS}
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
    return Plan(problem, chosen, tuple(explained), path, current_machine())


def _judge(name: str, problem: Problem) -> Candidate:
    path = PATHS[name]
    why_not = path.supports(problem.summed)
    if why_not is not None:
        return Candidate(name, None, why_not)
    if problem.accuracy == "componentwise" and path.ACCURACY != "componentwise":
        return Candidate(name, None, f"its error is bounded by norms: accuracy='{path.ACCURACY}' unlocks it")
    cost = path.cost(
        problem.summed, current_machine(), lambda: tuple(plan_problem(part).cost for part in path.parts(problem.summed))
    )
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
    path: str = "auto",
    **options: Any,
) -> Plan:
    """Return the plan for a convolution of these shapes: hold it, print it, reuse it.

    Parameters
    ----------
    x_shape, weights_shape : sequence of int
        As `conv` takes them; the plan's own `forward` and `backward` take x `(batch, channels, *spatial)` and a bank.
    kernel : InterpolatedKernel
    dtype : {"float32", "float64"}
    device : {"cpu"}
    path, **options
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
    problem = describe(tuple(x_shape), tuple(weights_shape), kernel, str(np.dtype(dtype)), device=device, **options)
    return plan_problem(problem, path)
