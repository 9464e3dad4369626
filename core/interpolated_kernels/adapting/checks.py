"""The checks that all adapters share: the same mistake is the same error in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from interpolated_kernels import arguments
from interpolated_kernels.adapting.spreading import can_spread
from interpolated_kernels.arguments import check_choice, check_floating
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.problem import check_kernel as check_type

ENGINES = ("auto", "native", "numba")
DATA_FORMATS = ("channels_first", "channels_last")


def check_kernel(kernel: Any, n_dims: int | None = None, owner: str = "") -> None:
    """Raise unless `kernel` is one, and of as many spatial axes as its owner, a layer's class, has.

    Raises
    ------
    TypeError, ValueError
        If not.
    """
    check_type(kernel)
    if n_dims is not None and n_dims != kernel.n_dims:
        raise ValueError(f"`kernel` must have {n_dims} spatial axes for {owner}, got {kernel!r}.")


def check_engine(engine: Any, path: str = "auto") -> None:
    """Raise `ValueError` for an unknown engine, or where "native", by name or chosen, gets the name of a path."""
    check_choice("engine", engine, ENGINES)
    if engine == "native" and path != "auto":
        raise ValueError(
            f"`path`={path!r} is this project's own and needs engine='numba'; engine='native' takes path='auto'."
        )


def check_learned(kernel: InterpolatedKernel, **learned: Any) -> None:
    """Raise where `positions` or `widths` are to be learned, neither None nor False, and have no derivative.

    Raises
    ------
    ValueError
        Naming the interpolator, and where fixed ones belong.
    """
    for name, value in learned.items():
        if value is not None and value is not False and name not in kernel.interpolator.differentiable_by:
            raise ValueError(
                f"`{name}` cannot be learned: {kernel.interpolator} has no derivative by them. "
                f"Fixed ones belong in the kernel, `kernel.replace({name}=...)`."
            )


def check_anchors(kernel: InterpolatedKernel, **shapes: Sequence[int | None] | None) -> None:
    """Raise unless `positions` and `widths`, by their shapes or None, have a derivative and the kernel's own shapes.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    check_learned(kernel, **shapes)
    for name, shape in shapes.items():
        if shape is not None and tuple(shape) != (expected := shape_anchors(kernel, name)):
            raise ValueError(f"`{name}` must have shape {expected} for {kernel!r}, got {tuple(shape)}.")


def shape_anchors(kernel: InterpolatedKernel, name: str) -> tuple[int, ...]:
    """Return the shape of a kernel's "positions" or "widths"."""
    is_radius = name == "widths" and kernel.interpolator.width_axes == 0
    return kernel.positions.shape[:-1] if is_radius else kernel.positions.shape


def check_learning(kernel: InterpolatedKernel, engine: str, **learned: bool) -> None:
    """Raise unless a layer's engine has derivatives by what it is to learn.

    Raises
    ------
    ValueError
        Naming what cannot be learned, and which engine does.
    """
    check_learned(kernel, **learned)
    if engine == "native" and any(learned.values()):
        check_spreads(kernel)


def check_spreads(kernel: InterpolatedKernel) -> None:
    """Raise unless a framework's own operators know how the interpolator's dense kernel follows its anchors.

    Raises
    ------
    ValueError
        Saying which engine does.
    """
    if not can_spread(kernel):
        raise ValueError(
            f"`positions` and `widths` of {kernel.interpolator} need engine='numba', which serves eager and compiled "
            "calls on the CPU; engine='native' learns those of splats and cones."
        )


def settle_axes(kernel: InterpolatedKernel, learn_positions: Any) -> tuple[int, ...]:
    """Return the axes along which positions are learned: none for False, all for True, else those that are named.

    Raises
    ------
    TypeError, ValueError
        For what is neither a bool nor ints that name axes of the kernel's positions.
    """
    d = len(kernel.window)
    if isinstance(learn_positions, bool):
        return tuple(range(d)) if learn_positions else ()
    if not isinstance(learn_positions, (tuple, list)) or not all(type(axis) is int for axis in learn_positions):
        raise TypeError(f"`learn_positions` must be a bool or a tuple of axes, got {learn_positions!r}.")
    if not all(-d <= axis < d for axis in learn_positions):
        raise ValueError(f"`learn_positions` must name axes below {d} for {kernel!r}, got {learn_positions!r}.")
    return tuple(sorted({axis % d for axis in learn_positions}))


def as_int(name: str, value: Any) -> int:
    """Return a count, such as a layer's filters, as an int.

    Raises
    ------
    TypeError, ValueError
        Unless it is an int of at least 1.
    """
    return arguments.as_int(name, value, minimum=1)


def choose_compute_dtype(name: str, dtype: Any) -> str:
    """Return the dtype that the core computes `name`, of a dtype or its name, in: float32 for narrower floats.

    Raises
    ------
    TypeError
        As `conv`, for what is no float16, bfloat16, float32 or float64.

    Examples
    --------
    >>> choose_compute_dtype("x", "float16")
    'float32'
    """
    dtype_name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if dtype_name != "bfloat16":  # NumPy alone does not know it
        check_floating(name, np.dtype(dtype_name))
    return "float64" if dtype_name == "float64" else "float32"
