"""Arithmetics that a result may have been computed in: how the factors of every product are rounded, and its sums.

`float64` and `float32` compute throughout in one dtype. The narrower ones mean products of inputs that were rounded to
them, summed in float32: what matrix units do. There every product is off by two roundings of its factors, and what
follows is off by as much as in float32, so with v the unit roundoff of the factors and u that of the sums,

    abs(y - reference) <= ((1 + v)^2 (1 + gamma(n + m + 4d)) - 1) S + underflow,

whatever the data. A result may also be rounded to `float16` or `bfloat16` in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from interpolated_kernels.arguments import check_choice
from interpolated_kernels.arrays import FloatArray


@dataclass(frozen=True)
class Arithmetic:
    """How products are made and summed.

    Attributes
    ----------
    name : str
        As it is asked for.
    digits : int
        Significant bits of a factor.
    least_exponent : int
        The smallest positive factor is 2 to this power.
    sums : {"float32", "float64"}
        What products are summed in; the dtype of the arrays.
    is_dtype : bool
        Whether a result may be of this dtype too.
    """

    name: str
    digits: int
    least_exponent: int
    sums: str
    is_dtype: bool = True

    @property
    def unit(self) -> float:
        """The unit roundoff of a factor."""
        return 2.0**-self.digits

    @property
    def tiniest(self) -> float:
        """The smallest positive factor."""
        return 2.0**self.least_exponent

    @property
    def rounds_factors(self) -> bool:
        """Whether factors are narrower than sums."""
        return self.name != self.sums

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The names of the dtypes that a result may have."""
        return (self.sums, self.name) if self.is_dtype and self.rounds_factors else (self.sums,)

    def round(self, values: FloatArray) -> FloatArray:
        """Return finite and other values rounded to the nearest factor, ties to even; none is too large."""
        _, exponents = np.frexp(values)
        steps = np.ldexp(np.ones_like(values), np.maximum(exponents - self.digits, self.least_exponent))
        return np.where(np.isfinite(values), np.rint(values / steps) * steps, values).astype(values.dtype)


ARITHMETICS = {
    arithmetic.name: arithmetic
    for arithmetic in (
        Arithmetic("float64", 53, -1074, "float64"),
        Arithmetic("float32", 24, -149, "float32"),
        Arithmetic("tf32", 11, -136, "float32", is_dtype=False),
        Arithmetic("float16", 11, -24, "float32"),
        Arithmetic("bfloat16", 8, -133, "float32"),
    )
}


def find_arithmetic(name: str) -> Arithmetic:
    """Return the arithmetic of a name.

    Raises
    ------
    ValueError
        For a name that is none.
    """
    check_choice("arithmetic", name, ARITHMETICS)
    return ARITHMETICS[name]
