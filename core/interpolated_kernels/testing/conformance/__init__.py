"""A conformance kit: hold another backend against the reference.

    draw        problems that cover every option of `conv`, as far as the backend supports them (`testing.drawing`)
    run         the backend on each, forward and, where there is one, backward (`backend`)
    judge       every result by the reference and its error bounds (`testing.comparison`)
    shrink      the first failure, to the smallest problem found that fails alike (`shrinking`, `simplifying`)
    report      what passed, failed and was not supported, by feature, and code that shows the failure (`report`)

Nothing here knows hypothesis, and nothing writes files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interpolated_kernels.testing.conformance.backend import Backend
from interpolated_kernels.testing.conformance.report import ConformanceError, Report, Tally
from interpolated_kernels.testing.conformance.shrinking import shrink
from interpolated_kernels.testing.drawing import BackendProblem, Drawer, find_supported
from interpolated_kernels.testing.reproducing import name_function

__all__ = ["ConformanceError", "Report", "check_backend"]

_DRAWS_A_PROBLEM = 30
"""How many problems are drawn at most for one that is supported."""


def check_backend(
    f: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    *,
    supports: Callable[[BackendProblem], bool] = lambda problem: True,
    to_device: Callable[[Any], Any] | None = None,
    to_numpy: Callable[[Any], Any] | None = None,
    arithmetic: str = "float32",
    seed: int = 0,
    n: int = 200,
) -> Report:
    """Hold a backend against the reference on n random problems, and raise unless all of its results are right.

    Parameters
    ----------
    f : callable
        `f(x, weights, kernel, **options)` returns what `conv` does; it gets every option of `conv` by name, spelt out:
        stride and dilation as tuples, padding and padding_mode in each of their forms.
    backward : callable, optional
        `backward(grad_y, x, weights, kernel, *, wrt, **options)` returns what it has of the gradients that `wrt` names,
        "x", "weights", "positions" and "widths", as attributes or keys. What is None or not there is not supported.
    supports : callable
        Of a problem: whether the backend can serve it. A problem has `x_shape`, `weights_shape`, `kernel`, `dtype`,
        `options` (what f gets, and `pads`: the padding as pairs), `out_shape`, and `data`: "normal", "exact",
        "non-finite", "holes" or "wide".
    to_device, to_numpy : callable, optional
        Turn a NumPy array into what the backend takes, and its results into NumPy arrays. By default arrays pass as
        they are, and tensors come back without their gradients.
    arithmetic : {"float32", "float64", "tf32", "float16", "bfloat16"}
        What the backend computes in, see `error_bound`. Arrays are float64 for float64, else float32, of numbers that
        the arithmetic has; a result may have its dtype.
    seed, n : int
        Which problems, and how many that are supported.

    Returns
    -------
    Report
        Print it for a table of passed, failed and not supported by feature.

    Raises
    ------
    AssertionError
        Where a result is wrong: with the table, the smallest failing problem that was found, and its code.
    ValueError
        For an unknown arithmetic, n below 1, or if `supports` refuses every problem.
    """
    if n < 1:
        raise ValueError(f"`n` must be at least 1, got {n}.")
    backend, drawer, tally = Backend(f, backward, to_device, to_numpy, arithmetic), Drawer(seed, arithmetic), Tally()
    first = None
    for _ in range(_DRAWS_A_PROBLEM * n):
        if tally.count == n:
            break
        problem = drawer.draw()
        nearest = find_supported(problem, supports)
        if nearest is not problem:
            tally.refuse(problem.features)
        if nearest is not None:
            verdict = backend.judge(drawer.draw_trial(nearest))
            tally.add(nearest.features, verdict.ratios, [failure.quantity for failure in verdict.failures])
            first = first or verdict.failure
    if not tally.count:
        raise ValueError(
            f"`supports` must serve some problem, and refused all of {_DRAWS_A_PROBLEM * n} that were drawn."
        )
    report = tally.report(name_function(f), arithmetic, seed)
    if first is not None:
        smallest = shrink(first, backend, supports)
        raise ConformanceError(report, smallest, backend.write_program(smallest))
    return report
