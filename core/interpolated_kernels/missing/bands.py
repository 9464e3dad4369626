"""How a problem with missing cells is cut, and what that takes: samples and outputs that are computed at a time."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from interpolated_kernels.filling import find_filling
from interpolated_kernels.machine import Machine
from interpolated_kernels.paths import Cost
from interpolated_kernels.paths.common import count_kernels, limit_room
from interpolated_kernels.problem import Problem

_BYTES_OF_BAND = 48 * 2**20
"""What a band's own arrays may take: an outer cache, and many times what bands share of x."""

_LINES_OF_BLOCK = 64
"""Paths work in blocks of up to so many lines: bands of whole ones leave no short block."""


@dataclass(frozen=True)
class Band:
    """Some samples and some outputs along the first spatial axis."""

    samples: slice
    first: int
    lines: int


@dataclass(frozen=True)
class Bands:
    """How a problem is cut: so many samples, and so many outputs along the first spatial axis, at a time.

    `nbytes` is what a band's own arrays take, beside what its plan does.
    """

    samples: int
    lines: int
    nbytes: int

    def walk(self, problem: Problem) -> Iterator[Band]:
        """Yield the bands of a problem in order."""
        starts = range(0, problem.batch, self.samples), range(0, problem.out_spatial[0], self.lines)
        for sample, first in itertools.product(*starts):
            end = min(sample + self.samples, problem.batch)
            yield Band(slice(sample, end), first, min(self.lines, problem.out_spatial[0] - first))


def describe_band(problem: Problem, samples: int, lines: int, room: int | None) -> Problem:
    """Return the problem of so many samples and outputs along the first axis, whose padding is there already.

    `room` is what is left of `max_memory` for its path.
    """
    return replace(problem.summed.cut([lines]), batch=samples, missing="propagate", max_memory=room)


def find_room(problem: Problem, bands: Bands) -> int | None:
    """Return what `max_memory` leaves for a band's path."""
    return None if problem.max_memory is None else max(0, problem.max_memory - bands.nbytes)


def choose_bands(problem: Problem, predict: Callable[[Problem], Cost]) -> Bands:
    """Return the largest bands that stay in the cache, and within `max_memory` together with what their path takes."""
    n_lines = problem.out_spatial[0]
    room = limit_room(problem, _BYTES_OF_BAND, _count_kernel_bytes(problem))
    lines = max(1, bisect.bisect_right(range(1, n_lines + 1), room, key=lambda lines: _count_bytes(problem, lines)))
    samples = max(1, min(problem.batch, room // _count_bytes(problem, n_lines))) if lines == n_lines else 1
    if _LINES_OF_BLOCK < lines < n_lines:
        lines -= lines % _LINES_OF_BLOCK
    bands = _make_bands(problem, samples, lines)
    while problem.max_memory is not None and bands.samples * bands.lines > 1:
        if bands.nbytes + predict_extra(problem, bands, predict) <= problem.max_memory:
            break
        bands = _make_bands(problem, -(-bands.samples // 2), bands.lines if bands.samples > 1 else -(-bands.lines // 2))
    return bands


def predict_extra(problem: Problem, bands: Bands, predict: Callable[[Problem], Cost]) -> int:
    """Return the bytes that the paths of the bands take, the last one's with them."""
    room, rest = find_room(problem, bands), problem.out_spatial[0] % bands.lines
    sizes = (bands.lines, rest) if rest else (bands.lines,)
    return max(predict(describe_band(problem, 2 * bands.samples, lines, room)).extra_bytes for lines in sizes)


def predict_renormalized(problem: Problem, predict: Callable[[Problem], Cost], path: str, machine: Machine) -> Cost:
    """Predict a path's two runs for one sample on one thread, the way of x and y through memory, and all bytes."""
    plain = predict(replace(problem, missing="propagate", max_memory=None))
    itemsize = np.dtype(problem.dtype).itemsize
    cells, outputs = float(np.prod(problem.x_shape[1:])), float(np.prod(problem.y_shape[1:]))
    if path == "reference":
        # numerator, denominator and a count, all sums of float64, all channels apart
        extra = 3 * plain.extra_bytes * problem.n_summed
        return Cost(3 * plain.seconds, extra, f"{plain.error}; a quotient")
    seconds = 2 * plain.seconds + (3 * cells + 5 * outputs) * itemsize / machine.bytes_per_second
    bands = choose_bands(problem, predict)
    return Cost(seconds, bands.nbytes + predict_extra(problem, bands, predict), f"{plain.error}; a quotient")


def _make_bands(problem: Problem, samples: int, lines: int) -> Bands:
    return Bands(samples, lines, samples * _count_bytes(problem, lines) + _count_kernel_bytes(problem))


def _count_kernel_bytes(problem: Problem) -> int:
    """Return the bytes of the dense kernels in float64 and of making them."""
    return find_filling(problem.kernel).peak_bytes(count_kernels(problem))


def _count_bytes(problem: Problem, lines: int) -> int:
    """Return the bytes of one sample's own arrays: values, mask, sums, their gradients and x's, counts of cells."""
    band = describe_band(problem, 1, lines, None)
    cells, outputs = int(np.prod(band.x_shape)), int(np.prod(band.y_shape))
    widest = max(
        int(np.prod([*band.out_spatial[:axis], band.padded[axis], *band.spatial[axis + 1 :]]))
        for axis in range(len(band.spatial))
    )
    counted = 3 * 4 * band.groups * widest
    return np.dtype(problem.dtype).itemsize * (3 * cells + 4 * outputs) + counted
