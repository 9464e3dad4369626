"""Arrays as a backend gives them, for NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"`{name}` must be an array that NumPy can read, got {type(value).__name__}: {error}. "
            "Convert it first: a bfloat16 tensor, for example, with `.float()`."
        ) from error
