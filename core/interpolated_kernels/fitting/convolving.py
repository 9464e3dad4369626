"""Convolutions within a memory: so many filters at a time as fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.machine import current_machine
from interpolated_kernels.memory import find_memory
from interpolated_kernels.plan import Plan
from interpolated_kernels.planning import plan_problem, predict_cost
from interpolated_kernels.problem import Problem


class Convolver:
    """Runs convolutions whose plans take at most `max_memory` bytes, and keeps what it planned."""

    def __init__(self, max_memory: int) -> None:
        self.max_memory = max_memory
        self._plans: dict[Problem, Plan] = {}

    def convolve(self, problem: Problem, x: FloatArray, bank: FloatArray, out: FloatArray) -> None:
        """Write one sample's outputs `(filters, outputs)`, some filters at a time where all of them do not fit."""
        for filters, plan in self._split(problem):
            memory = find_memory(problem.device)
            y = plan.convolve(memory.bring(np.ascontiguousarray(x)), memory.bring(np.ascontiguousarray(bank[filters])))
            out[filters] = memory.fetch(y).reshape(out[filters].shape)

    def add_gradient(self, problem: Problem, grad_y: FloatArray, x: FloatArray, out: FloatArray) -> None:
        """Add the gradient by the weights, `(filters, weights of each)`, for `(filters, outputs)`, as `convolve`."""
        for filters, plan in self._split(problem):
            part = plan.problem
            memory, nothing = find_memory(part.device), np.zeros(part.weights_shape)
            values = np.ascontiguousarray(grad_y[filters]).reshape(part.y_shape)
            values, seen, nothing = map(memory.bring, (values, np.ascontiguousarray(x), nothing))
            grad = plan.differentiate(values, seen, nothing, ("weights",)).weights
            out[filters] += 0.0 if grad is None else memory.fetch(grad).reshape(part.filters, -1)

    def _split(self, problem: Problem) -> Iterator[tuple[slice, Plan]]:
        """Yield as many filters at a time as fit, with their plan."""
        plan = self._plan(problem)
        step = plan.problem.filters
        for first in range(0, problem.filters, step):
            count = min(step, problem.filters - first)
            yield slice(first, first + count), plan if count == step else self._plan(replace(problem, filters=count))

    def _plan(self, problem: Problem) -> Plan:
        """Return the plan of the problem, or of as many of its filters as fit."""
        if problem not in self._plans:
            self._plans[problem] = self._find_plan(problem)
        return self._plans[problem]

    def _find_plan(self, problem: Problem) -> Plan:
        """Return the plan of the problem's fastest path, for half of the filters, and so on, until it fits."""
        filters = problem.filters
        while filters > 1 and count_needed_bytes(replace(problem, filters=filters), self.max_memory) > self.max_memory:
            filters = -(-filters // 2)
        free = _plan_free(replace(problem, filters=filters))
        if free.cost.extra_bytes <= self.max_memory:
            return free
        return plan_problem(replace(free.problem, max_memory=self.max_memory), free.path)


def count_needed_bytes(problem: Problem, room: int) -> int:
    """Return the bytes that the problem's fastest path takes: as many as it likes if there is room, else the fewest."""
    free = _plan_free(problem)
    if free.cost.extra_bytes <= room:
        return free.cost.extra_bytes
    return predict_cost(free.path, replace(problem, max_memory=0), current_machine(problem.device)).extra_bytes


def _plan_free(problem: Problem) -> Plan:
    """Return the plan where memory does not matter: its path is kept, with less memory and fewer filters too."""
    return plan_problem(replace(problem, max_memory=None))
