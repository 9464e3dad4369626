"""What a fit gives: weights, how well they fit, and how surely they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """Weights that were fitted, how well, and how surely; `print` it.

    Attributes
    ----------
    weights : array of float64
        `(n,)`, `(filters, channels_per_group, n)` or `(filters, n)`, as `conv` takes them.
    residual : array of float64
        The root mean square of what is left over, one a filter; a number for plain weights. Outputs that are left out
        do not count, and others by their sample weights: `sqrt(sum d (conv - y)^2 / sum d)`.
    standard_errors : array of float64
        In the weights' shape: the square roots of the diagonal of `s^2 K G K`. G is the Gram matrix, weighted by sample
        weights d, and about the columns' means where there is a constant; `K = N (N^T G N + r I)^-1 N^T` with the ridge
        r, and N an orthonormal basis of the directions that a total leaves free, I where there is none; `s^2 = sum d
        (conv - y)^2 / (outputs - unknowns)` the residual's variance. Infinity where the data leave a weight open, NaN
        where there are no more equations than unknowns.
    intercept : array of float64, or None
        The constant beside the kernel, one a filter; a number for plain weights; None where none was asked for.
    total : array of float64
        The dense kernel's sum over its cells and channels, one a filter; a number for plain weights.
    """

    weights: FloatArray
    residual: Any
    standard_errors: FloatArray
    intercept: Any = None
    total: Any = None

    def __repr__(self) -> str:
        return f"Fit(weights {self.weights.shape}, residual {_format_range(self.residual)})"

    def __str__(self) -> str:
        errors, n_open = np.ravel(self.standard_errors), int(np.isinf(self.standard_errors).sum())
        known = errors[np.isfinite(errors)]
        lines = [
            ("weights", f"{self.weights.shape}, {_format_range(self.weights)}"),
            ("kernel sum", _format_range(self.total)),
            ("intercept", _format_range(self.intercept)),
            ("residual", _format_range(self.residual)),
            ("standard errors", f"at most {known.max():.4g}" if known.size else "not known"),
            ("left open", f"{n_open} of {errors.size} weights"),
        ]
        return "\n".join(["Fit", *(f"  {name:17}{value}" for name, value in lines if value)])


def _format_range(values: Any) -> str:
    """Return a number, or the least and the largest of an array; nothing for None."""
    if values is None:
        return ""
    least, largest = np.min(values, initial=np.inf), np.max(values, initial=-np.inf)
    return f"{least:.4g}" if least == largest else f"{least:.4g} to {largest:.4g}"


def pack_fit(shape: tuple[int, ...], is_plain: bool, parts: Sequence[Mapping[str, FloatArray | None]]) -> Fit:
    """Return a `Fit` of its fields for some filters after others, a row each, with weights in the shape of a bank.

    Those of a plain kernel become `(n,)` and numbers.
    """
    fields: dict[str, Any] = {}
    for name in parts[0]:
        rows = [values for part in parts if (values := part[name]) is not None]
        joined = np.concatenate(rows) if rows else None
        if joined is None:
            fields[name] = None
        elif joined.ndim > 1:
            fields[name] = joined.reshape(-1 if is_plain else shape)
        else:
            fields[name] = float(joined[0]) if is_plain else joined
    return Fit(**fields)


def scale_errors(spread: FloatArray, squares: FloatArray, count: int, unknowns: int) -> FloatArray:
    """Return standard errors, a row a filter, from those for unit variance: infinity stays where nothing is left over.

    The variance is the sum of squares over the equations more than unknowns; NaN where there are none.
    """
    variance = squares / (count - unknowns) if count > unknowns else np.full(squares.shape, np.nan)
    is_open = np.isinf(spread)
    errors: FloatArray = np.where(is_open, 0.0, spread) * np.sqrt(variance)[:, None]
    return np.where(is_open & ~np.isnan(errors), np.inf, errors)
