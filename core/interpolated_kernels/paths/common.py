"""What all paths share: a cost, its parts, and counts of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from interpolated_kernels.machine import Machine
from interpolated_kernels.options import Pairs
from interpolated_kernels.problem import Problem


@dataclass(frozen=True)
class Cost:
    """A prediction: seconds of one sample on one thread, bytes beside inputs and outputs, and the error's bound."""

    seconds: float
    extra_bytes: int
    error: str


def extend_axes(values: Sequence[int], fill: int) -> tuple[int, int, int]:
    """Return one entry each for planes, rows and columns, with `fill` for axes that are not there."""
    planes, rows, columns = (fill,) * (3 - len(values)) + tuple(values)
    return planes, rows, columns


def extend_padding(problem: Problem) -> Pairs:
    """Return the padding of planes, rows and columns, none on axes that are not there."""
    return ((0, 0),) * (3 - len(problem.padding)) + problem.padding


def predict_tap_rate(problem: Problem, machine: Machine, shares_inputs: bool = True) -> float:
    """Return the multiply-adds of taps a second: tiles of four filters load least for what they multiply."""
    outs = problem.filters_per_group
    share = 0.8 if outs >= 4 else (0.65 if outs > 1 or shares_inputs else 0.42)
    return share * machine.multiply_adds_per_second * 4 / np.dtype(problem.dtype).itemsize


def predict_traffic(problem: Problem, machine: Machine) -> float:
    """Return the seconds that writing y takes, on memory that the system has to clear first."""
    outputs = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64))
    return 2 * outputs * np.dtype(problem.dtype).itemsize / machine.bytes_per_second


def count_kernels(problem: Problem) -> int:
    """Return how many kernels the bank has: one a filter, and a channel where these have weights of their own."""
    return problem.filters * (problem.channels_per_group if problem.kernel.channel_mode == "separate" else 1)


def no_parts(problem: Problem) -> tuple[Problem, ...]:
    """Return (): a path that computes everything itself."""
    return ()


def count_taps(problem: Problem) -> int:
    """Return the multiply-adds of one sample's forward pass, every cell of the support being a tap."""
    per_output = float(problem.support.sum()) * problem.filters / len(problem.support)
    per_output *= problem.channels_per_group / problem.support.shape[1]
    return int(per_output * float(np.prod(problem.out_spatial, dtype=np.float64)))


def limit_room(problem: Problem, default: int, taken: int) -> int:
    """Return the bytes that a path may use: the default, or what `max_memory` leaves beside what is taken already."""
    return default if problem.max_memory is None else min(default, max(0, problem.max_memory - taken))
