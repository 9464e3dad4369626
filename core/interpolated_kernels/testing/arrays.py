"""Arrays as a backend gives them, for NumPy."""

from __future__ import annotations

from typing import Any

from interpolated_kernels.arguments import read_array, show
from interpolated_kernels.arrays import FloatArray


def as_array(name: str, value: Any) -> FloatArray:
    """Return an array, or a tensor of whatever framework, as NumPy has it: tensors without their gradients.

    Raises
    ------
    TypeError
        For what NumPy cannot read, with what to write.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = read_array(name, value)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be an array that NumPy can read, got {type(value).__name__}: {error} "
            "Convert it first: a bfloat16 tensor, for example, with `.float()`."
        ) from error
    if array.dtype.kind in "SU" or array.dtype == object:
        raise TypeError(f"`{name}` must be an array of numbers, got {show(value)}.")
    return array
