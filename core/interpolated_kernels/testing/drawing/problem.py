"""What is asked of a backend: a problem without arrays, the features that it has, and a trial with arrays."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import infer_shape
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import Options, Pairs
from interpolated_kernels.problem import Problem, describe


@dataclass(frozen=True, eq=False)
class BackendProblem:
    """One call of a backend without its arrays; what `supports` decides by.

    Attributes
    ----------
    x_shape, weights_shape : tuple of int
    kernel : InterpolatedKernel
    dtype : str
        Of all arrays.
    conv_options : dict
        Every option of `conv`, spelt out: what a backend is called with.
    data : {"normal", "exact", "non-finite", "holes", "wide"}
        What the arrays hold.

    Raises
    ------
    TypeError, ValueError
        As `conv`, for what does not fit.
    """

    x_shape: tuple[int, ...]
    weights_shape: tuple[int, ...]
    kernel: InterpolatedKernel
    dtype: str
    conv_options: dict[str, Any]
    data: str = "normal"

    def __post_init__(self) -> None:
        self.described  # noqa: B018 - what does not fit raises here

    @functools.cached_property
    def described(self) -> Problem:
        """The problem as paths know it."""
        return describe(self.x_shape, self.weights_shape, self.kernel, Options(**self.conv_options), "float64")

    @property
    def pads(self) -> Pairs:
        """The padding as (before, after) pairs, one a spatial axis."""
        return self.described.padding

    @property
    def options(self) -> dict[str, Any]:
        """The options that a backend is called with, and `pads` beside them."""
        return {**self.conv_options, "pads": self.pads}

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of y."""
        return infer_shape(np.empty(self.x_shape), np.empty(self.weights_shape), self.described.y_shape)

    @property
    def is_plain(self) -> bool:
        """Whether weights are `(n,)`: one kernel for plain arrays."""
        return len(self.weights_shape) == 1

    @functools.cached_property
    def features(self) -> dict[str, str]:
        """What the problem exercises, one word for every kind of feature."""
        problem, kernel, mode = self.described, self.kernel, self.conv_options["padding_mode"]
        sets = ("shared by all filters", "a set a filter", "a set a filter and channel")
        batch = "leading axes" if self.is_plain else ("none" if len(self.x_shape) < 2 + kernel.n_dims else None)
        return {
            "dimensions": f"{kernel.n_dims}-D",
            "channels": "plain" if self.is_plain else kernel.channel_mode,
            "positions": sets[kernel.positions.ndim - 2],
            "interpolator": type(kernel.interpolator).__name__,
            "window": _name_window(problem.window),
            "reach": "every cell" if kernel.structure.reaches_all else "cells that no anchor reaches",
            "batch": batch or str(min(problem.batch, 2)).replace("2", "more"),
            "stride": _name_steps(problem.stride),
            "dilation": _name_steps(problem.dilation),
            "groups": "1" if problem.groups == 1 else "more",
            "padding": _name_padding(self.conv_options["padding"]),
            "padding mode": mode if isinstance(mode, str) else "one an axis",
            "missing": self.conv_options["missing"],
            "data": self.data,
        }

    def __repr__(self) -> str:
        """Return one line: shapes, kernel, options and data."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.conv_options.items())
        return f"x {self.x_shape}, weights {self.weights_shape}, {self.kernel!r}, {options}, {self.data} data"


@dataclass(frozen=True, eq=False)
class Trial:
    """A problem with its arrays."""

    problem: BackendProblem
    x: FloatArray
    weights: FloatArray
    grad_y: FloatArray

    @property
    def arrays(self) -> Mapping[str, FloatArray]:
        """The arrays by name."""
        return {"x": self.x, "weights": self.weights, "grad_y": self.grad_y}

    @property
    def is_exact(self) -> bool:
        """Whether every partial sum of y and of the gradients by x and weights is exact in the problem's dtype."""
        return self.problem.data == "exact" and _fits_exactly(self)

    def replace(self, **arrays: Any) -> Trial:
        """Return a trial with some arrays changed."""
        return replace(self, **arrays)


def _fits_exactly(trial: Trial) -> bool:
    """Return whether n products of the largest numbers, in units of the finest, are whole numbers of the dtype."""
    problem, matrix = trial.problem.described, np.abs(trial.problem.kernel.matrix)
    finest = next((bits for bits in range(30) if (matrix * 2.0**bits % 1 == 0).all()), 30)
    largest = max([1.0, *(float(np.abs(array).max(initial=0.0)) for array in trial.arrays.values())])
    outputs = problem.batch * int(np.prod(problem.out_spatial))
    n = int(np.prod(problem.window)) * problem.channels * max(problem.filters, outputs) * max(1.0, matrix.max())
    shown = int(np.prod(problem.padded)) // max(1, int(np.prod(problem.spatial))) + 1
    return bool(n * shown * largest**2 * 2.0**finest <= 2.0 ** (24 if trial.problem.dtype == "float32" else 53))


def _name_window(window: tuple[int, ...]) -> str:
    parity = {cells % 2 for cells in window}
    shape = "" if len(set(window)) == 1 else ", not square"
    return ("even and odd" if len(parity) > 1 else "odd" if 1 in parity else "even") + shape


def _name_steps(steps: tuple[int, ...]) -> str:
    return "1" if set(steps) == {1} else ("more" if len(set(steps)) == 1 else "one an axis")


def _name_padding(padding: Any) -> str:
    if isinstance(padding, str):
        return padding
    return ("int", "one an axis", "pairs")[np.ndim(padding)]
