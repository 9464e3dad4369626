"""The public edge: arrays become C-contiguous native float32 or float64, and results go back as they came."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

# Three names for readers. NumPy's stubs narrow dtypes differently from release to release, so that mypy sees any array.
FloatArray: TypeAlias = npt.NDArray[Any]
IntArray: TypeAlias = npt.NDArray[Any]
BoolArray: TypeAlias = npt.NDArray[Any]

_COMPUTE_NAMES = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
# The common ones: a dtype is slow to ask for its name.
_NAMES = {np.dtype(name): name for name in ("float32", "float64")}
_NATIVE = {dtype: dtype for dtype in _NAMES}


def as_floats(name: str, value: Any) -> FloatArray:
    """Return `value` as an array of a supported floating dtype, or raise with the cast to write.

    Raises
    ------
    TypeError
        For masked, integer, bool, complex, object and other arrays that are not float16, bfloat16, float32 or float64.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"`{name}` must not be a masked array: fill it first, for example with `{name}.filled(0.0)`.")
    array = np.asarray(value)
    if array.dtype in _NATIVE or array.dtype.name in _COMPUTE_NAMES:
        return array
    if array.dtype.kind in "iub":
        raise TypeError(
            f"`{name}` must be a floating array, got {array.dtype}: integers are never cast silently. "
            f"Write `{name}.astype(numpy.float32)` or `{name}.astype(numpy.float64)`."
        )
    if array.dtype.kind == "c":
        raise TypeError(
            f"`{name}` must be real, got {array.dtype}: pass `{name}.real` and `{name}.imag` one after another."
        )
    raise TypeError(
        f"`{name}` must be float16, bfloat16, float32 or float64, got {array.dtype}: "
        f"convert it first, for example with `numpy.asarray({name}, dtype=numpy.float64)`."
    )


def result_dtype(*arrays: FloatArray) -> np.dtype[Any]:
    """Return the dtype of the result of the arrays together, as NumPy promotes them, in native byte order."""
    dtype = arrays[0].dtype
    if dtype in _NATIVE and all(array.dtype == dtype for array in arrays):
        return _NATIVE[dtype]
    return np.result_type(*arrays).newbyteorder("=")


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that loops compute in: float64 for float64, float32 for float32 and everything narrower."""
    return _NATIVE.get(dtype) or np.dtype(_COMPUTE_NAMES[dtype.name])


def name_compute_dtype(dtype: np.dtype[Any]) -> str:
    """Return the name of `compute_dtype`."""
    return _NAMES.get(dtype) or compute_dtype(dtype).name


def for_loops(array: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return `array` C-contiguous, aligned and in the native `dtype`: the one layout that reaches a loop."""
    if array.dtype is dtype and array.flags.carray:
        return array
    return np.require(array, dtype=dtype, requirements=("C", "A"))


def check_out(out: FloatArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], *inputs: FloatArray) -> None:
    """Raise unless `out` can take the result.

    Raises
    ------
    TypeError
        If `out` is not an array of the result's dtype.
    ValueError
        If its shape differs, if it is read-only, or if it overlaps an input.
    """
    if out is None:
        return
    if not isinstance(out, np.ndarray) or out.dtype != dtype:
        raise TypeError(f"`out` must be an array of dtype {dtype}, got {getattr(out, 'dtype', type(out).__name__)}.")
    if out.shape != shape:
        raise ValueError(f"`out` must have the result's shape {shape}, got {out.shape}.")
    if not out.flags.writeable:
        raise ValueError("`out` must be writeable, got a read-only array.")
    if any(np.shares_memory(out, array) for array in inputs):
        raise ValueError(
            "`out` must not overlap an input: the result would overwrite what it is computed from. Pass a new array."
        )


def can_write(out: FloatArray, dtype: str) -> bool:
    """Return whether loops of a compute dtype can write `out` themselves."""
    return out.dtype is _NATIVE[np.dtype(dtype)] and out.flags.carray
