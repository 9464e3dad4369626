"""The public edge: arrays in, checked and converted once, and back as they came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from interpolated_kernels.arrays import FloatArray, compute_dtype, is_supported, result_dtype


def as_floats(name: str, value: Any) -> FloatArray:
    """Return `value` as an array of a supported floating dtype, or raise with the cast to write.

    Raises
    ------
    TypeError
        For masked, integer, bool, complex, object and other arrays that are not float16, bfloat16, float32 or float64.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"`{name}` must not be a masked array: pass `{name}.filled(numpy.nan)`, and missing='renormalize' where "
            "NaN is to count as missing."
        )
    array = np.asarray(value)
    check_floating(name, array.dtype)
    return array


def check_floating(name: str, dtype: np.dtype[Any]) -> None:
    """Raise unless arrays of a dtype are taken; the message holds the cast to write.

    Raises
    ------
    TypeError
        For everything but float16, bfloat16, float32 and float64.
    """
    if is_supported(dtype):
        return
    if dtype.kind in "iub":
        raise TypeError(
            f"`{name}` must be a floating array, got {dtype}: integers are never cast silently. "
            f"Write `{name}.astype(numpy.float32)` or `{name}.astype(numpy.float64)`."
        )
    if dtype.kind == "c":
        raise TypeError(f"`{name}` must be real, got {dtype}: pass `{name}.real` and `{name}.imag` one after another.")
    raise TypeError(
        f"`{name}` must be float16, bfloat16, float32 or float64, got {dtype}: "
        f"convert it first, for example with `numpy.asarray({name}, dtype=numpy.float64)`."
    )


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
        return _give(compute(None), shape, dtype)
    if out.dtype is compute_dtype(dtype) and out.flags.carray:
        compute(out.reshape(planned))
    else:
        compute_by_bands(out)
    return out


def hand_back(grad: FloatArray | None, operand: FloatArray) -> FloatArray | None:
    """Return a gradient in the shape and dtype of what it is the gradient by, and None for None."""
    return None if grad is None else _give(grad, operand.shape, result_dtype(operand))


def _give(array: FloatArray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    array = array if array.shape == shape else array.reshape(shape)
    return array if array.dtype is dtype else array.astype(dtype, copy=False)
