"""What arrays are called, where they live, which dtypes they may have, and the one layout that reaches a loop."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from interpolated_kernels.lazy import cuda_loops

# Three names for readers. NumPy's stubs narrow dtypes differently from release to release, so that mypy sees any array.
FloatArray: TypeAlias = npt.NDArray[Any]
IntArray: TypeAlias = npt.NDArray[Any]
BoolArray: TypeAlias = npt.NDArray[Any]

_COMPUTE_NAMES = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
# The common ones: a dtype is slow to ask for its name.
_NAMES = {np.dtype(name): name for name in ("float32", "float64")}
_NATIVE = {dtype: dtype for dtype in _NAMES}


def result_dtype(*arrays: FloatArray) -> np.dtype[Any]:
    """Return the dtype of the result of the arrays together, as NumPy promotes them, in native byte order."""
    dtype = arrays[0].dtype
    if dtype in _NATIVE and all(array.dtype == dtype for array in arrays):
        return _NATIVE[dtype]
    return np.result_type(*arrays).newbyteorder("=")


def is_supported(dtype: np.dtype[Any]) -> bool:
    """Return whether arrays may have a dtype: float16, bfloat16, float32 or float64, in any byte order."""
    return dtype in _NATIVE or dtype.name in _COMPUTE_NAMES


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that loops compute in: float64 for float64, float32 for float32 and everything narrower."""
    return _NATIVE.get(dtype) or np.dtype(_COMPUTE_NAMES[dtype.name])


def name_compute_dtype(dtype: np.dtype[Any]) -> str:
    """Return the name of `compute_dtype`."""
    return _NAMES.get(dtype) or compute_dtype(dtype).name


def is_on_gpu(value: Any) -> bool:
    """Return whether a value is an array on a GPU, of whatever library; CUDA is not loaded for others."""
    if isinstance(value, (np.ndarray, np.generic, float, list, tuple)):
        return False
    try:
        # the second name is numba's own, which arrays of its simulator have alone
        return hasattr(value, "__cuda_array_interface__") or hasattr(value, "__cuda_ndarray__")
    except RuntimeError:  # torch's word for a tensor on a GPU that cannot be shared as it is: `view` passes on why
        return True


def lay_out(array: FloatArray, dtype: np.dtype[Any], shape: tuple[int, ...]) -> FloatArray:
    """Return `array` C-contiguous, aligned, in a native dtype and of a shape: the one layout that reaches a loop."""
    if not isinstance(array, np.ndarray):
        return cuda_loops.lay_out(array, dtype, shape)
    if array.dtype is not dtype or not array.flags.carray:
        array = np.require(array, dtype=dtype, requirements=("C", "A"))
    return array if array.shape == shape else array.reshape(shape)
