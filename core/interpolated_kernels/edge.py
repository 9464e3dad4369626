"""The public edge: arrays in, checked and converted once, and back as they came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, compute_dtype, is_on_gpu, result_dtype
from interpolated_kernels.lazy import cuda_loops


def find_device(**arrays: Any) -> str:
    """Return the device that arrays live on together, as a problem names it: "cpu", or "cuda" with the GPU's number.

    Raises
    ------
    TypeError
        For arrays in several places: none is moved silently.
    """
    if all(isinstance(array, np.ndarray) or array is None for array in arrays.values()):
        return "cpu"
    given = {name: array for name, array in arrays.items() if array is not None}
    places = {
        name: f"cuda:{cuda_loops.find_device(array, name)}" if is_on_gpu(array) else "cpu"
        for name, array in given.items()
    }
    first, *others = places
    for name in others:
        if places[name] != places[first]:
            raise TypeError(
                f"`{name}` must live where `{first}` does, on {places[first]}, and lives on {places[name]}: arrays are "
                "never moved silently. Copy one of them first."
            )
    return places[first]


def promote(names: tuple[str, ...], *arrays: FloatArray) -> np.dtype[Any]:
    """Return the dtype of the result of some arguments together.

    Raises
    ------
    TypeError
        For float16 with bfloat16, neither of which holds the other.
    """
    try:
        return result_dtype(*arrays)
    except TypeError:
        given = " and ".join(f"`{name}` of {array.dtype}" for name, array in zip(names, arrays, strict=True))
        cast = f"{names[0]}.astype(numpy.float32)"
        raise TypeError(f"{given} must have a dtype in common, and have none: pass `{cast}`.") from None


def check_out(
    out: FloatArray | None, shape: tuple[int, ...], dtype: np.dtype[Any], x: FloatArray, weights: FloatArray
) -> None:
    """Raise unless `out` can take the result of x and weights.

    Raises
    ------
    TypeError
        If `out` is not a NumPy array of the result's dtype.
    ValueError
        If its shape differs, if it is read-only, or if its cells overlap each other's or an input's.
    """
    if out is None:
        return
    on_gpu = is_on_gpu(out)
    if on_gpu:
        out = cuda_loops.view("out", out)
    elif not isinstance(out, np.ndarray):
        raise TypeError(
            f"`out` must be an array of dtype {dtype}, got {type(out).__name__}: pass a NumPy array or a memory map, "
            "and copy from that."
        )
    if out.dtype != dtype:
        raise TypeError(
            f"`out` must be an array of dtype {dtype}, got {out.dtype}: `x` of {x.dtype} and `weights` of "
            f"{weights.dtype} promote to {dtype}. Cast these, or pass another `out`."
        )
    if out.shape != shape:
        raise ValueError(f"`out` must have the result's shape {shape}, got {out.shape}.")
    if not on_gpu and not out.flags.writeable:
        raise ValueError("`out` must be writeable, got a read-only array.")
    if not on_gpu and not out.flags.c_contiguous and _overlaps_itself(out):
        raise ValueError(
            f"`out` must have a place in memory for each of its cells, got shape {out.shape} with strides "
            f"{out.strides}: pass a new array."
        )
    shares_memory = cuda_loops.shares_memory if on_gpu else np.shares_memory
    if shares_memory(out, x) or shares_memory(out, weights):
        raise ValueError(
            "`out` must not overlap an input: the result would overwrite what it is computed from. Pass a new array."
        )


def _overlaps_itself(array: FloatArray) -> bool:
    """Return whether steps along an axis are shorter than all that lies along the axes of shorter steps."""
    reach = array.itemsize
    for step, size in sorted((abs(step), size) for step, size in zip(array.strides, array.shape, strict=True)):
        if size > 1 and step < reach:
            return True
        reach += step * (size - 1)
    return False


def infer_shape(x: FloatArray, weights: FloatArray, planned: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a result that is planned as `(batch, channels, *spatial)`, with the leading axes of x."""
    n_lead = x.ndim - (len(planned) - 2)
    return (*x.shape[:n_lead], *planned[2:]) if weights.ndim == 1 else planned[2 - n_lead :]


def hand_out(
    out: FloatArray | None,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    dtype: np.dtype[Any],
    compute: Callable[[FloatArray | None], FloatArray],
    compute_by_bands: Callable[[FloatArray], None],
) -> FloatArray:
    """Return a result in the shape and dtype that its caller knows, in `out` where it is given.

    Parameters
    ----------
    out : array, optional
        Checked by `check_out`.
    shapes : pair of tuples
        Of the result, and of what is planned.
    dtype : dtype
        Of the result.
    compute : callable
        Returns what is planned, in the array that it is given.
    compute_by_bands : callable
        Fills `out` where loops cannot write it: for its strides, or a dtype narrower than they compute in.
    """
    shape, planned = shapes
    if out is None:
        return give(compute(None), shape, dtype)
    if is_on_gpu(out):
        target = cuda_loops.view("out", out)
        if target.dtype == compute_dtype(dtype) and cuda_loops.is_laid_out(target):
            compute(target.reshape(*planned))
        else:
            cuda_loops.copy_into(cuda_loops.lay_out(compute(None), dtype, shape), target)
        return out
    if out.dtype is compute_dtype(dtype) and out.flags.carray:
        compute(out.reshape(planned))
    else:
        compute_by_bands(out)
    return out


def fetch(array: FloatArray) -> FloatArray:
    """Return an array on the host: a copy, where it lives on a GPU."""
    if isinstance(array, np.ndarray):
        return array
    found: FloatArray = cuda_loops.download(cuda_loops.lay_out(array, array.dtype, tuple(array.shape)))
    return found


def hand_back(grad: FloatArray | None, operand: FloatArray) -> FloatArray | None:
    """Return a gradient in the shape and dtype of what it is the gradient by, and None for None."""
    return None if grad is None else give(grad, operand.shape, result_dtype(operand))


def give(array: FloatArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    """Return what was computed in the shape and dtype that its caller knows."""
    if not isinstance(array, np.ndarray):
        return cuda_loops.lay_out(array, dtype, shape)
    array = array if array.shape == shape else array.reshape(shape)
    return array if array.dtype is dtype else array.astype(dtype, copy=False)
