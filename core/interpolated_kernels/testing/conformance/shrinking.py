"""The smallest problem that fails alike: greedy steps towards simpler trials, each kept if it still fails.

A step is kept where the same quantity fails in the same way: by a mismatch, or by an error of the same type. Steps are
tried from the boldest to the least (`simplifying`), from the first again after each that was kept, until none is left
or the backend has been run often enough.
"""

from __future__ import annotations

from collections.abc import Callable

from interpolated_kernels.testing.conformance.backend import Backend, Failure
from interpolated_kernels.testing.conformance.simplifying import simplify
from interpolated_kernels.testing.drawing import BackendProblem

_MOST_RUNS = 500


def shrink(failure: Failure, backend: Backend, supports: Callable[[BackendProblem], bool]) -> Failure:
    """Return the failure of the smallest trial found that fails as this one does."""
    runs, smallest = 0, failure
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for trial in simplify(smallest.trial):
            if runs == _MOST_RUNS:
                return smallest
            if not supports(trial.problem):
                continue
            runs += 1
            found = backend.judge(trial, only=smallest.quantity).failure
            if found is not None and found.kind == failure.kind:
                smallest, is_smaller = found, True
                break
    return smallest
