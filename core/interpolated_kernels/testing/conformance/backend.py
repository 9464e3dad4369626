"""A backend under test: run on a trial, judged by the reference, and written down as code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.testing.arithmetics import find_arithmetic
from interpolated_kernels.testing.arrays import as_array
from interpolated_kernels.testing.comparison import MismatchError, compare
from interpolated_kernels.testing.drawing import Trial
from interpolated_kernels.testing.reproducing import write_import, write_keywords, write_program
from interpolated_kernels.testing.sums import find_condition

_MOST_DERIVATIVES = 300  # entries of `A` in all: the reference takes them one by one
_MOST_CONDITION = 1e3  # of what is solved: worse, and a bound for float32 says nothing


@dataclass(frozen=True, eq=False)
class Failure:
    """One wrong result: of a trial, which quantity, and what is wrong in a sentence or two.

    `kind` tells failures apart that have different causes: a mismatch, or the type of an error that was raised.
    """

    trial: Trial
    quantity: str
    kind: str
    message: str


@dataclass(frozen=True, eq=False)
class Verdict:
    """What came of a trial: by quantity the worst ratio to the bound, None where a backend does not have it."""

    trial: Trial
    ratios: dict[str, float | None] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    @property
    def failure(self) -> Failure | None:
        """The first failure, or None."""
        return self.failures[0] if self.failures else None


@dataclass(frozen=True, eq=False)
class Backend:
    """The functions under test, and the arithmetic that they are judged by."""

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None
    to_device: Callable[[Any], Any] | None
    to_numpy: Callable[[Any], Any] | None
    arithmetic: str

    def judge(self, trial: Trial, only: str | None = None) -> Verdict:
        """Return the verdict on all of a trial's quantities, or on one of them."""
        verdict = Verdict(trial)
        quantities = ["y"] if self.backward is None else find_quantities(trial)
        wanted = [name for name in quantities if only in (None, name)]
        if "y" in wanted:
            self._judge_one(verdict, "y", lambda: self._run_forward(trial))
        gradients = [name for name in wanted if name != "y"]
        if gradients:
            self._judge_gradients(verdict, gradients)
        return verdict

    def write_program(self, failure: Failure) -> str:
        """Return the code that runs the backend on a failure's trial and compares its result."""
        trial, is_gradient = failure.trial, failure.quantity != "y"
        function = self.backward if is_gradient else self.forward
        options = write_keywords({name: repr(value) for name, value in trial.problem.conv_options.items()})
        names = (["grad_y"] if is_gradient else []) + ["x", "weights"]
        arrays = {name: array for name, array in trial.arrays.items() if name in names}
        lines, given, result = write_import("backend", function), ", ".join(names), "backend({}, kernel{})"
        if self.to_device is not None:
            lines += write_import("to_device", self.to_device)
            given = ", ".join(f"to_device({name})" for name in names)
        if is_gradient:
            name = failure.quantity.removeprefix("grad_")
            options = f", wrt=({name!r},){options}"
            lines.append(f"gradients = {result.format(given, options)}")
            result = f"gradients[{name!r}] if isinstance(gradients, dict) else gradients.{name}"
        else:
            result = result.format(given, options)
        if self.to_numpy is not None:
            lines += write_import("to_numpy", self.to_numpy)
            result = f"to_numpy({result})"
        checks = ({"quantity": failure.quantity} if is_gradient else {}) | self._find_checks(trial, failure.quantity)
        return write_program(
            trial.problem.kernel, arrays, [*lines, f"actual = {result}"], {**checks, **trial.problem.conv_options}
        )

    def _find_checks(self, trial: Trial, quantity: str) -> dict[str, Any]:
        """Return the keyword arguments of the comparison."""
        checks: dict[str, Any] = {"arithmetic": self.arithmetic}
        if find_arithmetic(self.arithmetic).rounds_factors and trial.problem.data == "normal":
            checks["quality"] = True
        if trial.is_exact and quantity in ("y", "grad_x", "grad_weights"):
            checks["exact"] = True
        return checks

    def _judge_gradients(self, verdict: Verdict, quantities: list[str]) -> None:
        try:
            gradients = self._run_backward(verdict.trial, tuple(name.removeprefix("grad_") for name in quantities))
        except Exception as error:  # whatever a backend raises is a failure of its own
            verdict.failures.append(_describe_error(verdict.trial, quantities[0], error))
            return
        for quantity in quantities:
            gradient = _pick(gradients, quantity.removeprefix("grad_"))
            if gradient is None:
                verdict.ratios[quantity] = None
            else:
                self._judge_one(verdict, quantity, lambda gradient=gradient: self._take(gradient))  # type: ignore[misc]

    def _judge_one(self, verdict: Verdict, quantity: str, compute: Callable[[], FloatArray]) -> None:
        trial, checks = verdict.trial, self._find_checks(verdict.trial, quantity)
        try:
            actual = compute()
        except Exception as error:  # whatever a backend raises is a failure of its own
            verdict.failures.append(_describe_error(trial, quantity, error))
            return
        kernel, options = trial.problem.kernel, trial.problem.conv_options
        try:
            verdict.ratios[quantity] = compare(actual, trial.arrays, kernel, quantity, options, **checks)
        except MismatchError as found:
            verdict.failures.append(Failure(trial, quantity, "mismatch", str(found)))

    def _run_forward(self, trial: Trial) -> FloatArray:
        x, weights = (self._send(trial.arrays[name]) for name in ("x", "weights"))
        with np.errstate(all="ignore"):  # of NaN and infinity that are given
            return self._take(self.forward(x, weights, trial.problem.kernel, **trial.problem.conv_options))

    def _run_backward(self, trial: Trial, wrt: tuple[str, ...]) -> Any:
        assert self.backward is not None
        grad_y, x, weights = (self._send(trial.arrays[name]) for name in ("grad_y", "x", "weights"))
        with np.errstate(all="ignore"):
            return self.backward(grad_y, x, weights, trial.problem.kernel, wrt=wrt, **trial.problem.conv_options)

    def _send(self, array: FloatArray) -> Any:
        """Return an array as the backend takes it: a copy, so that nothing it does reaches the reference."""
        return array.copy() if self.to_device is None else self.to_device(array.copy())

    def _take(self, result: Any) -> FloatArray:
        return as_array("the result", result if self.to_numpy is None else self.to_numpy(result))


def find_quantities(trial: Trial) -> list[str]:
    """Return what is asked for: gradients by anchors on normal data alone, where bounds say something."""
    kernel = trial.problem.kernel
    sets = len(kernel.collapse_sets(kernel.positions))
    entries = sets * int(np.prod(kernel.window)) * kernel.n_anchors
    by_anchors = {"positions": True, "widths": kernel.widths is not None}
    if trial.problem.data != "normal" or entries > _MOST_DERIVATIVES or not _has_gradient(trial):
        by_anchors = {}
    names = [name for name in kernel.interpolator.differentiable_by if by_anchors.get(name)]
    return ["y", *(f"grad_{name}" for name in ("x", "weights", *names))]


def _has_gradient(trial: Trial) -> bool:
    """Return whether the kernel has derivatives by positions that float32 can tell from rounding errors."""
    kernel = trial.problem.kernel
    is_degenerate = kernel.interpolator.is_spline and kernel.n_anchors <= len(kernel.window) + 1
    return not is_degenerate and find_condition(kernel) <= _MOST_CONDITION


def _pick(gradients: Any, name: str) -> Any:
    """Return a gradient by its name, from attributes or keys; None where there is none."""
    return gradients.get(name) if isinstance(gradients, Mapping) else getattr(gradients, name, None)


def _describe_error(trial: Trial, quantity: str, error: Exception) -> Failure:
    return Failure(trial, quantity, type(error).__name__, f"{quantity}: {type(error).__name__} was raised: {error}")
