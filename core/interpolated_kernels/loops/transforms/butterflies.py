"""Butterflies: the steps of a transform, on vectors whose lanes are images of their own, so that nothing is shuffled.

A value is a vector of real parts and one of imaginary parts. All formulas are of the forward transform; the backward
one is the same with the real and the imaginary parts exchanged, which is where `real` and `imaginary` come in.

Source: Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992, sections 1.7, 2.2 to 2.4 and 4.3.
"""

from __future__ import annotations

import math
from typing import Any

from interpolated_kernels.loops.transforms.written import transpose, written

Value = tuple[Any, Any]

_SINE_OF_3 = math.sin(math.tau / 3)
_COSINES_OF_5 = math.cos(math.tau / 5), math.cos(2 * math.tau / 5)
_SINES_OF_5 = math.sin(math.tau / 5), math.sin(2 * math.tau / 5)


def _add(a: Value, b: Value) -> Value:
    return a[0] + b[0], a[1] + b[1]


def _subtract(a: Value, b: Value) -> Value:
    return a[0] - b[0], a[1] - b[1]


def _add_turned(a: Value, b: Value) -> Value:
    """Return `a + i b`."""
    return a[0] - b[1], a[1] + b[0]


def _subtract_turned(a: Value, b: Value) -> Value:
    """Return `a - i b`."""
    return a[0] + b[1], a[1] - b[0]


def _multiply(a: Value, w: Value) -> Value:
    return a[0] * w[0] - a[1] * w[1], a[1] * w[0] + a[0] * w[1]


def _scale(a: Value, factor: float) -> Value:
    return a[0] * factor, a[1] * factor


def _two(a: list[Value]) -> list[Value]:
    return [_add(*a), _subtract(*a)]


def _three(a: list[Value]) -> list[Value]:
    total = _add(a[1], a[2])
    middle, side = _subtract(a[0], _scale(total, 0.5)), _scale(_subtract(a[1], a[2]), _SINE_OF_3)
    return [_add(a[0], total), _subtract_turned(middle, side), _add_turned(middle, side)]


def _four(a: list[Value]) -> list[Value]:
    even, odd = _add(a[0], a[2]), _add(a[1], a[3])
    middle, side = _subtract(a[0], a[2]), _subtract(a[1], a[3])
    return [_add(even, odd), _subtract_turned(middle, side), _subtract(even, odd), _add_turned(middle, side)]


def _five(a: list[Value]) -> list[Value]:
    outer, inner = _add(a[1], a[4]), _add(a[2], a[3])
    outer_side, inner_side = _subtract(a[1], a[4]), _subtract(a[2], a[3])
    (c, d), (s, t) = _COSINES_OF_5, _SINES_OF_5
    first = _add(_add(a[0], _scale(outer, c)), _scale(inner, d))
    second = _add(_add(a[0], _scale(outer, d)), _scale(inner, c))
    first_side = _add(_scale(outer_side, s), _scale(inner_side, t))
    second_side = _subtract(_scale(outer_side, t), _scale(inner_side, s))
    return [
        _add(_add(a[0], outer), inner),
        _subtract_turned(first, first_side),
        _subtract_turned(second, second_side),
        _add_turned(second, second_side),
        _add_turned(first, first_side),
    ]


FORMULAS = {2: _two, 3: _three, 4: _four, 5: _five}


def make_butterfly(radix: int, has_twiddles: bool) -> Any:
    """Return a butterfly `(source, imaginary, target, twiddles, at)`: values `imaginary` floats before imaginary parts.

    All results but the first are multiplied by twiddles, except in a last pass, where these are one.
    """
    formula = FORMULAS[radix]

    def butterfly(source: Any, imaginary: Any, target: Any, twiddles: Any, at: Any) -> None:
        values = formula([(source.load(k), source.load(k, imaginary)) for k in range(radix)])
        for k, value in enumerate(values):
            if has_twiddles and k:
                value = _multiply(value, (twiddles.number(at + (2 * k - 2)), twiddles.number(at + (2 * k - 1))))
            target.store(k, value[0])
            target.store(k, value[1], imaginary)

    return written(butterfly)


@written
def split_pair(source, imaginary, target, twiddles, at):
    """Write a real line's frequencies `k` and `h - k`, twice, from those of its even cells + i times its odd cells.

    `source` and `target` stand at `k`, and step to `h - k`.
    """
    a, b = ((source.load(k), source.load(k, imaginary)) for k in (0, 1))
    even = a[0] + b[0], a[1] - b[1]
    odd = _multiply((a[1] + b[1], b[0] - a[0]), (twiddles.number(at), twiddles.number(at + 1)))
    for k, value in enumerate((_add(even, odd), _subtract(even, odd))):
        target.store(k, value[0])
        target.store(k, value[1] if k == 0 else value[1] * -1.0, imaginary)


@written
def join_pair(source, imaginary, target, twiddles, at):
    """Do the reverse of `split_pair`, so that both together multiply by four."""
    a, b = ((source.load(k), source.load(k, imaginary)) for k in (0, 1))
    even = a[0] + b[0], a[1] - b[1]
    w = twiddles.number(at), twiddles.number(at + 1) * -1.0
    odd = _multiply((a[0] - b[0], a[1] + b[1]), w)
    for k, value in enumerate((_add_turned(even, odd), _subtract_turned(even, odd))):
        target.store(k, value[0])
        target.store(k, value[1] if k == 0 else value[1] * -1.0, imaginary)


def _multiply_spectra(a: Any, b: Any, imaginary: Any, signs: Any, at: Any) -> Value:
    sign = signs.number(at)
    return _multiply((a.load(0), a.load(0, imaginary)), (b.load(0), b.load(0, imaginary) * sign))


@written
def multiply(a, b, imaginary, signs, at, target):
    """Write the products of two spectra's values, of the second's conjugate ones where the sign is -1."""
    product = _multiply_spectra(a, b, imaginary, signs, at)
    target.store(0, product[0])
    target.store(1, product[1])


@written
def add_product(a, b, imaginary, signs, at, target):
    """Add what `multiply` writes."""
    product = _multiply_spectra(a, b, imaginary, signs, at)
    target.store(0, target.load(0) + product[0])
    target.store(1, target.load(1) + product[1])


@written
def add_correlation(a, b, imaginary, sums):
    """Add one spectrum's values times another's conjugate ones."""
    x, y = ((values.load(0), values.load(0, imaginary)) for values in (a, b))
    sums.store(0, sums.load(0) + x[0] * y[0] + x[1] * y[1])
    sums.store(0, sums.load(0, imaginary) + x[1] * y[0] - x[0] * y[1], imaginary)


@written
def turn(source, target):
    """Write the lanes of as many vectors as a vector has lanes as vectors."""
    for k, vector in enumerate(transpose([source.load(k) for k in range(source.lanes)])):
        target.store(k, vector)


@written
def turn_and_size(source, target, sizes):
    """Do as `turn`, and add the absolute values of what was written."""
    vectors = transpose([source.load(k) for k in range(source.lanes)])
    for k, vector in enumerate(vectors):
        target.store(k, vector)
    vectors = [abs(vector) for vector in vectors]
    while len(vectors) > 1:
        vectors = [a + b for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    sizes.store(0, sizes.load(0) + vectors[0])
