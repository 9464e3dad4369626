"""The checks that all adapters share: the same mistake is the same error in all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpolated_kernels import arguments
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


def check_fixed(kernel: InterpolatedKernel, **learned: Any) -> None:
    """Raise where an adapter that has no derivative by `positions` or `widths` is to learn them.

    Raises
    ------
    ValueError
        As `check_learned`.
    NotImplementedError
        If the interpolator has the derivative.
    """
    check_learned(kernel, **learned)
    for name, value in learned.items():
        if value is not None and value is not False:
            raise NotImplementedError(
                f"`{name}`: this adapter cannot learn them yet. Build them into the kernel, "
                f"`kernel.replace({name}=...)`."
            )


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
