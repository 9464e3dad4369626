"""The public edge: tensors of a dtype that the core takes, the core's own checks on static shapes, and layouts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import interpolated_kernels as ik

_FLOATS = ("float16", "bfloat16", "float32", "float64")
# Stands for a size that is not known while tracing: so large that only mistakes which no size could mend are found.
_UNKNOWN_SIZE = 2**15


def as_tensors(kernel: ik.InterpolatedKernel, x: Any, weights: Any) -> tuple[Any, Any]:
    """Return x and weights as tensors; what the core would refuse raises the core's own error."""
    values = [value if isinstance(value, np.ndarray) else tf.convert_to_tensor(value) for value in (x, weights)]
    if any(isinstance(value, np.ma.MaskedArray) or value.dtype.name not in _FLOATS for value in values):
        first, second = (v if isinstance(v, np.ndarray) else np.zeros(0, v.dtype.as_numpy_dtype) for v in values)
        ik.conv(first, second, kernel)
    native = (np.asarray(v, v.dtype.newbyteorder("=")) if isinstance(v, np.ndarray) else v for v in values)
    x, weights = (tf.convert_to_tensor(value) for value in native)
    for name, tensor in (("x", x), ("weights", weights)):
        if tensor.shape.rank is None:
            raise ValueError(
                f"`{name}` must have a known rank, got a tensor of shape {tensor.shape}: set it with `tf.ensure_shape`."
            )
    return x, weights


def result_dtype(*tensors: Any) -> Any:
    """Return the dtype of tensors together, as NumPy promotes."""
    return tf.as_dtype(np.result_type(*(tensor.dtype.as_numpy_dtype for tensor in tensors)))


def compute_dtype(dtype: Any) -> Any:
    """Return what `dtype` is computed in: float32 for everything narrower."""
    return tf.float64 if dtype == tf.float64 else tf.float32


def static_plan(
    x_shape: Sequence[int | None], x: Any, weights: Any, kernel: ik.InterpolatedKernel, **options: Any
) -> tuple[ik.Plan, list[Any]]:
    """Return the core's plan and the static shape of y, for x with its channels first; unknown sizes stay so.

    Raises
    ------
    TypeError, ValueError
        The core's own, for every mistake that shows in what is known.
    """
    if not weights.shape.is_fully_defined():
        raise ValueError(f"`weights` must have a known shape, got {weights.shape}: set it with `tf.ensure_shape`.")
    plain, n_lead = weights.shape.rank == 1, len(x_shape) - kernel.n_dims
    if not plain and n_lead > 0 and x_shape[n_lead - 1] is None:
        raise ValueError(
            f"`x` must have a known number of channels, got shape {x.shape}: set it with `tf.ensure_shape`."
        )
    sizes = [(_UNKNOWN_SIZE if axis >= n_lead else 1) if size is None else size for axis, size in enumerate(x_shape)]
    plan = ik.plan(
        sizes, weights.shape.as_list(), kernel, dtype=compute_dtype(result_dtype(x, weights)).name, **options
    )
    out = (
        None if known is None else size for size, known in zip(plan.problem.out_spatial, x_shape[n_lead:], strict=True)
    )
    lead = x_shape[:n_lead] if plain else [*x_shape[: n_lead - 1], plan.problem.filters]
    return plan, [*lead, *out]


def reorder(axes: Iterable[Any], source: str, target: str, d: int) -> list[Any]:
    """Return what belongs to the axes of one data format in the order of another; `d` axes are spatial."""
    axes = list(axes)
    if source == target or len(axes) <= d:
        return axes
    lead, rest = axes[: -d - 1], axes[-d - 1 :]
    return [*lead, rest[-1], *rest[:-1]] if target == "channels_first" else [*lead, *rest[1:], rest[0]]


def move_channels(x: Any, source: str, target: str, d: int) -> Any:
    """Return x in another data format."""
    return x if source == target else tf.transpose(x, reorder(range(x.shape.rank), source, target, d))
