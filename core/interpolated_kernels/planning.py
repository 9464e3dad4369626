"""Problem to plan: every path's predicted cost, the choice, and its explanation; what was planned is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from interpolated_kernels.arguments import as_shape, names_options, show
from interpolated_kernels.arrays import name_compute_dtype
from interpolated_kernels.caching import Cache
from interpolated_kernels.filling import find_filling
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.lazy import cuda_loops
from interpolated_kernels.machine import Machine, current_machine
from interpolated_kernels.missing import RenormalizedPlan, predict_renormalized
from interpolated_kernels.options import Cells, Options, Padding, PaddingMode
from interpolated_kernels.paths import ENGINES, PATHS, Cost
from interpolated_kernels.paths.common import count_kernels
from interpolated_kernels.plan import Candidate, Plan, Planner
from interpolated_kernels.problem import Problem, describe


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
        raise ValueError(f"`path` must be 'auto' or one of {', '.join(sorted(PATHS))}, got {show(path)}.")
    machine = current_machine(problem.device)
    return _PLANS.get((problem, path, machine), lambda: _make_plan(problem, path, tuple(PATHS), machine))


def plan_call(
    x_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    kernel: InterpolatedKernel,
    dtype: np.dtype[Any],
    options: Options,
    device: str = "cpu",
) -> Plan:
    """Return the plan of a call, from its arrays' shapes and result dtype: what comes again is not described again."""
    name = name_compute_dtype(dtype)
    key = (x_shape, weights_shape, kernel, name, options, device, current_machine(device))

    def make() -> Plan:
        return plan_problem(describe(x_shape, weights_shape, kernel, options, name, device), options.path)

    return _CALLS.get(key, make)


def plan_engine(problem: Problem) -> Plan:
    """Return the plan of a problem whose dense kernels are given: the cheapest path that takes these.

    Raises
    ------
    ValueError
        If no engine can serve.
    """
    machine = current_machine(problem.device)
    return _PLANS.get((problem, "engine", machine), lambda: _make_plan(problem, "auto", ENGINES, machine))


def _weigh_plan(key: object, plan: Plan) -> int:
    """Return the bytes that a plan holds beside its state."""
    kernel = plan.problem.kernel
    return 4096 + kernel.nbytes + kernel.structure.support.nbytes


_PLANS: Cache[tuple[Problem, str, Machine], Plan] = Cache(512, 64 * 2**20, _weigh_plan)
_CALLS: Cache[tuple[Any, ...], Plan] = Cache(512, 64 * 2**20, _weigh_plan)


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
    kind = RenormalizedPlan if problem.renormalizes else Plan
    return kind(problem, chosen, tuple(explained), path, machine, _PLANNER)


def predict_cost(path: str, problem: Problem, machine: Machine) -> Cost:
    """Return the predicted cost of a path, with that of the dense kernels that it takes."""
    if problem.renormalizes:
        return predict_renormalized(problem, lambda part: predict_cost(path, part, machine), path, machine)
    module, summed = PATHS[path], problem.summed
    cost = module.cost(summed, machine, lambda: tuple(plan_engine(part).cost for part in module.parts(summed)))
    if module.TAKES == "bank":
        return cost
    filling, count = find_filling(problem.kernel, path), count_kernels(problem)
    seconds = cost.seconds + filling.seconds(count, problem.dtype, machine)
    return Cost(seconds, cost.extra_bytes + filling.peak_bytes(count), cost.error)


_PLANNER = Planner(plan_problem, plan_engine, predict_cost)


def _judge(name: str, problem: Problem, machine: Machine) -> Candidate:
    path = PATHS[name]
    why_not = path.supports(problem.summed)
    if why_not is not None:
        return Candidate(name, None, why_not)
    if problem.accuracy == "componentwise" and path.ACCURACY != "componentwise":
        return Candidate(name, None, f"its error is bounded by norms: accuracy='{path.ACCURACY}' unlocks it")
    cost = predict_cost(name, problem, machine)
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


@names_options()
def plan(
    x_shape: Sequence[int],
    weights_shape: Sequence[int],
    kernel: InterpolatedKernel,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    stride: Cells = 1,
    padding: Padding = "valid",
    padding_mode: PaddingMode = "zeros",
    dilation: Cells = 1,
    groups: int = 1,
    path: str = "auto",
    accuracy: str = "componentwise",
    missing: str = "propagate",
    max_memory: int | None = None,
) -> Plan:
    """Return the plan for a convolution of these shapes: hold it, print it, reuse it.

    Parameters
    ----------
    x_shape, weights_shape : sequence of int
        As `conv` takes them; the plan's own `forward` and `backward` take x `(batch, channels, *spatial)` and a bank.
    kernel : InterpolatedKernel
    dtype : {"float32", "float64"}
    device : str
        "cpu", "cuda" for the current GPU, or "cuda:1" for the one of that number.
    stride, padding, padding_mode, dilation, groups, path, accuracy, missing, max_memory
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
    device = as_device(device)
    options = Options(
        stride=stride, padding=padding, padding_mode=padding_mode, dilation=dilation, groups=groups, path=path,
        accuracy=accuracy, missing=missing, max_memory=max_memory,
    )  # fmt: skip
    shapes = as_shape("x_shape", x_shape), as_shape("weights_shape", weights_shape)
    return plan_problem(describe(*shapes, kernel, options, _name_dtype(dtype), device), options.path)


def as_device(device: Any) -> str:
    """Return a device as problems name it, the current GPU with its number; raise `ValueError` for what is none."""
    if device == "cuda":
        return f"cuda:{cuda_loops.current_device()}"
    if not isinstance(device, str) or not re.fullmatch(r"cpu|cuda:\d+", device):
        raise ValueError(f"`device` must be 'cpu', 'cuda' or 'cuda:' and a number, got {show(device)}.")
    return device


def _name_dtype(dtype: Any) -> str:
    """Return the name of a dtype that loops compute in, of its name or of the dtype itself."""
    try:
        name = "" if dtype is None else np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in ("float32", "float64"):
        raise ValueError(f"`dtype` must be 'float32' or 'float64', got {show(dtype)}.")
    return name
