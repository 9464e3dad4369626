"""What options come to where sizes are open.

A framework may trace a convolution before it knows the sizes of x. Such a size is open: None in a shape. `settle` says
what the options come to all the same, and gives None for what an open size decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from interpolated_kernels.adapting.checks import check_kernel
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import Options, per_axis
from interpolated_kernels.planning import plan_problem
from interpolated_kernels.problem import describe

Shape: TypeAlias = tuple[int | None, ...]
"""A shape; None is a size that is open."""

_LARGE = 2**15  # stands for an open spatial size: three such axes still have fewer cells than `describe` refuses


@dataclass(frozen=True)
class Settled:
    """One convolution as far as options and known sizes say it: what depends on an open size is None.

    Attributes
    ----------
    channels, filters : int
        1 for plain weights `(n,)`.
    stride, dilation, extent : tuple of int, cells
        One a spatial axis; `extent` is how far the dilated window reaches.
    padding : tuple of (before, after)
        One a spatial axis; None where it is "same" with a stride above 1 on an open size.
    y_shape : tuple of int
        With the axes that x came with, its channels first.
    """

    kernel: InterpolatedKernel
    channels: int
    filters: int
    groups: int
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    extent: tuple[int, ...]
    padding: tuple[tuple[int, int] | None, ...]
    padding_modes: tuple[str, ...]
    weights_shape: tuple[int, ...]
    y_shape: Shape

    @property
    def channels_per_group(self) -> int:
        """Channels that one filter sees."""
        return self.channels // self.groups


def settle(
    x_shape: Sequence[int | None],
    weights_shape: Sequence[int],
    kernel: InterpolatedKernel,
    dtype: str = "float32",
    *,
    path: str = "auto",
    **options: Any,
) -> Settled:
    """Return what the options of `conv` come to for shapes as `conv` takes them, where sizes of x may be open.

    Parameters
    ----------
    x_shape : sequence of int or None
        Channels first; they must be known.
    weights_shape : sequence of int
    kernel : InterpolatedKernel
    dtype : {"float32", "float64"}
    path, **options
        As for `conv`.

    Raises
    ------
    TypeError, ValueError
        As `conv`, for every mistake that shows in what is known: none that some size would mend.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> settled = settle((None, 4, None), (6, 4, 2), kernel, stride=2, padding="same")
    >>> settled.y_shape, settled.padding, settled.stride
    ((None, 6, None), (None,), (2,))
    """
    check_kernel(kernel)
    x_shape, weights_shape = tuple(x_shape), tuple(weights_shape)
    sizes = _fill_open(x_shape, weights_shape, kernel, options.get("dilation", 1))
    problem = describe(sizes, weights_shape, kernel, Options(path=path, **options), dtype)
    plan_problem(problem, path)  # it refuses a path that is unknown or cannot serve
    padding = options.get("padding")
    is_same = isinstance(padding, str) and padding == "same"
    lead, spatial = x_shape[: -kernel.n_dims], x_shape[-kernel.n_dims :]
    filters = () if len(weights_shape) == 1 else (problem.filters,)
    out = (None if size is None else new for size, new in zip(spatial, problem.out_spatial, strict=True))
    pairs = zip(spatial, problem.stride, problem.padding, strict=True)
    return Settled(
        kernel=kernel,
        channels=problem.channels,
        filters=problem.filters,
        groups=problem.groups,
        stride=problem.stride,
        dilation=problem.dilation,
        extent=problem.extent,
        padding=tuple(None if size is None and is_same and step > 1 else pair for size, step, pair in pairs),
        padding_modes=problem.padding_modes,
        weights_shape=weights_shape,
        y_shape=(*lead[: len(lead) - len(filters)], *filters, *out),
    )


def _fill_open(x_shape: Shape, weights_shape: tuple[int, ...], kernel: InterpolatedKernel, dilation: Any) -> Any:
    """Return x's shape with numbers where sizes are open, so large that the window fits; one sample stands for all."""
    if None not in x_shape:
        return x_shape
    d = kernel.n_dims
    n_lead = max(len(x_shape) - d, 0)
    has_channels = len(weights_shape) > 1 and n_lead > 0
    if has_channels and x_shape[n_lead - 1] is None:
        raise ValueError(f"`x` must have a known number of channels, got shape {x_shape}.")
    reach = max(
        cells * step for cells, step in zip(kernel.spatial_window, per_axis("dilation", dilation, d, 1), strict=True)
    )
    lead = (*(1,) * (n_lead - 1), x_shape[n_lead - 1]) if has_channels else (1,) * n_lead
    return (*lead, *(max(_LARGE, 2 * reach) if size is None else size for size in x_shape[n_lead:]))


def settle_layer(
    x_shape: Sequence[int | None],
    filters: int,
    kernel: InterpolatedKernel,
    dtype: str = "float32",
    *,
    groups: int = 1,
    **options: Any,
) -> Settled:
    """Return what a layer's options come to: `settle` for the weights that its channels and filters need.

    Parameters
    ----------
    x_shape : sequence of int or None
        `(batch, channels, *spatial)`; open channels stand for a number that the kernel takes.
    filters, kernel, dtype, groups, **options
        As for `settle`.

    Raises
    ------
    TypeError, ValueError
        As `settle`.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> kernel = ik.InterpolatedKernel([[0], [2]], 3, "linear")
    >>> settle_layer((None, 4, None), 6, kernel, groups=2).weights_shape
    (6, 2, 2)
    """
    check_kernel(kernel)
    batch, channels, *spatial = x_shape
    n_groups = groups if isinstance(groups, (int, np.integer)) and groups > 0 else 1  # `settle` refuses any other
    if channels is None:
        own = kernel.window[-1] if kernel.interpolates_channels else 1
        channels = n_groups * (kernel.positions.shape[1] if kernel.positions.ndim == 4 else own)
    if channels % n_groups:
        raise ValueError(f"`groups` must divide x's channels, got {groups} and {channels} channels.")
    bank = (filters, *((channels // n_groups,) if kernel.channel_mode == "separate" else ()), kernel.n_anchors)
    return settle((batch, channels, *spatial), bank, kernel, dtype, groups=groups, **options)
