"""Every cell of a window that can be other than zero is a tap: the window's cost, at close to the machine's rate.

x is packed once: padded, each row split by the phase of the column's stride, so that the outputs of a row read
neighbours whatever the stride. The gradient by x is the same loop over y's gradient, once for every phase of the
strides, with the taps that reach that phase.

An example in one dimension, a window of 3 cells with stride 2 over 7 cells in float64, four values a vector, without
padding: `y[i] = w[0] x[2 i] + w[1] x[2 i + 1] + w[2] x[2 i + 2]`, three outputs::

    packed     x0 x2 x4 x6  . | x1 x3 x5  .  .      "." is zero: whole vectors may be read
    place       0  1  2  3  4 |  5  6  7  8  9
                even columns  |  odd columns        the phases of the stride, one after the other

    tap        reads from     outputs 0, 1, 2 meet
    w[0]       offset 0       x0 x2 x4              output i reads at i + offset: one load at any
    w[1]       offset 5       x1 x3 x5              alignment gives a vector of outputs its inputs
    w[2]       offset 1       x2 x4 x6

A further channel lies a step of whole packed rows behind, and its taps' offsets are larger by that step. A block is up
to four filters that have the same taps; their weights are packed tap by tap, so that a tile reads them in order. With
two filters `v` and `w`::

    weights    v[0] w[0]  v[1] w[1]  v[2] w[2]

The gradient by x is two passes over y's gradient `0 g0 g1 g2 0 ...`: even cells meet the taps 2 and 0, odd ones tap 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from interpolated_kernels.machine import Machine
from interpolated_kernels.paths.common import Cost, count_taps, no_parts, predict_tap_rate, predict_traffic
from interpolated_kernels.paths.direct.bands import find_bands
from interpolated_kernels.paths.direct.on_cuda import make_dense_maps, prepare_direct_on_cuda
from interpolated_kernels.paths.direct.prepared import prepare_direct
from interpolated_kernels.paths.path import Part, Prepared
from interpolated_kernels.problem import Problem
from interpolated_kernels.tile_sizes import count_lanes

__all__ = ["ACCURACY", "SUMS_IN", "TAKES", "cost", "parts", "prepare", "supports"]

ACCURACY = "componentwise"
TAKES = "dense"
SUMS_IN: str | None = None
parts = no_parts


def supports(problem: Problem) -> str | None:
    """Serve every problem, wherever its arrays live."""
    return None


def cost(problem: Problem, machine: Machine, parts: Callable[[], tuple[Cost, ...]]) -> Cost:
    """Predict the taps at the rate of register tiles, the tiles' own work, and the packing of x."""
    if problem.device != "cpu":
        return make_dense_maps(problem).predict(machine)
    itemsize = np.dtype(problem.dtype).itemsize
    sample_bytes = itemsize * problem.channels * int(np.prod(problem.padded))
    lanes, columns = count_lanes(problem.dtype), max(problem.out_spatial[-1], 1)
    whole = -(-columns // lanes) * lanes / columns
    vectors = problem.filters * float(np.prod(problem.out_spatial, dtype=np.float64)) * whole / lanes
    shares = len(problem.window) > 1 and problem.window[-2] >= 8 and bool(problem.support.all())
    seconds = 4 * machine.call_seconds + 8 * sample_bytes / itemsize / machine.bytes_per_second
    seconds += 1.25 * count_taps(problem) * whole / predict_tap_rate(problem, machine, shares)
    seconds += machine.task_seconds * (problem.groups + 0.04 * vectors / min(4, problem.filters_per_group))
    return Cost(
        seconds + predict_traffic(problem, machine), find_bands(problem).nbytes, f"componentwise, {problem.dtype}"
    )


def prepare(problem: Problem, parts: tuple[Part, ...] = ()) -> Prepared:
    """Lay out the buffers and the taps of the three computations."""
    return prepare_direct(problem) if problem.device == "cpu" else prepare_direct_on_cuda(problem)
