"""What all paths share: a cost, its parts, and counts of the work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from interpolated_kernels.arrays import IntArray
from interpolated_kernels.machine import Machine
from interpolated_kernels.padding import index_axis
from interpolated_kernels.problem import Problem

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Cost:
    """A prediction: seconds of one sample on one thread, bytes beside inputs and outputs, and the error's bound."""

    seconds: float
    extra_bytes: int
    error: str


def extend_axes(values: Sequence[Entry], fill: Entry) -> tuple[Entry, Entry, Entry]:
    """Return one entry each for planes, rows and columns, with `fill` for axes that are not there."""
    planes, rows, columns = (fill,) * (3 - len(values)) + tuple(values)
    return planes, rows, columns


def index_axes(problem: Problem) -> tuple[IntArray, IntArray, IntArray]:
    """Return `padding.index_axis` of planes, rows and columns; an axis that is not there shows its one cell."""
    return extend_axes([index_axis(problem, axis) for axis in range(len(problem.spatial))], np.zeros(1, np.int64))


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
