"""The public edge: arrays of a dtype that the core takes, and the checks of anchors that are operands."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import interpolated_kernels as ik
from interpolated_kernels import adapting


def as_arrays(x: Any, weights: Any, **others: Any) -> dict[str, Any]:
    """Return all as JAX's arrays, by name; of the others, those that are not None.

    Raises
    ------
    TypeError
        The core's own for what is no floating array, naming the argument.
    """
    given = {"x": x, "weights": weights, **{name: value for name, value in others.items() if value is not None}}
    return {name: _as_array(name, value) for name, value in given.items()}


def _as_array(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = adapting.as_floats(name, value)
        value = np.asarray(value, value.dtype.newbyteorder("="))  # JAX knows the native byte order alone
    elif not isinstance(value, (jax.Array, float, np.generic)):
        raise TypeError(f"`{name}` must be an array of JAX or NumPy, got {type(value).__name__}.")
    array = value if isinstance(value, jax.Array) else jnp.asarray(value)
    adapting.choose_compute_dtype(name, array.dtype)
    return array


def choose_dtypes(arrays: dict[str, Any]) -> tuple[Any, str]:
    """Return the common dtype of x, weights and bias, and what they are computed in."""
    dtypes = [arrays[name].dtype for name in ("x", "weights", "bias") if name in arrays]
    dtype = jnp.result_type(*dtypes)
    return dtype, adapting.choose_compute_dtype("x", dtype)


def check_anchors(kernel: ik.InterpolatedKernel, arrays: dict[str, Any]) -> None:
    """Raise as `adapting.check_anchors` for `positions` and `widths` that do not fit the kernel."""
    adapting.check_anchors(kernel, **{name: arrays[name].shape for name in ("positions", "widths") if name in arrays})
