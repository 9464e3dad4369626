"""The core's checks and shapes for what a layer knows of its input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import interpolated_kernels as ik

# Stands for a size that is not known yet: so large that only mistakes which no size could mend are found.
_UNKNOWN_SIZE = 2**15


def plan_layer(layer: Any, input_shape: Sequence[int | None] | None = None, dtype: str = "float32") -> ik.Plan:
    """Return the core's plan of a layer's convolution; without an input's shape, for any input that fits the layer.

    Raises
    ------
    TypeError, ValueError
        The core's own, for every mistake that shows in what is known.
    """
    kernel = layer.interpolated_kernel
    if not isinstance(kernel, ik.InterpolatedKernel):
        return ik.plan((1,), (1,), kernel)  # raises the core's own error
    if layer.rank not in (None, kernel.n_dims):
        raise ValueError(f"`kernel` must have {layer.rank} spatial axes for {type(layer).__name__}, got {kernel!r}.")
    if isinstance(layer.filters, bool) or not hasattr(layer.filters, "__index__") or layer.filters < 1:
        raise ValueError(f"`filters` must be an int of at least 1, got {layer.filters!r}.")
    if input_shape is None:
        first: list[int | None] = [1, _some_channels(kernel, layer.groups), *(None,) * kernel.n_dims]
    elif len(input_shape) != kernel.n_dims + 2:
        raise ValueError(f"`input_shape` must have {kernel.n_dims + 2} axes for {kernel!r}, got {tuple(input_shape)}.")
    else:
        first = reorder(input_shape, layer.data_format, "channels_first")
    batch, channels, *spatial = first
    sizes: list[Any] = [
        1 if batch is None else batch,
        channels,
        *(_UNKNOWN_SIZE if size is None else size for size in spatial),
    ]
    separate = kernel.channel_mode == "separate" and isinstance(layer.groups, int) and layer.groups > 0
    per_group = ((channels or 0) // layer.groups,) if separate else ()
    return ik.plan(
        sizes, (int(layer.filters), *per_group, kernel.n_anchors), kernel, dtype=dtype, stride=layer.strides,
        padding=layer.padding, dilation=layer.dilation_rate, groups=layer.groups,
        path=layer.engine_path, accuracy=layer.accuracy,
    )  # fmt: skip


def _some_channels(kernel: ik.InterpolatedKernel, groups: Any) -> int:
    """Return a number of channels that the kernel takes."""
    per_group = kernel.window[-1] if kernel.channel_mode == "interpolated" else 1
    if kernel.positions.ndim == 4:
        per_group = kernel.positions.shape[1]
    return per_group * (groups if isinstance(groups, int) and groups > 0 else 1)


def reorder(axes: Iterable[Any], source: str, target: str) -> list[Any]:
    """Return what belongs to the axes `(batch, ...)` of one data format in the order of another."""
    batch, *rest = axes
    if source == target:
        return [batch, *rest]
    return [batch, rest[-1], *rest[:-1]] if target == "channels_first" else [batch, *rest[1:], rest[0]]
