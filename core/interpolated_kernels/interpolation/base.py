"""What an interpolator is: a frozen dataclass that gives the interpolation matrix for anchors in a window."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from interpolated_kernels.anchors import check_distinct
from interpolated_kernels.arrays import BoolArray, FloatArray
from interpolated_kernels.interpolation.axes import Axes
from interpolated_kernels.interpolation.local import LocalMatrix
from interpolated_kernels.interpolation.parameters import check_parameters


class _Facts:
    """What is true of an interpolator, and what holds unless its class says otherwise.

    A subclass declares a fact as a class attribute, or as a property where it depends on the options: a type checker
    lets both stand in the place of a property, and of nothing else.
    """

    if TYPE_CHECKING:

        @property
        def exact(self) -> bool: ...
        @property
        def constants(self) -> bool: ...
        @property
        def needs_grid(self) -> bool: ...
        @property
        def distinct(self) -> bool: ...
        @property
        def is_spline(self) -> bool: ...
        @property
        def whole_cells(self) -> bool: ...
        @property
        def differentiable_by(self) -> tuple[str, ...]: ...
        @property
        def width_axes(self) -> int | None: ...
    else:
        exact = constants = needs_grid = distinct = is_spline = whole_cells = False
        differentiable_by = ()
        width_axes = None


class Interpolator(_Facts):
    """Fills a window from anchors: `dense = A @ weights`, where `A` (cells x anchors) is this class's `matrix`.

    A subclass is a frozen dataclass of its options, which may have rules (`parameters`). It overrides `matrix`, or,
    where the window is filled axis by axis, derives from `TensorProduct` and overrides `axis_matrix`.

    Attributes
    ----------
    exact : bool
        The dense kernel equals the weight at every anchor on a whole cell.
    constants : bool
        Rows of `A` sum to one: equal weights give a constant kernel.
    needs_grid : bool
        The anchors must form a full rectilinear grid.
    distinct : bool
        Coincident anchors have no solution and raise.
    differentiable_by : tuple of str
        What the matrix has a derivative by, beyond the weights: "positions", "widths".
    is_spline : bool
        `A` comes from a system of equations, `solved_system`, that is factorised once: the class is a spline's.
    whole_cells : bool
        The anchors must stand on whole cells inside the window.
    width_axes : int or None
        1 where widths are shaped as positions, 0 where an anchor has one, None for an interpolator without widths.
    """

    def __post_init__(self) -> None:
        """Check the options that have rules; a subclass with one of its own calls this first."""
        check_parameters(self)

    def options(self) -> dict[str, Any]:
        """Return the options as plain values, which the class takes again and a document can hold."""
        return asdict(self)  # type: ignore[call-overload]

    def check(self, positions: FloatArray, window: tuple[int, ...]) -> str | None:
        """Raise `AnchorError` where `(n, d)` positions cannot be served; return a text to warn with, or None."""
        if self.distinct:
            check_distinct(positions)
        return None

    def check_widths(self, widths: FloatArray) -> None:
        """Raise `AnchorError` where finite widths `(..., n, d)` or `(..., n)` cannot be served."""
        return None

    def list_places(self, positions: FloatArray, window: tuple[int, ...]) -> FloatArray:
        """Return the `(k, d)` places where weights stand: the `(n, d)` anchors, and images where the class has them."""
        return positions

    def matrix(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> FloatArray:
        """Return `A`: float64, `(prod(window), n)`, cells in C order."""
        raise NotImplementedError(f"{type(self).__name__} must define `matrix(positions, window, widths)`.")

    def local_matrix(
        self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> LocalMatrix | None:
        """Return `A` by the few entries of its rows, where it has few; else None."""
        return None

    def make_row_function(
        self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> Callable[[FloatArray], FloatArray] | None:
        """Return the function from `(k, d)` cells to their rows of `A` `(k, n)`, where these can be had alone."""
        return None

    def find_axes(self, positions: FloatArray, window: tuple[int, ...]) -> Axes | None:
        """Return the matrices of the axes whose product `A` is, where it is one; else None."""
        return None

    def find_profile(self) -> str | None:
        """Return the name of the separable profile that every anchor spreads, where there are loops for it; else None.

        What derives from a class with a profile may have another one, and says so anew.
        """
        return None

    def condition(self, positions: FloatArray, window: tuple[int, ...]) -> float | None:
        """Return the condition estimate of what is solved for `A`, in the 1-norm; None where nothing is solved."""
        return None

    @property
    def gives_rows(self) -> bool:
        """Whether the class has rows of `A` alone."""
        return type(self).make_row_function is not Interpolator.make_row_function

    @property
    def gives_entries(self) -> bool:
        """Whether the class knows the few entries of the rows of `A`."""
        return type(self).local_matrix is not Interpolator.local_matrix

    def matrix_vjp(
        self, grad_matrix: FloatArray, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return the gradients by positions and widths of a loss whose gradient by `matrix` is `grad_matrix`.

        A class that names "positions" or "widths" in `differentiable_by` overrides it.

        Parameters
        ----------
        grad_matrix : (prod(window), n) array of float64
        positions, window, widths
            As passed to `matrix`: positions `(n, d)`, widths `(n, d)`, `(n,)` or None.

        Returns
        -------
        grad_positions : (n, d) array of float64
        grad_widths : array of float64 in the shape of `widths`, or None
            None where the interpolator has no widths.

        Raises
        ------
        AnchorError
            If the matrix has no derivative at these positions.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `matrix_vjp(grad_matrix, positions, window, widths)` "
            "to have gradients by positions or widths."
        )

    def kernels_vjp(
        self,
        grad_kernels: FloatArray,
        weights: FloatArray,
        positions: FloatArray,
        window: tuple[int, ...],
        widths: FloatArray | None,
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return what `matrix_vjp` does, from the gradients `(kernels, cells)` of kernels of weights `(kernels, n)`.

        The matrix' gradient is `grad_kernels^T weights`; a class that needs no array of its size overrides this.
        """
        return self.matrix_vjp(grad_kernels.T @ weights, positions, window, widths)

    def support(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the window's mask of cells that some anchor can reach, or None where only the rows of `A` tell."""
        return None

    def supports(self, positions: FloatArray, window: tuple[int, ...], widths: FloatArray | None) -> BoolArray | None:
        """Return the supports of many position sets `(sets, n, d)`, one where all have the same, or None."""
        masks = [
            self.support(each, window, None if widths is None else widths[index])
            for index, each in enumerate(positions)
        ]
        known = [mask for mask in masks if mask is not None]
        return np.stack(known) if len(known) == len(masks) else None


@functools.lru_cache(maxsize=4)
def window_cells(window: tuple[int, ...]) -> FloatArray:
    """Return the `(prod(window), d)` coordinates of a window's cells, in C order, read-only."""
    cells = np.stack(np.meshgrid(*map(np.arange, window), indexing="ij"), axis=-1)
    cells = cells.reshape(-1, len(window)).astype(np.float64)
    cells.flags.writeable = False
    return cells


def squared_distances(at: FloatArray, centres: FloatArray) -> FloatArray:
    """Return the `(k, n)` squared distances of `(k, d)` points from `(n, d)` centres; infinity where they overflow."""
    squared = np.zeros((len(at), len(centres)))
    with np.errstate(over="ignore"):
        for points, middles in zip(at.T, centres.T, strict=True):
            squared += np.square(np.subtract.outer(points, middles))
    return squared


def kronecker(matrices: list[FloatArray]) -> FloatArray:
    """Return the Kronecker product of an axis's matrices, first axis slowest."""
    return functools.reduce(np.kron, matrices)
