"""The core's checks and shapes for what a layer knows of its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interpolated_kernels import adapting


def settle_layer(
    layer: Any, input_shape: Sequence[int | None] | None = None, dtype: str = "float32"
) -> adapting.Settled:
    """Return what a layer's options come to; without an input's shape, for any input that fits the layer.

    Raises
    ------
    TypeError, ValueError
        The core's own, for every mistake that shows in what is known.
    """
    kernel = layer.interpolated_kernel
    adapting.check_kernel(kernel, layer.rank, type(layer).__name__)
    if input_shape is None:
        input_shape = (None,) * (kernel.n_dims + 2)
    elif len(input_shape) != kernel.n_dims + 2:
        raise ValueError(f"`input_shape` must have {kernel.n_dims + 2} axes for {kernel!r}, got {tuple(input_shape)}.")
    return adapting.settle_layer(
        adapting.reorder(input_shape, layer.data_format, "channels_first", kernel.n_dims),
        adapting.as_int("filters", layer.filters), kernel, dtype,
        stride=layer.strides, padding=layer.padding, dilation=layer.dilation_rate, groups=layer.groups,
        path=layer.engine_path, accuracy=layer.accuracy,
    )  # fmt: skip


def find_spatial_axis(data_format: str) -> int:
    """Return the first spatial axis of an input."""
    return 2 if data_format == "channels_first" else 1


def find_channel_axis(data_format: str) -> int:
    """Return the axis of an input's channels."""
    return 1 if data_format == "channels_first" else -1


def place_spatial(entries: Sequence[Any], of_channels: Any, data_format: str) -> list[Any]:
    """Return what belongs to the spatial axes, with the channels' before or after it."""
    return [of_channels, *entries] if data_format == "channels_first" else [*entries, of_channels]
