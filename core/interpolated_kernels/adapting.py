"""What an adapter may use beside the public names: the checks that all share, and options where sizes are open.

A framework may trace a convolution before it knows the sizes of x. Such a size is open: None in a shape. `settle` says
what the options come to all the same, and gives None for what an open size decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from interpolated_kernels.arrays import FloatArray
from interpolated_kernels.edge import as_floats as as_floats  # for adapters that take arrays too
from interpolated_kernels.edge import check_floating
from interpolated_kernels.kernel import InterpolatedKernel
from interpolated_kernels.options import Options, per_axis
from interpolated_kernels.options import check_choice as check_choice  # for adapters too
from interpolated_kernels.padding import show_cells as show_cells  # for engines whose framework pads less far
from interpolated_kernels.planning import plan_problem
from interpolated_kernels.problem import check_kernel as check_type
from interpolated_kernels.problem import describe

ENGINES = ("auto", "native", "numba")
DATA_FORMATS = ("channels_first", "channels_last")

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
    bank = (filters, *((channels // n_groups,) if kernel.channel_mode == "separate" else ()), kernel.n_anchors)
    return settle((batch, channels, *spatial), bank, kernel, dtype, groups=groups, **options)


def check_kernel(kernel: Any, n_dims: int | None = None, owner: str = "") -> None:
    """Raise unless `kernel` is one, and of as many spatial axes as its owner, a layer's class, has.

    Raises
    ------
    TypeError, ValueError
        If not.
    """
    check_type(kernel)
    if n_dims is not None and n_dims != kernel.n_dims:
        raise ValueError(f"`kernel` must have {n_dims} spatial axes for {owner}, got {kernel!r}.")


def check_engine(engine: Any, path: str = "auto") -> None:
    """Raise `ValueError` for an unknown engine, or where "native", by name or chosen, gets the name of a path."""
    check_choice("engine", engine, ENGINES)
    if engine == "native" and path != "auto":
        raise ValueError(
            f"`path`={path!r} is this project's own and needs engine='numba'; engine='native' takes path='auto'."
        )


def check_fixed(kernel: InterpolatedKernel, **learned: Any) -> None:
    """Raise where `positions` or `widths` are to be learned: they are neither None nor False.

    Raises
    ------
    ValueError
        If the interpolator is not differentiable by them.
    NotImplementedError
        If it is: no adapter has these derivatives yet.
    """
    for name, value in learned.items():
        if value is None or value is False:
            continue
        if name not in kernel.interpolator.differentiable_by:
            raise ValueError(
                f"`{name}` cannot be learned: {kernel.interpolator} has no derivative by them. "
                f"Fixed ones belong in the kernel, `kernel.replace({name}=...)`."
            )
        raise NotImplementedError(
            f"`{name}`: this adapter cannot learn them yet. Build them into the kernel, `kernel.replace({name}=...)`."
        )


def as_int(name: str, value: Any) -> int:
    """Return a count, such as a layer's filters, as an int.

    Raises
    ------
    TypeError, ValueError
        Unless it is an int of at least 1.
    """
    return per_axis(name, [value], 1, minimum=1)[0]


def choose_compute_dtype(name: str, dtype: Any) -> str:
    """Return the dtype that the core computes `name`, of a dtype or its name, in: float32 for narrower floats.

    Raises
    ------
    TypeError
        As `conv`, for what is no float16, bfloat16, float32 or float64.

    Examples
    --------
    >>> choose_compute_dtype("x", "float16")
    'float32'
    """
    dtype_name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if dtype_name != "bfloat16":  # NumPy alone does not know it
        check_floating(name, np.dtype(dtype_name))
    return "float64" if dtype_name == "float64" else "float32"


def shape_bias(
    bias_shape: Sequence[int | None], weights_shape: Sequence[int], n_dims: int, data_format: str = "channels_first"
) -> tuple[int, ...]:
    """Return the shape in which a bias is added to y: `(filters, 1, ...)`, `(filters,)` where channels are last.

    Raises
    ------
    ValueError
        Unless there is one value a filter: shape `(filters,)`, or one value for plain weights.

    Examples
    --------
    >>> shape_bias((6,), (6, 4, 9), n_dims=2)
    (6, 1, 1)
    """
    is_plain = len(weights_shape) == 1
    expected = () if is_plain else (weights_shape[0],)
    if tuple(bias_shape) != expected and not (is_plain and tuple(bias_shape) == (1,)):
        raise ValueError(f"`bias` must have shape {expected}, one a filter, got {tuple(bias_shape)}.")
    return expected if is_plain or data_format == "channels_last" else (*expected, *(1,) * n_dims)


def reorder(axes: Iterable[Any], source: str, target: str, n_dims: int) -> list[Any]:
    """Return what belongs to the axes of one data format in the order of another; `n_dims` axes are spatial.

    Examples
    --------
    >>> reorder(("batch", "rows", "columns", "channels"), "channels_last", "channels_first", 2)
    ['batch', 'channels', 'rows', 'columns']
    """
    axes = list(axes)
    if source == target or len(axes) <= n_dims:
        return axes
    lead, rest = axes[: -n_dims - 1], axes[-n_dims - 1 :]
    return [*lead, rest[-1], *rest[:-1]] if target == "channels_first" else [*lead, *rest[1:], rest[0]]


def dilate_matrix(kernel: InterpolatedKernel, dilation: Sequence[int]) -> tuple[FloatArray, tuple[int, ...]]:
    """Return the interpolation matrix of the dilated kernel, zeros between its cells, and that kernel's window.

    For frameworks whose convolution takes no dilation beside a stride.

    Returns
    -------
    array of float64
        As `kernel.matrix`, `(..., cells, n)`, for the larger window.
    tuple of int
        `(window - 1) * dilation + 1`; a channel axis stays as it is.

    Examples
    --------
    >>> import interpolated_kernels as ik
    >>> matrix, window = dilate_matrix(ik.InterpolatedKernel([[0], [1]], 2, "linear"), (3,))
    >>> matrix.tolist(), window
    ([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]], (4,))
    """
    steps = (*dilation, 1)[: len(kernel.window)]
    window = tuple((cells - 1) * step + 1 for cells, step in zip(kernel.window, steps, strict=True))
    lead, n = kernel.matrix.shape[:-2], kernel.n_anchors
    matrix = np.zeros((*lead, *window, n))
    cells: Any = (..., *(slice(None, None, step) for step in steps), slice(None))
    matrix[cells] = kernel.matrix.reshape(*lead, *kernel.window, n)
    return matrix.reshape(*lead, -1, n), window
