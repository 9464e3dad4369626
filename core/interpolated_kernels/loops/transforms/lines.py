"""Transforms of lines of complex values, all lanes at once: passes of butterflies from one row to another.

    radices of 12 = 4 * 3     source --4--> near --3--> target         real parts: one vector a value, and behind it
    of 128 = 4 * 4 * 4 * 2    source -> near -> far -> near -> target  one of imaginary parts, `imaginary` floats on

Every pass writes its results where the next one reads them in order (Stockham), so no order has to be mended.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from interpolated_kernels.loops.compile.apart import apart
from interpolated_kernels.loops.compile.jit import jit
from interpolated_kernels.loops.compile.tables import Floats, Numbers
from interpolated_kernels.loops.tiles.register import lanes_in
from interpolated_kernels.loops.transforms.butterflies import FORMULAS, make_butterfly
from interpolated_kernels.loops.transforms.written import Strip

RADICES = (4, 5, 3, 2)


class Passes(NamedTuple):
    """A transform's length and what its passes multiply by."""

    length: int
    n_radices: int
    radices: Numbers
    twiddles: Floats


def find_passes(length: int) -> Passes:
    """Return the passes of a transform of a length that has no prime factor above 5, twiddles in float64."""
    radices, left = [], length
    for radix in RADICES:
        while left % radix == 0:
            radices.append(radix)
            left //= radix
    twiddles = [np.zeros(0)]
    left = length
    for radix in radices:
        steps = np.arange(left // radix)[:, None] * np.arange(1, radix)
        twiddles.append(turns(steps, left))
        left //= radix
    return Passes(length, len(radices), np.array(radices, np.int64), np.concatenate(twiddles))


def turns(steps: Any, length: int) -> Any:
    """Return `exp(-2 pi i steps / length)`, real and imaginary parts in turn."""
    return np.exp(-2j * np.pi * np.asarray(steps) / length).view(np.float64).ravel()


def _make_pass(radix: int, has_twiddles: bool) -> Any:
    butterfly = make_butterfly(radix, has_twiddles)

    @jit(inner=True)
    def run(source, target, imaginary, twiddles, at, count, together):
        """Do `count` times `together` butterflies, the latter of the same twiddles."""
        step, to_step = source.step * together * count, target.step * together
        for p in range(count):
            for q in range(together):
                butterfly(
                    Strip(source.data, source.start + (q + together * p) * source.step, step),
                    imaginary,
                    Strip(target.data, target.start + (q + together * radix * p) * target.step, to_step),
                    twiddles,
                    at + p * 2 * (radix - 1),
                )

    return run


_TURNING_2, _TURNING_3, _TURNING_4, _TURNING_5 = (_make_pass(radix, True) for radix in sorted(FORMULAS))
_LAST_2, _LAST_3, _LAST_4, _LAST_5 = (_make_pass(radix, False) for radix in sorted(FORMULAS))


@jit(inner=True)
def _run_pass(radix, source, target, imaginary, twiddles, at, count, together):
    if radix == 4:
        _TURNING_4(source, target, imaginary, twiddles, at, count, together)
    elif radix == 5:
        _TURNING_5(source, target, imaginary, twiddles, at, count, together)
    elif radix == 3:
        _TURNING_3(source, target, imaginary, twiddles, at, count, together)
    else:
        _TURNING_2(source, target, imaginary, twiddles, at, count, together)


@jit(inner=True)
def _run_last_pass(radix, source, target, imaginary, twiddles, together):
    if radix == 4:
        _LAST_4(source, target, imaginary, twiddles, 0, 1, together)
    elif radix == 5:
        _LAST_5(source, target, imaginary, twiddles, 0, 1, together)
    elif radix == 3:
        _LAST_3(source, target, imaginary, twiddles, 0, 1, together)
    else:
        _LAST_2(source, target, imaginary, twiddles, 0, 1, together)


@apart("transform_line", family="transforms")
def transform_line(passes: Passes, source: Strip, target: Strip, imaginary: int, near: Floats, far: Floats) -> None:
    """Write the transform of a line, forward, or backward where its starts are of imaginary parts.

    `imaginary` is how far behind the real parts the imaginary ones are, negative if backward. The source may be `far`.
    """
    lanes = lanes_in(near)
    start = max(0, -imaginary)
    together, at = 1, 0
    for k in range(passes.n_radices - 1):
        radix = passes.radices[k]
        count = passes.length // (together * radix)
        to = Strip(near if k % 2 == 0 else far, start, 2 * lanes)
        _run_pass(radix, source, to, imaginary, passes.twiddles, at, count, together)
        source = to
        at += 2 * (radix - 1) * count
        together *= radix
    _run_last_pass(passes.radices[passes.n_radices - 1], source, target, imaginary, passes.twiddles, together)
