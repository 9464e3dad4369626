"""Splats: every anchor spreads a product of one profile an axis around its real position."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.interpolation.base import Interpolator
from interpolated_kernels.interpolation.elementwise import NUMPY, Functions
from interpolated_kernels.interpolation.parameters import flag

SMALLEST_SUM = 1e-7
_SMALLEST_SIGMA = 0.27


@dataclass(frozen=True)
class Profiles:
    """The profiles along one axis, `(..., n, cells)`, and their slopes by position and by width, or None."""

    values: FloatArray
    by_position: FloatArray
    by_width: FloatArray


class Splat(Interpolator):
    """An interpolator whose matrix is, anchor by anchor, a product of one profile an axis.

    With `t = cell - position`, `A[cell, a] = prod over axes of p(t, width) / (sum of that over the window + 1e-7)`;
    without the division where `normalized` is False. Anchors may coincide, and may stand anywhere: one that reaches no
    cell is dead. `densify` builds kernels from the profiles alone, by the loops of the same name.

    Attributes
    ----------
    default_width : float or None
        What widths are where the kernel has none; None for a profile without a width.
    reach : float
        How far a profile reaches beyond its absolute width, in cells; infinity for all cells.
    """

    normalized: bool
    default_width: ClassVar[float | None] = None
    reach: ClassVar[float] = math.inf

    def profiles(self, offsets: FloatArray, widths: FloatArray) -> Profiles:
        """Return the profiles at `offsets` `(..., n, cells)` from anchors of `widths` `(..., n, 1)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `profiles(offsets, widths)`.")

    def profile(self, functions: Functions, offsets: Any, widths: Any) -> Any:
        """Return the values of `profiles` in any library's arrays, whose own derivatives are its slopes."""
        raise NotImplementedError(f"{type(self).__name__} must define `profile(functions, offsets, widths)`.")

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A` by its definition, cell by cell."""
        values = [axis.values for axis in self._axes(positions, window, widths)]
        by_anchor = functools.reduce(_outer, values)
        if self.normalized:
            by_anchor = by_anchor / (by_anchor.sum(axis=1, keepdims=True) + SMALLEST_SUM)
        return np.ascontiguousarray(by_anchor.T)

    def sum_of_squares(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> float:
        """Return the sum of the squares of all entries of `A`, from the profiles alone."""
        values = [axis.values for axis in self._axes(positions, window, widths)]
        squares = functools.reduce(np.multiply, [np.square(profile).sum(axis=-1) for profile in values])
        if self.normalized:
            squares = squares / np.square(
                functools.reduce(np.multiply, [profile.sum(axis=-1) for profile in values]) + SMALLEST_SUM
            )
        return float(squares.sum())

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and, where the profile has a width, by widths."""
        axes, grad = self._axes(positions, window, widths), grad_matrix.T
        values = [axis.values for axis in axes]
        if self.normalized:
            product = functools.reduce(_outer, values)
            total = product.sum(axis=1, keepdims=True) + SMALLEST_SUM
            grad = grad / total - ((grad * product).sum(axis=1, keepdims=True) / total**2)
        grad_positions, grad_widths = np.empty_like(positions), np.empty_like(positions)
        for axis, profiles in enumerate(axes):
            for slopes, out in ((profiles.by_position, grad_positions), (profiles.by_width, grad_widths)):
                out[:, axis] = (functools.reduce(_outer, [*values[:axis], slopes, *values[axis + 1 :]]) * grad).sum(
                    axis=1
                )
        return grad_positions, None if self.default_width is None else grad_widths

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the cells that lie within some anchor's reach along every axis."""
        return self.supports(positions[None], window, None if widths is None else widths[None])[0]

    def supports(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray:
        """Return the supports of many position sets `(sets, n, d)` at once; a single one where all reach all cells."""
        if self.reach == math.inf:
            return np.ones((1, *window), dtype=bool)
        reached = np.zeros((len(positions), *window), dtype=bool)
        spread = np.abs(self.full_widths(positions, widths)) + self.reach
        for anchor in range(positions.shape[1]):
            along = [
                np.abs(np.arange(cells) - positions[:, anchor, axis, None]) < spread[:, anchor, axis, None]
                for axis, cells in enumerate(window)
            ]
            reached |= functools.reduce(lambda left, right: left[..., None] & _aligned(right, left.ndim), along)
        return reached

    def full_widths(self, positions: FloatArray, widths: FloatArray | None) -> FloatArray:
        """Return widths in the positions' shape: those of the kernel, or the default."""
        return np.full(positions.shape, self.default_width or 0.0) if widths is None else widths

    def _axes(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> list[Profiles]:
        full = self.full_widths(positions, widths)
        return [
            self.profiles(np.arange(cells) - positions[:, axis, None], full[:, axis, None])
            for axis, cells in enumerate(window)
        ]


@dataclass(frozen=True)
class Gaussian(Splat):
    """Every anchor is a Gaussian bump: `p(t, s) = exp(-(t / (abs(s) + 0.27))^2 / 2)`, widths `s` 0.23 by default.

    Parameters
    ----------
    normalized : bool, default True
        Each anchor's bump sums to one over the window (but for 1e-7).

    Notes
    -----
    Differentiable by positions and widths; the derivative by a width of exactly 0 is 0, as that of its absolute value.

    Source: Khalfaoui-Hassani, Pellegrini and Masquelier, "Dilated Convolution with Learnable Spacings: beyond bilinear
    interpolation", 2023, equations 6 and 7; version "gauss" of the package dcls 0.1.1.
    """

    normalized: bool = flag(True)

    differentiable_by: ClassVar[tuple[str, ...]] = ("positions", "widths")
    width_axes: ClassVar[int | None] = 1
    default_width: ClassVar[float | None] = 0.23

    def find_profile(self) -> str | None:
        """Return the name of these bumps, but not for a subclass, which may have others."""
        return "gaussian" if type(self) is Gaussian else None

    def profile(self, functions: Functions, offsets: Any, widths: Any) -> Any:
        """Return the bumps."""
        scaled = offsets / (functions.abs(widths) + _SMALLEST_SIGMA)
        return functions.exp(-(scaled * scaled) / 2)

    def profiles(self, offsets: FloatArray, widths: FloatArray) -> Profiles:
        """Return the bumps and their slopes."""
        values, sigma = self.profile(NUMPY, offsets, widths), np.abs(widths) + _SMALLEST_SIGMA
        scaled = offsets / sigma
        slopes = values * scaled / sigma
        return Profiles(values, slopes, slopes * scaled * np.sign(widths))


@dataclass(frozen=True)
class Triangle(Splat):
    """Every anchor is a tent: `p(t, s) = max(0, abs(s) + 1 - abs(t))`, widths `s` 0 by default.

    Parameters
    ----------
    normalized : bool, default True
        Each anchor's tent sums to one over the window (but for 1e-7).

    Notes
    -----
    Differentiable by positions and widths. At a kink, a tip on a cell's centre, an edge on one, or a width of exactly
    0, the derivative is 0, as that of `abs` and `max(0, .)` in the frameworks.

    Source: as for `Gaussian`, equations 4 and 5; version "max" of the package dcls 0.1.1.
    """

    normalized: bool = flag(True)

    differentiable_by: ClassVar[tuple[str, ...]] = ("positions", "widths")
    width_axes: ClassVar[int | None] = 1
    default_width: ClassVar[float | None] = 0.0
    reach: ClassVar[float] = 1.0

    def find_profile(self) -> str | None:
        """Return the name of these tents, but not for a subclass, which may have others."""
        return "triangle" if type(self) is Triangle else None

    def profile(self, functions: Functions, offsets: Any, widths: Any) -> Any:
        """Return the tents."""
        return functions.relu(functions.abs(widths) + 1.0 - functions.abs(offsets))

    def profiles(self, offsets: FloatArray, widths: FloatArray) -> Profiles:
        """Return the tents and their slopes."""
        values = self.profile(NUMPY, offsets, widths)
        inside = values > 0
        return Profiles(values, np.where(inside, np.sign(offsets), 0.0), np.where(inside, np.sign(widths), 0.0))


@dataclass(frozen=True)
class Bilinear(Splat):
    """Every anchor is shared by its neighbouring cells: `p(t) = max(0, 1 - abs(t))`; linear in 1-D, trilinear in 3-D.

    Parameters
    ----------
    normalized : bool, default True
        Each anchor's share sums to one over the window (but for 1e-7), beyond the border too.

    Notes
    -----
    Differentiable by positions. At a whole position the profile has a kink: there the derivative is 0 where
    `normalized`, as that of `abs` in the frameworks, and else the one towards larger positions, as that of
    `position - floor(position)`.

    Source: Khalfaoui-Hassani, Pellegrini and Masquelier, "Dilated Convolution with Learnable Spacings", 2023,
    equation 2; versions "v1" and, not normalized, "v0" of the package dcls 0.1.1.
    """

    normalized: bool = flag(True)

    differentiable_by: ClassVar[tuple[str, ...]] = ("positions",)
    reach: ClassVar[float] = 1.0

    def find_profile(self) -> str | None:
        """Return the name of these shares, but not for a subclass, which may have others."""
        return ("triangle" if self.normalized else "share") if type(self) is Bilinear else None

    def profile(self, functions: Functions, offsets: Any, widths: Any) -> Any:
        """Return the shares; not `normalized`, with the derivative of `position - floor(position)` at a kink."""
        if self.normalized:
            return functions.relu(1.0 - functions.abs(offsets))
        rising, falling = (offsets > 0) & (offsets <= 1), (offsets > -1) & (offsets <= 0)
        return functions.where(
            rising, 1.0 - offsets, functions.where(falling, 1.0 + offsets, 0.0 * functions.abs(offsets))
        )

    def profiles(self, offsets: FloatArray, widths: FloatArray) -> Profiles:
        """Return the shares and their slopes."""
        values = self.profile(NUMPY, offsets, widths)
        if self.normalized:
            slopes = np.where(values > 0, np.sign(offsets), 0.0)
        else:
            slopes = np.where((offsets > 0) & (offsets <= 1), 1.0, 0.0) - ((offsets > -1) & (offsets <= 0))
        return Profiles(values, slopes, np.zeros_like(values))


def _outer(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return `(n, k * m)` products of `(n, k)` and `(n, m)`, anchor by anchor."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def _aligned(values: BoolArray, n_dims: int) -> BoolArray:
    """Return `(sets, cells)` as `(sets, 1, ..., cells)` with one axis more than `n_dims`."""
    return values.reshape(len(values), *(1,) * (n_dims - 1), -1)
